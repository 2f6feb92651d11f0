"""Every figure of a study, worked out from its definition."""

from dataclasses import replace

import pytest
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from xaibench_leaderboard.study.comparison import filled
from xaibench_leaderboard.study.paired import agreement, difference
from xaibench_leaderboard.study.plan import parse
from xaibench_leaderboard.study.resampled import Said, estimate, of_class, overall
from xaibench_leaderboard.study.sources import critical, explained

TRUTH = (0, 0, 0, 0, 1, 1, 2, 2)
SAID = (0, 0, 0, 1, 1, 2, 2, 2)  # of normal 3 of 4, of benign 1 of 2, of malignant 2 of 2


def mean(found):
    return round(found.mean, 6)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("accuracy", 6 / 8),
        ("majority", 4 / 8),
        ("balanced_accuracy", (3 / 4 + 1 / 2 + 1) / 3),
        ("macro_recall", (3 / 4 + 1 / 2 + 1) / 3),
        ("macro_precision", (1 + 1 / 2 + 2 / 3) / 3),
        ("macro_f1", (6 / 7 + 2 / 4 + 4 / 5) / 3),
        ("macro_specificity", (1 + 5 / 6 + 5 / 6) / 3),
        ("g_mean", (3 / 4 * 1 / 2 * 1) ** (1 / 3)),
    ],
)
def test_figures_of_all_classes_follow_from_their_definitions(prediction, name, value):
    assert mean(estimate([Said(prediction(TRUTH, SAID))], overall(name))) == round(value, 6)


def test_figures_of_a_class_are_those_of_scikit_learn(prediction):
    one = prediction(TRUTH, SAID)
    expected = precision_recall_fscore_support(TRUTH, SAID, labels=[0, 1, 2])
    for at in range(3):
        for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
            assert mean(estimate([Said(one)], of_class(name, at))) == round(values[at], 6)
        shares = Said(one).shares[:, at]
        assert mean(estimate([Said(one)], of_class("auc", at))) == round(
            roc_auc_score([label == at for label in TRUTH], shares), 6
        )


def test_a_class_that_is_never_named_has_a_precision_of_zero_and_an_absent_one_has_none(prediction):
    never = Said(prediction((0, 0, 1), (0, 0, 0)))
    assert mean(estimate([never], of_class("precision", 1))) == 0
    assert estimate([never], of_class("recall", 2)) is None


def test_the_mean_over_trainings_is_that_of_their_figures_and_patients_are_drawn_once_for_all(prediction):
    good, bad = prediction(TRUTH, TRUTH), prediction(TRUTH, (1, 1, 1, 1, 0, 0, 0, 0))
    found = estimate([Said(good), Said(bad)], overall("accuracy"))
    assert found.mean == 0.5
    assert (found.low, found.high) == (0.5, 0.5)  # whoever is drawn, one training is right and the other wrong
    assert found.patients == 8
    assert found.sd == pytest.approx(0.5**0.5)


def test_films_of_one_patient_are_drawn_together(prediction):
    """Eight films of two patients: the interval is as wide as two opinions allow."""
    patients = ("a",) * 4 + ("b",) * 4
    apart = prediction((0,) * 8, (0,) * 4 + (1,) * 4, patients=patients)
    found = estimate([Said(apart)], overall("accuracy"))
    assert (found.mean, found.low, found.high) == (0.5, 0.0, 1.0)


def test_friedman_ranks_models_over_folds_by_accuracy(prediction, done):
    folds = []
    for fold in range(5):
        for model, right in (("first", 4), ("second", 3), ("third", 2)):
            said = (0,) * right + (1,) * (4 - right)
            folds.append(prediction((0,) * 4, said, model=model, fold=str(fold)))
    test = critical(done(folds))
    assert test.explainers == ("first", "second", "third")
    assert test.mean_ranks == (1, 2, 3)
    assert test.statistic == pytest.approx(10.0)  # 12 / (5 * 3 * 4) * (5^2 + 10^2 + 15^2) - 3 * 5 * 4
    assert test.blocks == 5


def test_explainers_are_compared_image_by_image(score, done):
    part = done([score("a", "iou", (0.5, 0.7, None)), score("b", "iou", (0.4, 0.4, 0.9))])
    found = difference(part, "net", ("a", "b"), "iou")
    assert found.mean == pytest.approx((0.1 + 0.3) / 2)
    assert found.images == 2  # the third has no value under the first


def test_metrics_that_rank_alike_agree_and_fewer_is_better_is_heeded(score, done):
    names = ("a", "b", "c")
    rows = [score(name, "iou", (at / 10, at / 10, at / 10 + 0.01)) for at, name in enumerate(names)]
    rows += [score(name, "deletion", (-at, -at, -at), higher=False) for at, name in enumerate(names)]
    tau, count = agreement(done(rows), "net", "iou", "deletion", names)
    assert (tau.mean, count) == (1, 3)  # the best overlap has the lowest deletion
    assert agreement(done(rows), "net", "iou", "deletion", names[:2]) == (None, 2)


STUDY = """
name = "made"
title = "Made"
recipe = "r"
model = "net"
[causes]
size = "the size differs"
[[parts]]
name = "one"
says = "by hand"
models = ["net"]
task = "films"
[[parts]]
name = "two"
models = ["net"]
task = "films"
[[tables]]
name = "Table 1"
title = "Per class"
kind = "class"
parts = ["one", "two"]
rows = ["normal"]
measures = ["recall"]
causes = ["size"]
[[tables]]
name = "Table 2"
title = "Overlap"
kind = "explainer"
parts = ["one"]
measures = ["iou"]
"""


