from dataclasses import replace
from pathlib import Path

import pytest

from xaibench.errors import UsageError
from xaibench.references import parse as reference
from xaibench.registry import plugins
from xaibench_leaderboard.study.comparison import filled
from xaibench_leaderboard.study.places import REFERENCES
from xaibench_leaderboard.study.plan import find, names, only, parse, reduced, reductions, repeated, whole
from xaibench_leaderboard.study.running import reported, request, slug, works
from xaibench_leaderboard.study.sources import Done

TINY = Path(__file__).with_name("tiny.toml")


def tiny(*changes):
    text = TINY.read_text(encoding="utf-8")
    for before, after in changes:
        assert before in text
        text = text.replace(before, after)
    return parse(text, "study tiny")


@pytest.mark.parametrize("name", names())
def test_every_study_parses_whole_and_cut_down(name):
    study = find(name)
    assert study.name == name
    assert study.tables
    assert all(table.causes for table in study.tables)
    cut = reduced(study)
    assert reductions(cut)
    assert not reductions(study)


def test_the_studies_of_all_papers_are_there():
    assert {"balve", "hmc", "freezing", "raut", "raut-mias", "dala", "phantom"} <= set(names())


@pytest.mark.parametrize("name", [name for name in names() if find(name).paper])
def test_every_study_of_a_paper_finds_its_figures_under_tables_that_it_shows(name):
    study = find(name)
    figures = reported(study)
    for table in study.tables:
        found = [rows for part in table.parts if (rows := figures[study.recipe_of(part)].get(table.name))]
        assert table.shown or found, f"{table.name}: no figures, and nothing said of what the paper shows instead"
        assert all(set(rows) <= set(table.rows) for rows in found), table.name
        assert all(set(row) <= set(table.measures) for rows in found for row in rows.values()), table.name


@pytest.mark.parametrize(
    ("study", "table", "row", "measure", "figure"),
    [
        ("balve", "Table 1", "cnn-elhouby", "accuracy", 0.77),
        ("balve", "Table 2", "malignant", "recall", 0.48),
        ("balve", "Table 3", "lime", "seconds", 50.5),
        ("hmc", "Table 2", "hmc", "parameters", 45e6),
        ("hmc", "Table 5", "vit", "macro_f1", 0.834),
        ("hmc", "Table 6", "scorecam", "iou", 0.68),
        ("hmc", "Table 8", "resnet50 / hmc", "p", 0.0022),
        ("freezing", "Abstract", "vgg19", "macro_auc", 0.95),
        ("raut", "Table IV, ResNet50, strategy 1", "gradcam", "ll-score", 0.128),
        ("dala", "BreakHis 400x", "dala-resnet50", "accuracy", 0.943),
    ],
)
def test_figures_are_those_printed_in_the_papers(study, table, row, measure, figure):
    plan = find(study)
    (one,) = [one for one in plan.tables if one.name == table]
    papers = [reported(plan)[plan.recipe_of(part)].get(table, {}).get(row, {}).get(measure) for part in one.parts]
    assert figure in papers


def test_what_a_paper_says_of_one_set_up_is_not_put_beside_another():
    """The abstract gives accuracy at the best ratio of frozen layers, the area under the curve at every ratio."""
    study = find("freezing")
    lines = filled(study, {part.name: Done(part.name, ()) for part in study.parts}, reported(study))[0].lines
    papers = {(one.row, one.measure, one.part): one.paper for one in lines if one.paper is not None}
    ratios = [part.name for part in study.parts]
    assert {part for row, measure, part in papers if (row, measure) == ("resnet50", "macro_auc")} == set(ratios)
    assert {part for row, measure, part in papers if (row, measure) != ("resnet50", "macro_auc")} == {"50 %"}


def test_cut_down_is_what_the_file_says_and_is_told():
    study = reduced(find("freezing"))
    assert all("epochs=6" in model and "none" in model for part in study.parts for model in part.models)
    assert all("size=64" in part.task for part in study.parts)
    assert {"epochs=6 of every model", "size=64 of the task"} <= set(reductions(study))


def test_parts_may_be_cut_more_than_others():
    study = reduced(find("balve"))
    parts = {part.name: part for part in study.parts}
    assert [parts[name].seeds for name in ("paper", "strict")] == [5, 5]
    assert parts["paper"].limit is None  # all films are classified
    assert parts["many passes, paper"].limit > parts["robustness, paper"].limit > 0
    told = f"of robustness, paper only the first {parts['robustness, paper'].limit} test images"
    assert told in reductions(study)
    assert told in reductions(study, ["robustness, paper", "paper"])
    assert not any("robustness" in one for one in reductions(study, ["paper"]))
    full = find("balve").parts[0]
    extra = parts["paper, full size"]
    assert (extra.models, extra.task) == (full.models, full.task)
    assert "as they stand: paper, full size; strict, full size" in reductions(study)


def test_a_whole_study_has_none_of_the_parts_that_only_judge_a_cut():
    study = whole(find("balve"))
    assert not any("full size" in part.name for part in study.parts)
    assert not any("full size" in name for table in study.tables for name in table.parts)


