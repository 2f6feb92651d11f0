"""A page for everything that is registered: facts from its card, and what people wrote about it beside them."""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xaibench.references import spell
from xaibench_docs.plugins import described

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from xaibench_docs.plugins import Described

AUDIT = Path(__file__).with_name("audit.json")  # written by `python tools/xaibench_docs/audit_facts.py`
PROFILES = ("quick", "standard", "paper")
TITLES = {"metrics": "Metrics", "explainers": "Explainers", "models": "Models", "tasks": "Tasks"}
NEEDS = {
    "mask": "images with a lesion",
    "normal": "images without a lesion",
    "model": "the network (it runs passes of its own)",
    "additive": "an explainer whose raw map adds up to the gain of the logit",
    "gradients": "gradients of the network",
    "cam_layer": "a spatial layer that the model names",
    "attention": "attention modules",
    "masks": "the lesion masks themselves",
    "prior": "the mean lesion mask of the training images",
}


def page_of(one: Described, written: str) -> str:
    """The whole page. `written` is what lies beside the cards: definition, formula, pitfalls."""
    parts = [
        f"# {one.name}",
        f"*{_sentence(str(one.card['summary']))}*",
        table([("From the card", ""), *FACTS[one.group](one)]),
        written.strip(),
        parameters(one),
        source(one),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def index_of(group: str, written: str) -> str:
    """The list of all of one kind, family by family."""
    found = described(group)
    families = list(dict.fromkeys(one.family for one in sorted(found, key=lambda one: one.family)))
    parts = [written.strip() or f"# {TITLES[group]}", f"{len(found)} are built in."]
    for family in families:
        rows = [
            (f"[{one.name}]({one.slug}.md)", _sentence(str(one.card["summary"])), _default(one))
            for one in found
            if one.family == family
        ]
        heading = [f"## {family.capitalize()}"] if family else []
        parts += [*heading, table([("name", "what it is", "part of a run that names none"), *rows])]
    return "\n\n".join(parts) + "\n"


# ---------------------------------------------------------------------------------------------------------------- facts


def metric_facts(one: Described) -> list[tuple[str, str]]:
    """What a metric's card says."""
    card = one.card
    facts = [
        ("Family", one.family),
        ("Better", "higher" if card["higher_is_better"] else "lower"),
        ("Range", value_range(card)),
        (
            "A failed map scores",
            "nothing; it is counted as failed" if card["worst"] is None else f"{card['worst']:.4g}",
        ),
        ("Needs", needs(card)),
        ("Other maps it asks for", ", ".join(f"`{name}`" for name in card["variants"])),
        ("Region", f"only images that carry a {card['region']}" if card["region"] else ""),
        ("Draws a curve over", card["curve_axis"]),
        ("Sanity gate", f"an explainer whose mean is worse than {card['gate']:.3g} fails" if card["gate"] else ""),
        ("Claims to rank quality", "yes" if card["claims_quality"] else "no, it describes"),
        ("Audit", audit_of(one)),
    ]
    return [*facts, *common_facts(one)]


def explainer_facts(one: Described) -> list[tuple[str, str]]:
    """What an explainer's card says."""
    card = one.card
    facts = [
        ("Family", one.family + (f" ({card['reference']}, never ranked)" if card["reference"] else "")),
        ("Range", signs(card)),
        ("Draws random numbers", "yes, from the seed of each image" if card["stochastic"] else "no"),
        ("Needs", needs(card)),
        ("Depends on the class", "yes" if card["class_sensitive"] else "no"),
        ("Adds up to the logit's gain over black", "yes" if card["additive"] else ""),
    ]
    return [*facts, *common_facts(one)]


def model_facts(one: Described) -> list[tuple[str, str]]:
    """What a model's card says."""
    card = one.card
    facts = [
        ("Learns its weights", "yes, on first use" if card["trained"] else "no: they are fixed"),
        ("Provides", ", ".join(NEEDS.get(name, name) for name in card["provides"])),
        ("Sees, provably, nothing but", card["sees"]),
    ]
    return [*facts, *common_facts(one)]


def task_facts(one: Described) -> list[tuple[str, str]]:
    """What a dataset's card says."""
    card = one.card
    facts = [
        ("Source", str(card.get("source", ""))),
        ("Planted", str(card.get("scenario", ""))),
        ("Citation of the data", str(card.get("citation", ""))),
    ]
    return [*facts, *common_facts(one)]


def common_facts(one: Described) -> list[tuple[str, str]]:
    """What every card says."""
    card = one.card
    return [
        ("Default", _default(one)),
        ("Citation", str(card.get("paper") or card.get("citation") or "none published: defined by xaibench")),
        ("Licence", str(card.get("licence", ""))),
        ("Version", str(card.get("version", 1))),
    ]


FACTS: Mapping[str, Callable[[Described], list[tuple[str, str]]]] = {
    "metrics": metric_facts,
    "explainers": explainer_facts,
    "models": model_facts,
    "tasks": task_facts,
}


def value_range(card: Mapping[str, Any]) -> str:
    """From the lowest to the highest value, with the unit."""
    lowest = "no lower bound" if card["lowest"] is None else f"{card['lowest']:.4g}"
    highest = "no upper bound" if card["highest"] is None else f"{card['highest']:.4g}"
    unit = f", in {card['unit']}" if card["unit"] else ""
    return f"{lowest} to {highest}{unit}"


def signs(card: Mapping[str, Any]) -> str:
    """What the values of a raw map may be; every scored map lies in [0, 1]."""
    raw = "of either sign" if card["sign"] == "signed" else "0 or more"
    return f"raw values {raw}; scored as a map in 0 to 1"


def needs(card: Mapping[str, Any]) -> str:
    """In words."""
    return "; ".join(NEEDS.get(name, name) for name in card["needs"]) or "nothing but the map" * ("worst" in card)


def audit_of(one: Described) -> str:
    """What the audit of the metrics said of this version, if it was recorded."""
    recorded = json.loads(AUDIT.read_text(encoding="utf-8"))
    found = recorded["verdicts"].get(one.name)
    if not found or found["version"] != one.card["version"]:
        return "not recorded for this version: run `xaibench audit`"
    least = f", least probability of a right order {found['least']:.3f}" if found["least"] is not None else ""
    reason = f" ({found['reason']})" if found["reason"] else ""
    return f"{found['verdict']} on `{recorded['task']}`{least}{reason}"


def _default(one: Described) -> str:
    if not one.card.get("default", True):
        return "no"
    return "yes, but not in the profile `quick`" if one.card.get("dear") else "yes"


# ----------------------------------------------------------------------------------------------------------- parameters


def parameters(one: Described) -> str:
    """Defaults, and what each profile sets instead."""
    if not one.parameters:
        return "## Parameters\n\nNone."
    profiles = [name for name in PROFILES if one.card["profiles"].get(name)]
    rows = [("parameter", "default", *(f"profile `{name}`" for name in profiles))]
    for name, default in one.parameters.items():
        set_to = [one.card["profiles"][profile].get(name) for profile in profiles]
        rows.append((f"`{name}`", value(default), *("" if item is None else value(item) for item in set_to)))
    notes = f"\n\nThe notes of the source:\n\n```text\n{one.docstring}\n```" if "\n\n" in one.docstring else ""
    return f"## Parameters\n\n{table(rows)}{notes}"


def value(item: Any) -> str:
    """As it is given on the command line."""
    if item is inspect.Parameter.empty:
        return "to be given"
    return "none" if item is None else f"`{spell(item)}`" if item != "" else '`""`'


def source(one: Described) -> str:
    """Where to look further."""
    kind = one.group.removesuffix("s")
    return f"## Source\n\n`{one.module}`; on the command line: `xaibench info {kind} {one.name}`."


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Rows of Markdown, the first one the head; rows whose second cell is empty are left out."""
    head, *body = [tuple(cell.replace("|", "\\|").replace("\n", " ") for cell in row) for row in rows]
    kept = [row for row in body if len(row) > 2 or row[1]]
    lines = [head, tuple("---" for _ in head), *kept]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def _sentence(summary: str) -> str:
    first = summary[:1].upper() + summary[1:]
    return first if first.endswith((".", "?")) else f"{first}."
