from dataclasses import replace

import pytest

from xaibench.contracts import Results
from xaibench_leaderboard import wording
from xaibench_leaderboard.accuracy import accuracy_of
from xaibench_leaderboard.board import boards_of


def board_of(scores, predictions=(), audit=None, folder=None):
    (board,) = boards_of(Results(folder, tuple(predictions), tuple(scores), audit or {}, {}))
    return board


def score_of(board, explainer, metric):
    (row,) = [row for row in board.rows if row.explainer == explainer]
    (at,) = [at for at, column in enumerate(board.columns) if column.label == metric]
    return row.scores[at]


def test_there_is_one_board_per_task_model_and_target(results, quoted):
    assert [(board.title, board.labels["target"]) for board in boards_of(results)] == [
        ("resnet18 on phantom", "predicted"),
        ("resnet18 on phantom-shortcut", quoted),
    ]


def test_cells_hold_what_is_worked_out_by_hand(results):
    board = boards_of(results)[0]
    energy = score_of(board, "gradcam", "energy")
    # Patients' means are 0.1, 0.3, 0.5, 0.7. Three degrees of freedom ask for 3.182 * sqrt(4/3) = 3.67 normal standard
    # deviations: 0.01 % on either side. Each extreme is drawn with 1/256, about four times in a thousand: the ends.
    assert energy.estimate.mean == pytest.approx(0.4)
    assert (energy.estimate.low, energy.estimate.high) == pytest.approx((0.1, 0.7))
    iou = score_of(board, "gradcam", "iou")
    assert (iou.estimate.mean, iou.estimate.images, iou.images, iou.undefined, iou.failed) == (0.5, 6, 8, 2, 0)
    lime = score_of(board, "lime(samples=50)", "iou")
    assert (lime.estimate.mean, lime.failed, lime.coverage) == (pytest.approx(0.4), 4, 0.5)


def test_failed_maps_of_a_metric_without_worst_value_are_not_called_undefined(result):
    board = board_of([result("gradcam", "energy", (None, 0.5, None, 0.5), failed=(True, False, False, False))])
    score = score_of(board, "gradcam", "energy")
    assert (score.failed, score.undefined, score.estimate.images, score.coverage) == (1, 1, 2, 0.75)


def test_methods_stand_in_the_order_of_the_first_quality_metric_and_those_without_number_last(results, hostile):
    board = boards_of(results)[0]
    assert board.order.label == "energy"
    assert [row.explainer for row in board.methods] == ["gradcam", "saliency", hostile, "lime(samples=50)", "rollout"]


def test_lower_is_better_is_ordered_upwards(result):
    lower = result("a", "worse", 0.2), result("b", "worse", 0.1)
    scores = [
        replace(one, cards={**one.cards, "metric": {**one.cards["metric"], "higher_is_better": False}}) for one in lower
    ]
    assert [row.explainer for row in board_of(scores).methods] == ["b", "a"]


def test_references_stand_apart_ceilings_first_whatever_they_score(results):
    board = boards_of(results)[0]
    assert [(row.explainer, row.reference) for row in board.references] == [
        ("roi", "ceiling"),
        ("random", "floor"),
        ("constant", "floor"),
    ]


def test_a_ceiling_stands_above_a_floor_that_scores_more(result):
    scores = [result("edges", "energy", 0.9), result("roi", "energy", 0.2), result("random", "energy", 0.5)]
    assert [row.explainer for row in board_of(scores).references] == ["roi", "edges", "random"]


def test_quality_columns_come_before_descriptive_ones_and_cost_comes_last(result):
    names = ("seconds", "energy-marker", "iou", "energy")
    board = board_of([result("gradcam", name, 0.5) for name in names])
    assert [column.label for column in board.columns] == ["iou", "energy", "energy-marker", "seconds"]


def test_a_column_that_fails_the_audit_is_greyed_with_the_reason_and_gives_no_order(result):
    scores = [result("a", "iou", 0.9), result("b", "iou", 0.1), result("a", "energy", 0.1), result("b", "energy", 0.9)]
    board = board_of(
        scores, audit={"phantom": {"iou": {"verdict": "fail", "reason": "blind"}, "energy": {"verdict": "pass"}}}
    )
    iou, energy = board.columns
    assert (iou.greyed, iou.reason, energy.greyed) == (True, "blind", False)
    assert [row.explainer for row in board.methods] == ["b", "a"]


@pytest.mark.parametrize(
    ("verdict", "metric", "told"),
    [
        ("fail", "iou", "fails audit"),
        ("not audited", "iou", "not audited"),
        ("pass", "iou", ""),
        ("not audited", "energy-marker", ""),
    ],
)
def test_the_head_of_a_column_tells_of_its_audit_unless_all_is_well(result, verdict, metric, told):
    board = board_of([result("a", metric, 0.5)], audit={"phantom": {metric: {"verdict": verdict, "reason": "why"}}})
    assert wording.audited(board.columns[0]) == told