def test_a_table_sets_ours_beside_the_papers(prediction, score, done):
    parts = {
        "one": done([prediction(TRUTH, SAID), score("cam", "iou", (0.2, 0.4)), score("lime", "iou", (), status="oom")]),
        "two": done(),
    }
    figures = {"r": {"Table 1": {"normal": {"recall": 0.9}}, "Table 2": {"cam": {"iou": 0.6}}}}
    per_class, overlap = filled(parse(STUDY, "made"), parts, figures)
    first, second = per_class.lines
    assert (first.part, first.paper, first.ours.estimate.mean) == ("one", 0.9, 0.75)
    assert first.difference == pytest.approx(-0.15)
    assert first.verdict == "the paper's lies in our interval"
    assert second.verdict == "none: no model was run"
    assert second.difference is None
    cam, lime = overlap.lines
    assert cam.ours.estimate.mean == pytest.approx(0.3)
    assert cam.verdict == "the paper's lies above our interval"
    assert lime.verdict == "none: oom"


def test_a_caption_says_n_interval_versions_and_what_was_not_run(prediction, done):
    parts = {"one": done([prediction(TRUTH, SAID)], [prediction(TRUTH, TRUTH)]), "two": done()}
    (table,) = [one for one in filled(parse(STUDY, "made"), parts, {}) if one.table.name == "Table 1"]
    for words in (
        "one: by hand",
        "n = 8 test images of 8 patients, 2 trainings or folds",
        "two: nothing has been run",
        "95 % interval over patients",
        "xaibench 1.2.3, torch 9.9, films 1, net 1",
    ):
        assert words in table.caption
    assert table.causes == ("the size differs",)


def test_seconds_are_the_median_of_another_machine_and_are_not_compared(score, done):
    part = done([score("cam", "seconds", (0.1, 0.1, 0.1, 9.7))])
    text = STUDY.replace('measures = ["iou"]', 'measures = ["seconds"]')
    table = filled(parse(text, "made"), {"one": part, "two": done()}, {"r": {"Table 2": {"cam": {"seconds": 3.0}}}})[-1]
    (line,) = table.lines
    assert line.ours.estimate.mean == 0.1  # one batch of four waited for something else
    assert (line.ours.estimate.low, line.difference, line.verdict) == (None, None, "another machine")


def test_operations_of_a_reduced_study_are_not_set_against_the_papers(prediction, done):
    study = parse(STUDY.replace('kind = "explainer"', 'kind = "training"').replace('["iou"]', '["flops"]'), "made")
    part = done([prediction(TRUTH, SAID, training={"flops": 5.0e8})])
    figures = {"r": {"Table 2": {"net": {"flops": 8.0e9}}}}
    lines = [
        filled(one, {"one": part, "two": done()}, figures)[-1].lines[0] for one in (study, replace(study, cut=True))
    ]
    assert [line.difference for line in lines] == [-7.5e9, None]
    assert lines[1].verdict == "of the reduced size: not comparable"


def test_a_caption_says_of_which_class_maps_are_and_how_often_that_is_the_true_one(score, prediction, done):
    """Overlap is defined on the last four of eight films, of which three are named rightly."""
    maps = score("gradcam", "iou", (None, None, None, None, 0.1, 0.2, 0.3, 0.4))
    part = done([prediction(TRUTH, SAID), replace(maps, labels={**maps.labels, "target": "predicted"})])
    caption = filled(parse(STUDY, "made"), {"one": part, "two": done()}, {})[-1].caption
    assert "one: maps are of the predicted class, which is the true one for 3 of 4 images with lesions" in caption


def test_two_metrics_are_compared_on_the_images_that_both_know(score, done):
    """Deletion knows the first two films too, where the explainers stand the other way round."""
    overlap = {"a": (None, None, 0.1, 0.2), "b": (None, None, 0.3, 0.3), "c": (None, None, 0.6, 0.5)}
    faithful = {"a": (9.0, 9.0, 0.1, 0.1), "b": (5.0, 5.0, 0.2, 0.3), "c": (0.0, 0.0, 0.3, 0.4)}
    rows = [score(name, "iou", values) for name, values in overlap.items()]
    rows += [score(name, "insertion", values) for name, values in faithful.items()]
    tau, count = agreement(done(rows), "net", "iou", "insertion", ["a", "b", "c"])
    assert (tau.mean, tau.images, tau.patients, count) == (1.0, 2, 2, 3)


def test_a_caption_says_which_measures_the_audit_trusts(score, done):
    part = done([score("gradcam", "iou", (0.2, 0.4))])
    verdicts = {"iou": "pass", "energy(x=1)": "fail", "seconds": "descriptive", "auprc": "fail"}
    audit = {"films": {name: {"metric": name, "verdict": verdict} for name, verdict in verdicts.items()}}
    part = replace(part, results=tuple(replace(one, audit=audit) for one in part.results))
    text = STUDY.replace('measures = ["iou"]', 'measures = ["iou", "energy", "seconds"]')
    table = filled(parse(text, "made"), {"one": part, "two": done()}, {})[-1]
    told = "passed by iou; failed by energy; not asked of seconds."
    assert f"one: the audit (is a known truth ranked above noise?) is {told}" in table.caption
    assert "auprc" not in table.caption  # which is not shown


def test_an_image_counts_with_the_mean_of_its_values_over_trainings(score, done):
    part = done([score("a", "iou", (0.2, 0.4))], [score("a", "iou", (0.4, None))])
    found = explained(part, "net", "a", "iou")
    assert found.mean == pytest.approx((0.3 + 0.4) / 2)
    assert found.images == 2
