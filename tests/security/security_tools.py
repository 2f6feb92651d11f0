"""What the attacks have in common."""

import json

from click.testing import CliRunner

from xaibench.cli.main import cli

RUN = (
    *("run", "--models", "oracle-linear", "--tasks", "phantom-tiny", "--explainers", "saliency", "--metrics", "iou"),
    *("--no-references", "--no-audit", "--limit", "2", "--device", "cpu", "--progress", "none"),
)


def call(*options):
    """A command as a user gives it, in this process; what it printed and raised is in the result."""
    return CliRunner().invoke(cli, [str(option) for option in options])


def edited(file, change):
    """Change a JSON file in place; the seal of a record, which anybody can make, is left off."""
    content = json.loads(file.read_text())
    content.pop("seal", None)
    change(content)
    file.write_text(json.dumps(content))
