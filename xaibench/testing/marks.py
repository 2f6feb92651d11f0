"""The checks as tests of pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xaibench.errors import UsageError
from xaibench.testing.examination import Examination
from xaibench.testing.subjects import at_hand, named

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pytest
    from torch import nn

    from xaibench.references import Value


class Asked:
    """One check of one plugin: call it inside a test."""

    def __init__(self, examination: Examination, name: str) -> None:
        self._examination, self.name = examination, name

    def __repr__(self) -> str:
        return self.name

    def __call__(self) -> None:
        """Fail, skip or pass as the plugin deserves."""
        pytest = _pytest()
        verdict = self._examination.verdict(self.name)
        if verdict.status == "skipped":
            pytest.skip(verdict.reason)
        if verdict.status == "expected":
            pytest.xfail(verdict.reason)
        if not verdict.good:
            pytest.fail(f"{verdict.promise}\n  {verdict.reason}", pytrace=False)


def conformance(
    plugin: Any,
    *,
    kind: str = "",
    params: Mapping[str, Value] | None = None,
    profile: str = "quick",
    expect_fail: Mapping[str, str] | None = None,
    only: Collection[str] = (),
    skip: Collection[str] = (),
    network: type[nn.Module] | None = None,
) -> pytest.MarkDecorator:
    """Make a test that takes `check` one test per promise.

    plugin: a class, a function that makes a plugin, a plugin, or a reference as on the command line, where the
    parameters are part of it. expect_fail: checks that are known to fail, with the reason; one that passes fails.
    network: for explainers that refuse the toy networks; see `Examination`.
    """
    if isinstance(plugin, str) and params:
        raise UsageError(f"give the parameters within the reference, as in {plugin}({next(iter(params))}=...)")
    subject = named(plugin, kind, profile) if isinstance(plugin, str) else at_hand(plugin, kind, params, profile)
    examination = Examination(subject, expect_fail, only, skip, network)
    asked = [Asked(examination, name) for name in examination.names]
    mark: pytest.MarkDecorator = _pytest().mark.parametrize("check", asked, ids=repr)
    return mark


def _pytest() -> Any:
    """Only who writes tests needs it."""
    try:
        import pytest
    except ImportError as error:
        raise UsageError("`conformance` makes tests for pytest: pip install pytest") from error
    return pytest
