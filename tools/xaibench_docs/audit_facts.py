"""Record what the audit says of every metric: `xaibench audit --json --tasks T > F`, then `python THIS_FILE F`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from xaibench.registry import create

RECORD = Path(__file__).with_name("audit.json")


def recorded(verdicts: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each verdict what the catalogue shows."""
    facts = {}
    for verdict in verdicts:
        ranked = [check["probability"] for check in verdict["checks"] if check["probability"] is not None]
        facts[verdict["metric"]] = {
            "version": create("metrics", verdict["metric"]).card["version"],
            "verdict": verdict["verdict"],
            "least": min(ranked, default=None),
            "reason": verdict["reason"],
        }
    return {"task": verdicts[0]["task"], "verdicts": dict(sorted(facts.items()))}


if __name__ == "__main__":
    answer = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    RECORD.write_text(json.dumps(recorded(answer), indent=1) + "\n", encoding="utf-8")
