import pytest

from xaibench_leaderboard import wording
from xaibench_leaderboard.page.standings import ranking_content
from xaibench_leaderboard.standings import rankings_of
from xaibench_leaderboard.table import Table


@pytest.fixture
def printed(campaign, tmp_path, capsys):
    """Two models, one of them poor; a floor that beats a method; a method that failed on one metric."""
    made = campaign().reference("centre", "floor").reference("roi", "ceiling")
    for model in ("good", "poor"):
        for name, value in {"a": 0.9, "b": 0.1, "c": 0.2, "centre": 0.5, "roi": 1.0}.items():
            made.add(name, "iou", value, model=model)
        made.add("odd", "iou", 1.0, model=model, status="failed", reason="ValueError: no")
    truth = (0, 1) * 20
    made.prediction(truth, truth, model="good").prediction(truth, (0,) * 40, model="poor")
    Table().render(made.results(), tmp_path)
    return capsys.readouterr().out


def lines_of(text, start):
    return [line.split() for line in text.splitlines() if line.startswith(f" {start} ")]


def test_methods_stand_by_place_with_interval_and_group(printed):
    assert [lines_of(printed, name)[0][1:5] for name in "acb"] == [
        ["1", "[1,", "1]", "A"],
        ["2", "[2,", "2]", "B"],
        ["3", "[3,", "3]", "C"],
    ]


def test_floors_and_ceilings_are_shown_and_have_no_place(printed):
    assert lines_of(printed, "centre")[0][1:3] == ["(floor)", "0.500"]
    assert lines_of(printed, "roi")[0][1:3] == ["(ceiling)", "1.000"]


def test_the_accuracy_stands_beside_every_row_and_a_poor_model_is_flagged(printed):
    for name in ("a", "b", "c", "odd", "centre", "roi"):
        good, poor = lines_of(printed, name)[:2]
        assert (good[-1], poor[-2:]) == ("1.000", ["0.500", "!"])
    assert printed.count("! Explanations of a poor model") == 1


@pytest.mark.parametrize(("patients", "few", "legend"), [(1, "(1)", False), (5, "(5)", True), (6, "", True)])
def test_places_by_a_handful_of_patients_are_said_to_tell_nothing(campaign, patients, few, legend):
    made = campaign(patients=patients)
    for name, value in {"a": 0.9, "b": 0.1, "c": 0.2}.items():
        made.add(name, "iou", value)
    (ranking,) = rankings_of(made.results()).each
    told = wording.ranked_by(ranking)
    assert ("95 % of the bootstrap draws" in told) is legend
    flag = f"too few patients {few} to tell methods apart"
    assert (flag in told, flag in ranking_content(ranking)["notes"]) == (bool(few), bool(few))
    assert ("too few patients" in told) is bool(few)


def test_who_is_not_ranked_is_named_with_the_reason(printed):
    assert lines_of(printed, "odd")[0][1] == "-"
    assert printed.count("not ranked: odd: iou: failed (ValueError: no)") == 2


def test_how_the_ranks_came_about_is_told(printed):
    assert "Ranked by mean rank over families (weights: localisation 1) on 20 patients" in printed
    assert "Friedman over 20 patients: chi-square 40.00, p < 0.0001; critical difference of mean ranks 0.741" in printed


def test_the_ranking_over_all_boards_comes_with_mean_ranks_per_family(printed):
    overall = printed[printed.index("Over all boards") :]
    assert lines_of(overall, "a")[0] == ["a", "1", "[1,", "1]", "A", "1.000", "1.000"]
    assert "not ranked: odd: not ranked on good on phantom, poor on phantom" in overall


@pytest.mark.parametrize(("group", "letter"), [(1, "A"), (26, "Z"), (27, "AA"), (52, "AZ"), (53, "BA"), (703, "AAA")])
def test_groups_have_letters(group, letter):
    assert wording.letter(group) == letter
