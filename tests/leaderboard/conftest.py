"""Results made by hand: small enough to work every number of the leaderboard out on paper."""

import time
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from xaibench.contracts import ExplainerCard, MetricCard, ModelCard, Prediction, Result, Results, TaskCard
from xaibench.seeds import derive
from xaibench_leaderboard.html import Html

HOSTILE = "<img src=x onerror=alert(1)>"
QUOTED = "it's \"<b>malignant</b>\"' onmouseover='alert(2)"
PATIENTS = ("p1", "p1", "p2", "p2", "p3", "p3", "p4", "p4")
IDS = tuple(f"film-{number}" for number in range(8))


def plain(card):
    return {name: sorted(value) if isinstance(value, frozenset) else value for name, value in asdict(card).items()}


def metric(name, **more):
    more = {"family": "localisation", "higher_is_better": True, "summary": f"what {name} is"} | more
    return plain(MetricCard(name=name, **more))


METRICS = {
    "energy": metric("energy", needs=frozenset({"mask"})),
    "iou": metric("iou", version=3),
    "energy-marker": metric("energy-marker", region="marker", claims_quality=False),
    "seconds": metric(
        "seconds",
        family="cost",
        higher_is_better=False,
        highest=None,
        worst=None,
        unit="s",
        uses_map=False,
        claims_quality=False,
    ),
}


def explainer(name, reference=""):
    family = "reference" if reference else "gradient"
    return plain(ExplainerCard(name=name, summary=f"what {name} is", family=family, reference=reference))


EXPLAINERS = {
    "random": explainer("random", "floor"),
    "edges": explainer("edges", "floor"),
    "constant": explainer("constant", "floor"),
    "roi": explainer("roi", "ceiling"),
    "roi-degraded(noise=0.7)": explainer("roi-degraded", "ceiling"),
}


@pytest.fixture
def result():
    """Make one cell; a value that is given once stands for all eight films."""

    def make(explainer_label, metric_label, values=(), *, status="ok", reason="", failed=None, count=8, **labels):
        values = values if isinstance(values, tuple) else (values,) * min(count, 8)
        labels = {
            "task": "phantom",
            "fold": "0",
            "model": "resnet18",
            "target": "predicted",
            "precision": "fp32",
        } | labels
        labels |= {"explainer": explainer_label, "metric": metric_label}
        return Result(
            key=f"{derive(*labels.values()):016x}",
            labels=labels,
            cards={
                "task": plain(TaskCard(name=labels["task"], summary="")),
                "model": plain(ModelCard(name=labels["model"], summary="")),
                "explainer": EXPLAINERS.get(explainer_label) or explainer(explainer_label.partition("(")[0]),
                "metric": METRICS.get(metric_label) or metric(metric_label),
            },
            status=status,
            reason=reason,
            ids=IDS[: len(values)],
            patients=PATIENTS[: len(values)],
            values=values,
            failed=failed or (False,) * len(values),
            count=count,
            total=8,
        )

    return make


@pytest.fixture
def prediction():
    """Make a model's answers: for each film its class and the class the model says."""

    def make(truth, said, classes=("normal", "benign", "malignant"), *, training=None, sees="", **labels):
        labels = {"task": "phantom", "fold": "0", "model": "resnet18", "precision": "fp32"} | labels
        return Prediction(
            key=f"{derive(*labels.values()):016x}",
            labels=labels,
            cards={"model": plain(ModelCard(name=labels["model"], summary="", sees=sees))},
            classes=classes,
            ids=tuple(f"film-{number}" for number in range(len(truth))),
            patients=tuple(f"p{1 + number // 2}" for number in range(len(truth))),
            truth=tuple(truth),
            logits=tuple(tuple(float(at == answer) for at in range(len(classes))) for answer in said),
            training=training or {},
            weights="abc",
        )

    return make


def clean_board(result):
    """Eight films of four patients, methods and references, and everything that can go wrong with a cell."""
    rising = (0.0, 0.2, 0.2, 0.4, 0.4, 0.6, 0.6, 0.8)  # mean 0.4
    half = (True, False) * 4
    return [
        result("saliency", "energy", 0.25),
        result("saliency", "iou", 0.3),
        result("saliency", "seconds", 0.002),
        result("gradcam", "energy", rising),
        result("gradcam", "iou", (0.5, None, 0.5, None, 0.5, 0.5, 0.5, 0.5)),
        result("gradcam", "seconds", 0.01),
        result("lime(samples=50)", "energy", status="failed", reason="ValueError: <no> segments"),
        result("lime(samples=50)", "iou", (0.0, 0.8) * 4, failed=half),
        result("lime(samples=50)", "seconds", 12.5),
        result("rollout", "energy", status="unsupported", reason="resnet18 has no attention"),
        result("rollout", "iou", status="unsupported", reason="resnet18 has no attention"),
        result("rollout", "seconds", status="unsupported", reason="resnet18 has no attention"),
        result(HOSTILE, "energy", 0.1),
        result(HOSTILE, "iou", 0.1),
        result("random", "energy", 0.05),
        result("random", "iou", 0.05),
        result("random", "seconds", 0.001),
        result("constant", "energy", 0.0, failed=(True,) * 8),
        result("roi", "energy", 1.0),
        result("roi", "iou", 0.9),
        result("roi", "seconds", 0.001),
    ]


