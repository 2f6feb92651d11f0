import io
import os
import re
import subprocess
import sys
from dataclasses import replace

import pytest

from xaibench.contracts import Results
from xaibench_leaderboard.table import Table, printable


@pytest.fixture
def printed(results, tmp_path, capsys):
    Table().render(results, tmp_path)
    return capsys.readouterr().out


def line_of(text, start):
    return next(line for line in text.splitlines() if line.strip().startswith(start))


def test_every_number_stands_in_its_row_whole(printed):
    line = line_of(printed, "gradcam")
    assert re.search(r"0\.400 \[0\.\d{3}, 0\.\d{3}\]   0\.500 \[0\.500, 0\.500\]   0\.010 \[0\.010, 0\.010\]", line)
    assert re.search(r" failed \[1\]   0\.400 \[0\.400, 0\.400\]   12\.50 ", line_of(printed, "lime(samples=50)"))


def test_through_a_pipe_nothing_is_cut_however_many_metrics_there_are(result, tmp_path, capsys):
    scores = tuple(result("gradcam", f"metric-with-a-long-name-{number}", 0.123) for number in range(30))
    Table().render(Results(tmp_path, (), scores, {}, {}), tmp_path)
    out = capsys.readouterr().out
    assert line_of(out, "gradcam").count("0.123 [0.123, 0.123]") == 30
    assert "…" not in out


def test_without_a_terminal_there_are_no_colour_codes(printed):
    assert "\x1b" not in printed


def test_the_reference_band_stands_below_a_rule_and_names_floors_and_ceilings(printed):
    lines = [line.strip() for line in printed.splitlines()]
    rule = next(at for at, line in enumerate(lines) if line.startswith("rollout")) + 1
    assert set(lines[rule]) == {"─"}
    assert [line.split("  ")[0] for line in lines[rule + 1 : rule + 4]] == [
        "roi (ceiling)",
        "random (floor)",
        "constant (floor)",
    ]


def test_reasons_accuracy_audit_and_shortcut_are_told(printed, hostile):
    assert "[1] failed: ValueError: <no> segments" in printed
    assert "[2] unsupported (resnet18 has no attention)" in printed
    assert f"grey: iou failed the audit: ranks {hostile} above the oracle" in printed
    assert "train 0.990; val 0.900" in printed
    assert "! Limited run: 4 of 8 test images" in printed
    assert "would have warned: gradcam" in printed
    assert line_of(printed, "saliency    0.250").split()[7] == "unclear"


def test_names_are_no_markup_and_cannot_steer_the_terminal(result, tmp_path, capsys):
    scores = (
        result("[red]x[/red]", "energy", 0.5),
        result("a\x1b]0;owned\x07b", "energy", 0.4),
        result("odd", "energy", status="[blue]odd[/blue]"),
    )
    Table().render(Results(tmp_path, (), scores, {}, {}), tmp_path)
    out = capsys.readouterr().out
    assert "[red]x[/red]" in out
    assert "[blue]odd[/blue]" in out
    assert "a\\x1b]0;owned\\x07b" in out
    assert printable("two\nlines\tand \x1b[31m") == "two lines and \\x1b[31m"


def test_a_metric_unit_from_a_stranger_is_harmless_too(result, tmp_path, capsys):
    made = result("gradcam", "energy", 0.5)
    made = replace(made, cards={**made.cards, "metric": {**made.cards["metric"], "unit": "\x1b[2Js"}})
    Table().render(Results(tmp_path, (), (made,), {}, {}), tmp_path)
    assert "\x1b" not in capsys.readouterr().out


def test_a_narrow_terminal_gets_colours_and_whole_numbers(results, tmp_path, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("TERM", "xterm")
    Table().render(results, tmp_path)
    assert "\x1b[2m" in terminal.getvalue()
    plain = re.sub(r"\x1b\[[\d;]*m", "", terminal.getvalue())
    assert re.search(r"^ gradcam +1 \[1, 2\] A +0\.400 ", plain, re.MULTILINE)
    assert "…" not in plain


def test_a_console_that_knows_no_arrows_ends_no_run():
    code = (
        "from pathlib import Path; from xaibench.contracts import *; from xaibench_leaderboard.table import Table;"
        "labels = dict.fromkeys(('task', 'fold', 'model', 'target', 'precision', 'metric'), 'x') | {'explainer': 'é'};"
        "made = Result('k', labels, {}, 'ok', '', ('a',), ('p',), (0.5,), (False,), 1, 1);"
        "Table().render(Results(Path(), (), (made,), {}, {}), Path())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONIOENCODING": "ascii"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "0.500" in done.stdout