def test_the_audit_of_a_metric_holds_for_it_with_parameters_too(result):
    made = result("a", "iou(threshold=0.7)", 0.5)
    made = replace(made, cards={**made.cards, "metric": {**made.cards["metric"], "name": "iou"}})
    assert board_of([made], audit={"phantom": {"iou": {"verdict": "fail", "reason": "blind"}}}).columns[0].greyed


def test_what_fails_on_the_data_of_one_task_is_not_greyed_on_another(result):
    board = board_of([result("a", "iou", 0.5)], audit={"phantom-tiny": {"iou": {"verdict": "fail", "reason": "blind"}}})
    assert (board.columns[0].greyed, board.columns[0].verdict) == (False, "")


@pytest.mark.parametrize(
    ("explainer", "metric", "text"),
    [
        ("lime(samples=50)", "energy", "failed: ValueError: <no> segments"),
        ("rollout", "iou", "unsupported (resnet18 has no attention)"),
        ("constant", "iou", "not run"),
        ("gradcam", "energy", ""),
    ],
)
def test_a_cell_without_number_says_why(results, explainer, metric, text):
    assert wording.status(score_of(boards_of(results)[0], explainer, metric)) == text


def test_a_metric_that_applies_to_no_image_says_so(result):
    assert wording.status(score_of(board_of([result("a", "energy", ())]), "a", "energy")) == "applies to no image"


def test_a_metric_that_is_undefined_throughout_says_so(result):
    board = board_of([result("a", "energy", (None,) * 8)])
    assert wording.status(score_of(board, "a", "energy")) == "undefined for all 8 images"


def test_the_share_of_sound_maps_is_the_worst_over_the_metrics_that_look_at_maps(results):
    board = boards_of(results)[0]
    rows = {row.explainer: wording.covered(row, board) for row in board.rows}
    assert (rows["gradcam"], rows["lime(samples=50)"], rows["constant"]) == ("100 %", "50 %", "0 %")
    assert rows["rollout"] == "-"


def test_costs_alone_say_nothing_of_sound_maps(result):
    board = board_of([result("gradcam", "seconds", 0.5)])
    assert wording.covered(board.methods[0], board) == "-"


def test_a_limited_run_says_so_and_so_does_a_cell_with_fewer_images_than_its_board(result):
    board = board_of([result("a", "energy", 0.5, count=6), result("b", "energy", 0.5, count=4)])
    assert "Limited run: 6 of 8 test images" in wording.flags(board)
    assert wording.partial(score_of(board, "b", "energy"), board) == "4 of 8 images only"
    assert wording.partial(score_of(board, "a", "energy"), board) == ""


def test_a_full_run_is_not_called_limited(result):
    assert wording.flags(board_of([result("a", "energy", 0.5)])) == []


@pytest.mark.parametrize(("right", "poor"), [(2, True), (3, False)])
def test_a_model_of_two_classes_is_poor_below_seven_tenths(prediction, right, poor):
    # Recalls 1 and right/4: 0.75 or 0.875 would both pass, so the first class errs as well: (0.75 + right/4) / 2.
    said = (0, 0, 0, 1) + (1,) * right + (0,) * (4 - right)
    accuracy = accuracy_of(prediction(((0,) * 4 + (1,) * 4) * 5, said * 5, classes=("normal", "malignant")))
    assert accuracy.chance == 0.5
    assert accuracy.bar == pytest.approx(0.7)
    assert accuracy.poor is poor


def test_a_model_of_three_classes_is_poor_below_six_tenths(prediction):
    assert accuracy_of(prediction((0, 1, 2), (0, 1, 2))).bar == pytest.approx(0.6)


def test_chance_is_of_the_classes_there_are_not_of_those_that_few_images_show(prediction):
    accuracy = accuracy_of(prediction((1, 1), (0, 1), classes=("normal", "malignant")))
    assert (accuracy.chance, accuracy.bar) == (0.5, pytest.approx(0.7))