def test_single_models_may_be_cut_more_than_others_and_the_tables_that_show_them_say_so():
    study = reduced(find("hmc"))
    parts = {part.name: part for part in study.parts}
    assert all("epochs=20" in model for model in parts["family"].models)
    assert [model.partition("(")[0] for model in parts["rivals"].models] == ["vit", "vgg16", "vgg19"]
    assert all("epochs=6" in model for model in parts["rivals"].models)
    assert "but epochs=6 of vgg16" in reductions(study)
    assert "but epochs=6 of vgg16" in reductions(study, ["rivals"])
    assert not any("vgg16" in one for one in reductions(study, ["family"]))


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        ("models = { vgg61 = { epochs = 6 } }", "quick.models names 'vgg61'; there are: oracle-lesion"),
        ('drop = ["gradcam", "nothing"]', "quick.drop names 'nothing'; there are: gradcam, iou"),
        ("limits = { two = 3 }", "quick.limits names 'two'; there are: one"),
        ('parts = ["two"]', "quick.parts names 'two'; there are: one"),
    ],
)
def test_what_is_not_there_cannot_be_cut(cut, message):
    with pytest.raises(UsageError, match=message):
        tiny(("[quick]", f"[quick]\n{cut}"))


def test_models_that_take_too_long_are_dropped():
    study = find("hmc")
    cut = reduced(replace(study, quick=replace(study.quick, drop=("vgg16", "vgg19"))))
    (rivals,) = [part for part in cut.parts if part.name == "rivals"]
    assert [model.partition("(")[0] for model in rivals.models] == ["vit"]
    assert "without vgg16, vgg19" in reductions(cut)


def test_explainers_that_take_too_long_are_dropped():
    full, cut = ({part.name: part for part in one.parts} for one in (find("phantom"), reduced(find("phantom"))))
    assert "lime-package" in full["clean"].explainers
    assert "lime-package" not in cut["clean"].explainers


def test_one_part_may_be_run_alone():
    study = only(find("balve"), ["strict"])
    assert [part.name for part in study.parts] == ["strict"]
    assert {name for table in study.tables for name in table.parts} == {"strict"}
    assert only(study, []) == study
    with pytest.raises(UsageError, match="no part 'papre'; there are: faithfulness, paper, "):
        only(find("balve"), ["papre"])


def test_metrics_that_take_too_long_are_dropped_too():
    clean = {part.name: part for part in reduced(find("phantom")).parts}["clean"]
    assert not {"deletion", "insertion"} & set(clean.metrics)
    assert "energy" in clean.metrics


def test_the_first_training_of_every_part_comes_before_the_second_of_any(tmp_path):
    found = [(work.part.name, work.seed) for work in works(find("balve"), tmp_path, 3)]
    assert found[:4] == [("paper", 3), ("strict", 3), ("maps, paper", 3), ("many passes, paper", 3)]
    assert found[14:16] == [("paper", 4), ("strict", 4)]
    assert len(found) == 4 * 5 + 10


def test_repeats_change_only_what_is_trained_more_than_once():
    study = repeated(find("balve"), 2)
    assert [part.seeds for part in study.parts] == [2, 2, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 1, 1]
    with pytest.raises(UsageError, match="give 1 to 100"):
        repeated(study, 0)


@pytest.mark.parametrize("protocol", ["paper", "strict"])
def test_every_explainer_that_fits_a_network_of_convolutions_is_tried_on_the_crops_of_mias(protocol):
    parts = [part for part in find("balve").parts if part.name.endswith(f", {protocol}")]
    tried = {reference(name).target for part in parts for name in part.explainers}
    files_or_attention = {"maps", "attention-gradient", "attention-rollout", "hmc-attention"}
    assert {one.name for one in plugins("explainers")} - tried == REFERENCES | files_or_attention


def test_a_part_becomes_a_request_with_its_terms(tmp_path):
    (work, *_) = works(reduced(tiny()), tmp_path, 7)
    asked = request(work, "cpu")
    assert (asked.models, asked.explainers, asked.metrics) == (
        "oracle-lesion",
        "gradcam,saliency",
        "iou,stability,seconds",
    )
    assert asked.tasks == "phantom-tiny(size=64, test=20, train=8)"
    assert (asked.terms.seed, asked.terms.limit, asked.profile) == (7, 8, "quick")
    assert work.folder == tmp_path / "one-seed7"
    only = replace(work, part=replace(work.part, explainers=()))
    assert request(only, "cpu").explainers == "none"
    assert (asked.audit, request(only, "cpu").audit) == (True, False)  # where nothing is explained, nothing is measured


def test_names_become_folders():
    assert slug("S1, strict") == "s1-strict"
    assert slug("50 %") == "50"


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ('title = "A study', 'titel = "A study', r"'titel' is unknown; did you mean title\?"),
        ("seeds = 2", 'seeds = "2"', r"seeds is '2'; it is of type int"),
        ('kind = "class"', 'kind = "classes"', "kind is 'classes'; it is one of 'overall'"),
        ('parts = ["one"]\nmeasures = ["recall"]', 'parts = ["two"]\nmeasures = ["recall"]', "wants the part two"),
        ('causes = ["drawn"]\n\n[[tables]]', 'causes = ["dawn"]\n\n[[tables]]', "names the cause dawn"),
        ('task = "phantom-tiny(size=64, test=20)"\n', "", r"parts\[0\]: task is missing"),
    ],
)
def test_mistakes_are_named_with_their_place(before, after, told):
    with pytest.raises(UsageError, match=told):
        tiny((before, after))


def test_an_unknown_study_is_refused_with_those_there_are():
    with pytest.raises(UsageError, match="there is no study 'balves'; there are: balve, dala"):
        find("balves")
