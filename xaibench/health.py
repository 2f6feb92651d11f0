"""Do strangers' plugins load? Tried in a child process: neither their imports nor their crashes are ours.

`python -m xaibench.health REQUEST REPORT SECONDS` is the child. It tries the plugins of REQUEST one by one and writes
each result at once as a line of REPORT, so that a plugin which kills or stops the child is known by name.
"""

from __future__ import annotations

import contextlib
import faulthandler
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from xaibench import __version__
from xaibench.caching import cache_root
from xaibench.discovery import Plugin, module_file
from xaibench.errors import BrokenPlugin, XaibenchError
from xaibench.files import read_json, write_json
from xaibench.identity import key_of
from xaibench.loading import caused, described, fetch
from xaibench.references import Reference
from xaibench.registry import make

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TIMEOUT = 60.0  # seconds for one plugin
GRACE = 1.0  # seconds more, in which the child may still say where it hangs


@dataclass(frozen=True)
class Health:
    """Whether a plugin loads, and if not, why."""

    ok: bool
    error: str = ""  # type and text in one line
    traceback: str = ""
    summary: str = ""  # of its card


def examine(plugins: Iterable[Plugin], *, fresh: bool = False, timeout: float = TIMEOUT) -> dict[Plugin, Health]:
    """The health of plugins: from the cache if nothing changed since, unless it is to be `fresh`."""
    wanted = list(plugins)
    installed = installed_names()
    keys = {plugin: cache_key(plugin, installed) for plugin in wanted}
    known = {} if fresh else {plugin: health for plugin in wanted if (health := recall(keys[plugin])) is not None}
    tried = try_all([plugin for plugin in wanted if plugin not in known], timeout)
    for plugin, health in tried.items():
        remember(keys[plugin], health)
    return {plugin: known.get(plugin) or tried[plugin] for plugin in wanted}


# --------------------------------------------------------------------------------------------------------------- cache


def installed_names() -> list[str]:
    """All that is installed, with versions: installing a missing library may heal a plugin."""
    folders = [Path(entry) for entry in dict.fromkeys(sys.path) if Path(entry or ".").is_dir()]
    names = (file.name for folder in folders for file in folder.iterdir())
    return sorted(name for name in names if name.endswith((".dist-info", ".egg-info")))


def cache_key(plugin: Plugin, installed: list[str]) -> str:
    """Changes with the plugin, its file, Python and all that is installed; not with other files of the plugin."""
    file = module_file(plugin.module) if plugin.module else None
    stat = file.stat() if file else None
    return key_of(
        {
            "plugin": asdict(plugin),
            "file": [str(file), stat.st_mtime_ns, stat.st_size] if stat else None,
            "python": [sys.version, sys.prefix],
            "installed": installed,
            "xaibench": __version__,
        }
    )


def recall(key: str) -> Health | None:
    """A result from the cache."""
    try:
        found = read_json(cache_root() / "health" / f"{key}.json")
    except OSError:  # a cache that cannot be read is an empty one
        return None
    return Health(**found) if isinstance(found, dict) else None


def remember(key: str, health: Health) -> None:
    """Keep a result."""
    try:
        write_json(cache_root() / "health" / f"{key}.json", asdict(health))
    except OSError:  # a cache that cannot be written costs time, not the answer
        return


# -------------------------------------------------------------------------------------------------------------- parent


def try_all(plugins: Sequence[Plugin], timeout: float) -> dict[Plugin, Health]:
    """Try plugins in a child; when one takes the child down, blame that one and go on behind it in a new child."""
    results: dict[Plugin, Health] = {}
    plugins = list(dict.fromkeys(plugins))  # metadata may name one twice
    while len(results) < len(plugins):
        pending = plugins[len(results) :]
        lines, started, end = run_child(pending, timeout)
        results |= dict(zip(pending, lines, strict=False))
        if not started:
            raise RuntimeError(f"the process which tries plugins did not get to the first of them: {end.traceback}")
        if started > len(lines):
            results[pending[len(lines)]] = end
    return results


