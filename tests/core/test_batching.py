import pytest
import torch

from xaibench.batching import Batcher, is_out_of_memory


def work_that_fits(limit, error):
    tried = []

    def work(batch):
        tried.append(list(batch))
        if len(batch) > limit:
            raise error
        return sum(batch)

    return work, tried


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        torch.OutOfMemoryError("CUDA out of memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("MPS backend out of memory"),
    ],
)
def test_a_batch_that_does_not_fit_is_halved_and_no_item_is_left_out_or_done_twice(error):
    work, tried = work_that_fits(3, error)
    batcher = Batcher(8)
    done = [item for batch, _ in batcher.run(range(10), work) for item in batch]
    assert done == list(range(10))
    assert tried[:3] == [[0, 1, 2, 3, 4, 5, 6, 7], [0, 1, 2, 3], [0, 1]]
    assert batcher.size == 2


def test_one_item_that_does_not_fit_is_an_error():
    work, _ = work_that_fits(0, MemoryError())
    with pytest.raises(MemoryError):
        list(Batcher(8).run([1, 2], work))


def test_other_errors_are_not_retried():
    work, tried = work_that_fits(3, RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes"):
        list(Batcher(8).run(range(8), work))
    assert len(tried) == 1
    assert not is_out_of_memory(RuntimeError("shapes do not match"))
