"""The memory of large results is used again, and never while somebody has it."""

from __future__ import annotations

import gc
import mmap
import sys
import threading

import pytest
import torch

from slayerloss.functional import cuba
from slayerloss.kernels.cpu import memory

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only on Linux is memory kept")
COUNT = memory.SMALLEST // 2  # of four bytes each
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_free", [])


def large(count: int = COUNT) -> torch.Tensor:
    return memory.empty((count,), torch.float32, CPU)


def test_memory_is_used_again_once_every_view_of_it_is_gone():
    x = large()
    address, view = x.data_ptr(), x[5:]
    view.fill_(7)
    del x
    other = large()
    assert other.data_ptr() != address
    assert bool((view == 7).all())
    del view
    assert large(COUNT - 1000).data_ptr() == address


@pytest.mark.parametrize(("count", "again"), [(2 * COUNT, False), (COUNT + 3, False), (COUNT - 1, True)])
def test_a_block_serves_what_fits_and_does_not_waste_it(count, again):
    x = large()
    address = x.data_ptr()
    del x
    assert (large(count).data_ptr() == address) == again


@pytest.mark.parametrize(("count", "device"), [(memory.SMALLEST // 4 - 1, "cpu"), (COUNT, "meta")])
def test_small_results_and_other_devices_are_left_to_torch(count, device):
    assert memory.empty((count,), torch.float32, torch.device(device)).untyped_storage().resizable()
    assert memory._free == []


def test_a_result_is_resized_as_a_clone_only():
    with pytest.raises(RuntimeError, match="not resizable"):
        large().resize_(2 * COUNT)
    assert large().clone().resize_(2 * COUNT).shape == (2 * COUNT,)


def test_a_result_beyond_the_bound_leaves_the_others(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 3 * 4 * COUNT)
    held = [large(), large()]
    held.clear()
    large(4 * COUNT)
    assert len(memory._free) == 2


def test_free_blocks_are_given_up_before_memory_is_out(monkeypatch):
    large()
    assert len(memory._free) == 1
    kept_when_asked = []

    def none_left(size: int) -> object:
        kept_when_asked.append(len(memory._free))
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(memory, "_new", none_left)
    with pytest.raises(MemoryError, match=f"{8 * COUNT} bytes"):
        large(2 * COUNT)
    assert kept_when_asked == [1, 0]


def test_results_that_end_while_blocks_are_looked_through(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 2**40)
    held = [large() for _ in range(24)]
    held.clear()
    cycle: list[object] = [large(2 * COUNT) for _ in range(8)]
    cycle.append(cycle)
    del cycle
    before = gc.get_threshold()
    gc.set_threshold(1)
    try:
        large(COUNT)
    finally:
        gc.set_threshold(*before)
    assert all(isinstance(block, mmap.mmap) for block in memory._free)
    assert len(memory._free) == 32


def test_no_more_than_a_bound_is_kept(monkeypatch):
    monkeypatch.setattr(memory, "KEPT", 3 * 4 * COUNT)
    held = [large() for _ in range(5)]
    addresses = [x.data_ptr() for x in held]
    while held:
        del held[0]
    assert sum(map(len, memory._free)) == memory.KEPT
    assert large().data_ptr() in addresses[2:]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (0, 2, 1)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_order_of_their_model_and_are_tensors_like_others(order, dtype):
    back = [order.index(axis) for axis in range(3)]
    x = torch.ones([(64, 128, 257)[axis] for axis in order], dtype=dtype).permute(back)
    y = memory.empty_like(x)
    assert (y.shape, y.stride(), y.dtype) == (x.shape, x.stride(), x.dtype)
    assert not y._is_view()
    y.copy_(x)
    assert torch.equal(y, x)


def test_a_result_can_be_written_to_and_differentiated_in_place():
    x = torch.full((64, 128, 300), 0.5, requires_grad=True)
    assert 4 * x.numel() >= memory.SMALLEST
    spikes, _ = cuba(x, 0.25, 0.03, 1.0)
    spikes.mul_(2).sum().backward()
    assert x.grad is not None
    assert bool(x.grad.isfinite().all())


def test_tensors_that_end_in_many_threads_lose_nothing():
    wrong = []

    def use(number: int) -> None:
        for turn in range(50):
            x = large()
            x.fill_(100 * number + turn)
            if not bool((x == 100 * number + turn).all()):
                wrong.append(number)

    users = [threading.Thread(target=use, args=(number,)) for number in range(4)]
    for user in users:
        user.start()
    for user in users:
        user.join()
    assert wrong == []
    assert 1 <= len(memory._free) <= 2 * len(users)
    assert len({id(block) for block in memory._free}) == len(memory._free)