@pytest.mark.parametrize(("images", "few"), [(18, True), (20, False)])
def test_a_model_is_judged_from_twenty_images_on(prediction, images, few):
    truth = (0, 1) * (images // 2)
    accuracy = accuracy_of(prediction(truth, (0,) * images, classes=("normal", "malignant")))
    assert (accuracy.few, accuracy.poor) == (few, not few)


def test_a_model_is_not_judged_by_an_interval_wider_than_half(prediction):
    accuracy = accuracy_of(prediction((0, 1) * 20, (0,) * 40, classes=("normal", "malignant")))
    wide = replace(accuracy, test=replace(accuracy.test, low=0.2, high=0.71))
    assert (accuracy.poor, wide.poor, wide.few) == (True, False, True)


def flags_of(result, prediction):
    board = board_of([result("a", "energy", 0.5)])
    return wording.flags(replace(board, accuracy=accuracy_of(prediction)))


def test_a_handful_of_images_is_said_to_be_too_few_to_judge_the_model(result, prediction):
    (told,) = flags_of(result, prediction((1, 1), (0, 1), classes=("normal", "malignant")))
    assert told.startswith("Too few images to judge the model: 2 here; it takes 20")


def test_an_oracle_is_never_called_poor_and_said_to_be_no_diagnostician(result, prediction):
    (told,) = flags_of(result, prediction((0, 1, 2) * 10, (0,) * 30, sees="marker"))
    assert "sees only one thing, provably: marker" in told
    assert "no diagnostician" in told


@pytest.mark.parametrize(("wrong", "told"), [(32, True), (20, False)])
def test_a_model_clearly_below_chance_is_asked_for_the_order_of_its_outputs(result, prediction, wrong, told):
    # Each patient has one film of each class. 8 of 40 right: clearly below a half; 20 of 40: at chance.
    truth = (0, 1) * 20
    said = tuple(1 - label if at < wrong else label for at, label in enumerate(truth))
    flags = flags_of(result, prediction(truth, said, classes=("normal", "malignant")))
    assert any("in another order than the classes?" in flag for flag in flags) is told


def test_the_training_report_may_lack_the_accuracies_or_hold_nonsense(prediction):
    assert accuracy_of(prediction((0, 1), (0, 1))).train is None
    strange = prediction((0, 1), (0, 1), training={"train_balanced_accuracy": "high", "val_balanced_accuracy": 1})
    assert (accuracy_of(strange).train, accuracy_of(strange).val) == (None, 1.0)


def test_accuracy_is_told_in_one_sentence(results):
    first, second = boards_of(results)
    assert wording.accuracy(first.accuracy).startswith("balanced accuracy 0.833 [")
    assert wording.accuracy(first.accuracy).endswith(
        "on 8 test images of 4 patients, chance 0.333; train 0.990; val 0.900"
    )
    assert "Explanations of a poor model" not in " ".join(wording.flags(second))


def test_a_poor_model_is_told_with_the_bar_that_it_missed(result, prediction):
    told = flags_of(result, prediction((0, 1, 2) * 10, (0,) * 30))[0]
    assert told.startswith("Explanations of a poor model: its balanced accuracy 0.333 is below 0.600")


def test_a_board_without_predictions_says_that_the_accuracy_is_not_known(result):
    assert "not known" in wording.accuracy(board_of([result("a", "energy", 0.5)]).accuracy)


def test_a_broken_plugin_with_next_to_no_card_still_has_its_cell(result):
    cards = {"explainer": {"name": "broken", "family": ""}, "metric": {"name": "energy", "family": ""}}
    made = replace(result("broken", "energy", status="unavailable", reason="ImportError: no"), cards=cards)
    assert wording.status(score_of(board_of([made]), "broken", "energy")) == "unavailable (ImportError: no)"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0.000"), (0.12345, "0.123"), (-0.5, "-0.500"), (12.345, "12.35"), (123.45, "123.5"), (2e-05, "2.0e-05")],
)
def test_numbers_keep_the_digits_that_say_something(value, text):
    assert wording.number(value) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("gradcam", "gradcam"),
        ("random", "random (floor)"),
        ("roi", "roi (ceiling)"),
        ("roi-degraded(noise=0.7)", "roi-degraded(noise=0.7) (truth, degraded)"),
    ],
)
def test_the_degraded_truth_is_called_no_ceiling(result, name, shown):
    (row,) = board_of([result(name, "energy", 0.1)]).rows
    assert wording.titled(row) == shown


def test_the_command_makes_the_same_board_again_and_quotes_what_a_shell_would_read(results):
    limited = wording.command(boards_of(results)[1])
    assert limited.endswith("--limit 4 --out again")
    assert "--explainers lime,saliency,gradcam " in limited
    assert """'it'"'"'s""" in limited


def test_every_explainer_is_placed_between_noise_and_truth_on_the_images_that_have_a_truth(result):
    """Four films have lesions. There noise has .2 and the truth .8: .5 is half way, whatever the other films say."""
    board = board_of([
        result("random", "iou", (0.2,) * 4 + (0.9,) * 4),
        result("a", "iou", (0.5,) * 4 + (0.0,) * 4),
        result("roi", "iou", (0.8,) * 4),
        result("late", "iou", (None,) * 4 + (0.5,) * 4),
    ])  # fmt: skip
    assert score_of(board, "a", "iou").mean == pytest.approx(0.25)  # the figure itself is of all films
    assert {name: score_of(board, name, "iou").normalised for name in ("random", "a", "roi", "late")} == {
        "random": 0.0,
        "a": pytest.approx(0.5),
        "roi": 1.0,
        "late": None,
    }