def shortcut_board(result):
    """Four of eight films with a marker, on which gradcam lights up, saliency no more than edges, lime not at all."""
    shares = {  # explainer: share on the marker, share on the lesion
        "gradcam": ((0.5, 0.6, 0.5, 0.6), 0.1),
        "saliency": ((0.2, 0.2, 0.3, 0.3), 0.2),
        "lime": ((0.0, 0.0, 0.1, 0.1), 0.3),
        "random": ((0.02, 0.02, 0.02, 0.02), 0.05),
        "edges": ((0.2, 0.2, 0.4, 0.4), 0.1),
        "roi": ((0.0, 0.0, 0.0, 0.0), 1.0),
    }
    labels = {"task": "phantom-shortcut", "count": 4, "target": QUOTED}
    return [
        made
        for name, (marker, lesion) in shares.items()
        for made in (result(name, "energy-marker", marker, **labels), result(name, "energy", lesion, **labels))
    ]


@pytest.fixture
def results(result, prediction):
    """Two boards: one with every kind of cell, one with a shortcut; an audit; hostile names throughout."""
    return Results(
        folder=Path("some-folder"),
        predictions=(
            prediction(
                (0, 0, 1, 1, 2, 2, 2, 2),
                (0, 0, 1, 0, 2, 2, 2, 2),
                training={"train_balanced_accuracy": 0.99, "val_balanced_accuracy": 0.9},
            ),
            prediction(
                (0, 1, 2, 0),
                (1, 1, 0, 2),
                training={"train_balanced_accuracy": 1.0, "val_balanced_accuracy": 0.98},
                task="phantom-shortcut",
                sees="marker",
            ),
        ),
        scores=(*clean_board(result), *shortcut_board(result)),
        audit={
            "phantom": {
                "energy": {
                    "verdict": "pass",
                    "reason": "",
                    "checks": [{"name": "order", "passed": True, "detail": "1.00"}],
                },
                "iou": {
                    "verdict": "fail",
                    "reason": f"ranks {HOSTILE} above the oracle",
                    "checks": [{"name": "order", "passed": False, "detail": QUOTED}],
                },
            }
        },
        environment={"python": "3.11", "cpu": {"name": HOSTILE, "cores": 2}},
    )


@pytest.fixture
def hostile():
    """A name that would run in a page which does not escape it."""
    return HOSTILE


@pytest.fixture
def quoted():
    """A name that would break out of an attribute."""
    return QUOTED


class Visit:
    """A page with everything it asked for and complained about."""

    def __init__(self, context, path, address=""):
        self.troubles, self.requests, self.path = [], [], path
        self.page = context.new_page()
        self.page.on("console", lambda message: self.troubles.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.troubles.append(str(error)))
        self.page.on("dialog", self._dialog)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(f"{path.as_uri()}{address}")

    def _dialog(self, dialog):
        self.troubles.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def ready(self):
        """Wait until the page has drawn itself."""
        self.page.wait_for_selector("html[data-ready]", state="attached")
        return self

    def until(self, expression):
        """Wait until something holds. Playwright's own way evaluates text inside the page, which its policy forbids."""
        deadline = time.monotonic() + 20
        while not self.page.evaluate(expression):
            assert time.monotonic() < deadline, f"in vain: {expression}"
            self.page.wait_for_timeout(20)

    def go(self, address):
        """Follow a link within the page."""
        self.page.evaluate(
            """address => new Promise((done) => {
              addEventListener("hashchange", () => setTimeout(done), { once: true });
              if (location.hash === `#${address}`) done();
              location.hash = address;
            })""",
            address,
        )
        return self

    def all(self, selector, what="textContent"):
        """A property of every element of a kind."""
        return self.page.locator(selector).evaluate_all(f"all => all.map(one => one.{what})")

    def names(self, body=".methods"):
        """The explainers of a body of the table, in order."""
        return self.all(f"#board {body} tr[data-explainer]", "dataset.explainer")


@pytest.fixture
def visit(browser):
    """Open a file as a reader does; nothing may be complained about or fetched from elsewhere unless a test says so."""
    contexts, visits = [], []

    def open_file(path, address="", *, guarded=True, **options):
        contexts.append(browser.new_context(**options))
        one = Visit(contexts[-1], path, address)
        if guarded:
            visits.append(one)
        return one

    yield open_file
    for one in visits:
        assert one.troubles == []
        assert [url for url in one.requests if not url.startswith(one.path.parent.as_uri())] == []
    for context in contexts:
        context.close()


@pytest.fixture
def path(results, tmp_path):
    return Html().render(results, tmp_path)


@pytest.fixture
def board(visit, path):
    return lambda address="", **options: visit(path, address, **options).ready()


@pytest.fixture
def several(result, results):
    """Four methods, three families that disagree, on enough films to rank."""
    values = {
        "energy": (0.9, 0.7, 0.5, 0.3),
        "stable": (0.1, 0.9, 0.5, 0.4),
        "seconds": (4.0, 3.0, 2.0, 1.0),
    }
    scores = []
    for metric, row in values.items():
        for name, value in zip("abcd", row, strict=True):
            jitter = tuple(value + step / 1000 for step in range(8))
            one = result(name, metric, jitter)
            if metric == "stable":
                one = replace(one, cards={**one.cards, "metric": {**one.cards["metric"], "family": "stability"}})
            scores.append(one)
    return replace(results, scores=tuple(scores), audit={})