def run_child(plugins: Sequence[Plugin], timeout: float) -> tuple[list[Health], int, Health]:
    """Results in order, how many plugins were started, and how the child ended: the verdict on the one it was at."""
    with tempfile.TemporaryDirectory(prefix="xaibench-health-") as folder:
        request, report, errors = Path(folder, "request"), Path(folder, "report"), Path(folder, "errors")
        request.write_text(json.dumps([asdict(plugin) for plugin in plugins]), encoding="utf-8")
        report.touch()
        # -P and the path: the child shall find exactly what we find, wherever it is started.
        command = [sys.executable, "-P", "-m", "xaibench.health", str(request), str(report), str(timeout)]
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        with errors.open("wb") as stream:
            process = subprocess.Popen(  # noqa: S603  # our own interpreter on our own module
                command,
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                env={**os.environ, "PYTHONPATH": path},
            )
            hung = watch(process, report, timeout + GRACE)
        lines = [json.loads(line) for line in report.read_text(encoding="utf-8").splitlines() if line.endswith("}")]
        done = [Health(**line["health"]) for line in lines if "health" in line]
        said = errors.read_text(encoding="utf-8", errors="replace")
        return done, sum("start" in line for line in lines), ending(process.returncode, said, hung, timeout)


def watch(process: subprocess.Popen[bytes], report: Path, patience: float) -> bool:
    """Wait for the child to end. If its report does not grow for too long, end it and return True."""
    size, since = 0, time.monotonic()
    try:
        while process.poll() is None:
            if report.stat().st_size != size:
                size, since = report.stat().st_size, time.monotonic()
            if time.monotonic() - since > patience:
                return True
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(0.05)
        return False
    finally:
        process.kill()
        process.wait()


def ending(code: int, said: str, hung: bool, timeout: float) -> Health:
    """What the end of the child says of the plugin it was at."""
    if hung:
        return Health(ok=False, error=f"Timeout: it does not finish loading within {timeout:g} seconds", traceback=said)
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return Health(ok=False, error=f"Crash: it ends the process with {how}", traceback=said)


# --------------------------------------------------------------------------------------------------------------- child


def check(plugin: Plugin) -> str:
    """Load a plugin as far as that is possible without parameters, and return the summary on its card."""
    if plugin.group == "commands":
        check_command(plugin)
        return ""
    try:
        return str(make(plugin, Reference(plugin.name), "").card["summary"])
    except BrokenPlugin:
        raise
    except XaibenchError:  # it works, and asks for something: a parameter, data
        return ""


def check_command(plugin: Plugin) -> None:
    """A command must be one of click's."""
    fetched = fetch(plugin)
    if not isinstance(fetched, click.Command):
        raise BrokenPlugin(f"{described(plugin)} is no click.Command but a {type(fetched).__name__}")


def attempt(plugin: Plugin) -> Health:
    """Load a plugin and report."""
    try:
        return Health(ok=True, summary=check(plugin))
    except BrokenPlugin as error:
        cause = error.__cause__ or error
        error_text = caused(cause) if error.__cause__ else str(error)
        return Health(ok=False, error=error_text, traceback="".join(traceback.format_exception(cause)))


def main(request: str, report: str, seconds: str) -> None:
    """Try the plugins of `request` in order."""
    faulthandler.enable()
    with Path(report).open("a", encoding="utf-8") as stream:
        for values in json.loads(Path(request).read_text(encoding="utf-8")):
            plugin = Plugin(**values)
            faulthandler.dump_traceback_later(float(seconds))
            write_line(stream, {"start": plugin.name})
            write_line(stream, {"health": asdict(attempt(plugin))})
            faulthandler.cancel_dump_traceback_later()
    os._exit(0)  # whatever threads the plugins have started


def write_line(stream: TextIO, value: dict[str, Any]) -> None:
    """Tell the parent at once: the next plugin may be our end."""
    stream.write(json.dumps(value) + "\n")
    stream.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
