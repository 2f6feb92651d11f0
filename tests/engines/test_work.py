"""How work is cut and dealt out, without any process."""

from dataclasses import replace

import pytest

from xaibench.contracts import Cell, Outcome
from xaibench.engines.processes import Processes
from xaibench.engines.seat import ending
from xaibench.engines.work import Work, parts


def cell(count=32, model="a", variant=""):
    identity = {"variant": variant, "fold": 0, "precision": "fp32", "seed": 0}
    return Cell(f"{model}{variant}{count}", "explain", identity, {}, {}, {"task": "t", "model": model}, count, count)


def drain(work, group=None):
    return [piece.cell for piece in iter(lambda: work.take(group), None)]


def test_parts_begin_where_shards_begin_and_cover_every_sample_once():
    assert [part.part for part in parts(cell(100), 70)] == [(0, 64), (64, 100)]
    assert parts(cell(64), 64) == [cell(64)]
    assert [part.part for part in parts(cell(65), 1)] == [(0, 32), (32, 64), (64, 65)]
    (part, _) = parts(cell(100), 64)
    assert parts(part, 32) == [part], "a part is not parted again"


def test_few_cells_are_shared_out_in_smaller_parts_so_that_no_worker_waits_for_the_last():
    three = [cell(128, name) for name in "abc"]
    assert len(Work.of(three, 256)) == 3, "one worker does them one after the other"
    assert len(Work.of(three, 256, workers=2)) == 12, "in shards of 32: there are no smaller parts"
    assert len(Work.of([cell(5120)], 256, workers=2)) == 20, "of 256 images, as was asked"
    assert len(Work.of([cell(64, str(name)) for name in range(100)], 256, workers=2)) == 100, "enough for everybody"


def test_what_takes_many_passes_is_begun_first():
    cards = {"quick": {"explainer": {"dear": False}}, "slow": {"explainer": {"dear": True}}}
    cells = [replace(cell(model=name), identity={**cell().identity, "e": name}, cards=cards[name]) for name in cards]
    together = [replace(one, references={}) for one in cells]
    assert drain(Work.of(together, 256)) == [together[1], together[0]]
    scores = [replace(cell(), kind="score", cards={"metric": {"needs": needs}}) for needs in ([], ["mask", "model"])]
    assert drain(Work.of(scores, 256)) == [scores[1], scores[0]]


def test_a_worker_stays_with_its_network_and_two_workers_begin_with_two():
    cells = [cell(1, "a"), cell(2, "a"), cell(3, "b"), cell(4, "b"), cell(5, "b")]
    work = Work.of(cells, 256)
    first, second = work.take(None), work.take(None)
    assert [first.cell, second.cell] == [cells[0], cells[2]]
    assert work.take(first.group).cell == cells[1]
    assert work.take(first.group).cell == cells[3], "its own are done: it helps the other"
    assert work.take(second.group).cell == cells[4]
    assert work.take(first.group) is None


def test_networks_spoilt_in_other_ways_are_other_networks():
    work = Work.of([cell(1), cell(2, variant="cascade:50"), cell(3, variant="seed:1")], 256)
    assert len(work.waiting) == 2, "another seed needs no other network"


def test_what_was_taken_and_not_done_comes_back_in_its_place():
    work = Work.of([cell(1), cell(2), cell(3)], 256)
    taken = [work.take(None), work.take(None)]
    work.again(taken)
    assert [one.count for one in drain(work)] == [1, 2, 3]


def test_a_cell_in_parts_has_ended_with_its_last_part_and_as_badly_as_the_worst():
    whole = cell(96)
    work = Work.of([whole], 32)
    one, two, three = work.take(None), work.take(None), work.take(None)
    assert work.ended(two, Outcome(two.cell, "timeout", "slow", 2.0)) == []
    assert work.ended(one, Outcome(one.cell, "ok", seconds=1.0)) == []
    assert work.open()
    assert work.ended(three, Outcome(three.cell, "ok", cached=True)) == [Outcome(whole, "timeout", "slow", 3.0)]
    assert not work.open()


def test_given_up_work_has_an_outcome_for_every_cell_that_had_none():
    work = Work.of([cell(1), cell(64)], 32)
    work.ended(piece := work.take(None), Outcome(piece.cell, "ok"))
    assert [outcome.cell.count for outcome in work.given_up("interrupted", "lost")] == [64]
    assert not work.open()


@pytest.mark.parametrize("wrong", [{"workers": -1}, {"threads": 0}, {"images": 0}, {"timeout": -1.0}])
def test_parameters_that_cannot_be_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Processes(**wrong)


def test_an_ending_has_the_name_of_the_signal():
    assert ending(-11) == "was killed by SIGSEGV"
    assert ending(9) == "ended with exit code 9"
