"""What a metric needs of a whole cell comes from its shards, one at a time, whoever made them."""

from xaibench.store import Store
from xaibench.workbench import Setting, Workbench


def test_the_least_time_of_a_bare_pass_is_that_of_all_shards_made_at_the_same_place(tmp_path):
    store = Store(tmp_path).open()
    shards = [((0, 32), 0.5, "here"), ((32, 64), 0.2, "here"), ((64, 96), 0.1, "elsewhere"), ((96, 100), 0.4, "here")]
    for (start, stop), least, place in shards:
        seconds = [least + 0.01 * at for at in range(stop - start)]
        store.commit("abcd", (start, stop), {"seconds": seconds[::-1], "environment": place, "device": "cpu"})
    bench = Workbench(Setting(tmp_path, "cpu", 8, "here"))
    assert bench.least_seconds("abcd", 100) == {("here", "cpu"): 0.2, ("elsewhere", "cpu"): 0.1}
    assert bench.least_seconds("abcd", 32) == {("here", "cpu"): 0.5}, "a smaller run has only the first"
