"""Try the promises of a plugin, one by one."""

from __future__ import annotations

import contextlib
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

from xaibench.errors import BrokenPlugin, UsageError, XaibenchError
from xaibench.isolation import isolated_randomness
from xaibench.loading import caused, place
from xaibench.registry import did_you_mean
from xaibench.testing.checks import checks_of
from xaibench.testing.trials import trial_of
from xaibench.testing.verdicts import Broken, NotAsked, Verdict
from xaibench.testing.watching import preserved_settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from torch import nn

    from xaibench.testing.checks import Check
    from xaibench.testing.subjects import Subject
    from xaibench.testing.verdicts import Status

DECLARED = "expect_fail"  # attribute of a plugin: {"name of a check": "why"}


class Examination:
    """The checks of one plugin. A verdict is found when it is asked for, together with those it rests on.

    network: what to try an explainer on instead of the toys: a class, made with the number of channels as its first
    argument, that takes images of any size in multiples of 8, has 3 classes, and may name its `cam_layer`.
    """

    def __init__(
        self,
        subject: Subject,
        expect_fail: Mapping[str, str] | None = None,
        only: Collection[str] = (),
        skip: Collection[str] = (),
        network: type[nn.Module] | None = None,
    ) -> None:
        if network is not None and subject.kind != "explainers":
            raise UsageError(f"a network to be tried on is for explainers; {subject.label} is of the {subject.kind}")
        self.subject, self._network = subject, network
        self._known = checks_of(subject.kind)
        self._expected = {**_declared(subject), **(expect_fail or {})}
        for name in (*self._expected, *only, *skip):
            _must_exist(name, self._known, subject.kind)
        self.names = [name for name in self._known if (not only or name in only) and name not in skip]
        self._verdicts: dict[str, Verdict] = {}
        self._trial: Any = None

    def __iter__(self) -> Iterator[Verdict]:
        """All verdicts in order, each as soon as it is known."""
        return (self.verdict(name) for name in self.names)

    def verdict(self, name: str) -> Verdict:
        """The verdict of one check."""
        if name not in self._verdicts:
            check = self._known[name]
            blocked = [other for other in check.after if self._blocks(other)]
            self._verdicts[name] = (
                Verdict(name, check.promise, "skipped", f"not tried, for `{blocked[0]}` is not kept")
                if blocked
                else self._tried(check)
            )
        return self._verdicts[name]

    def _blocks(self, name: str) -> bool:
        verdict = self.verdict(name)
        return verdict.status in ("failed", "expected") or verdict.reason.startswith("not tried")

    def _tried(self, check: Check) -> Verdict:
        started = time.perf_counter()
        status, reason = self._outcome(check)
        if why := self._expected.get(check.name):
            status, reason = _as_expected(status, reason, why)
        return Verdict(check.name, check.promise, status, reason, time.perf_counter() - started)

    def _outcome(self, check: Check) -> tuple[Status, str]:
        try:
            with quietly():
                self._trial = self._trial or trial_of(self.subject, self._network)
                check.run(self._trial)
        except Broken as broken:
            return "failed", str(broken)
        except NotAsked as reason:
            return "skipped", str(reason)
        except BrokenPlugin as error:
            return "failed", str(error)
        except Exception as error:  # whatever a plugin raises is the verdict on it
            return "failed", f"it raises {caused(error)}{place(error)}"
        return "passed", ""


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """What a plugin prints, warns of, draws or sets stays with it."""
    with (
        preserved_settings(),
        isolated_randomness(0),
        contextlib.redirect_stdout(sys.stderr),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield


def _as_expected(status: Status, reason: str, why: str) -> tuple[Status, str]:
    if status == "failed":
        return "expected", f"{why} ({reason})" if why != reason else why
    if status == "passed":
        return "surprise", f"declared to fail ({why}), but it is kept: take it off the list"
    return status, reason


def _declared(subject: Subject) -> dict[str, str]:
    """What a plugin's author knows it does not keep."""
    return dict(getattr(subject.factory, DECLARED, {}))


def _must_exist(name: str, known: Collection[str], kind: str) -> None:
    if name not in known:
        raise UsageError(
            f"there is no check {name!r} of {kind}{did_you_mean(name, known)}\n  There are: {', '.join(known)}"
        )


def refused(subject: Subject) -> XaibenchError | None:
    """What a plugin asks of its user before it can be made, if anything."""
    try:
        with quietly():
            subject.make()
    except BrokenPlugin:
        return None  # the check of the card will say it
    except XaibenchError as error:
        return error
    return None
