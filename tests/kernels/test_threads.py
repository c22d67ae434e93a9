"""The threads that share a kernel's blocks, beside what else a process does."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import sys
import threading

import pytest
import torch
from filter_cases import needs_kernels

from slayerloss.functional import cuba
from slayerloss.kernels.cpu import threads

X = torch.linspace(-1, 2, 64 * 64 * 64).reshape(64, 64, 64)


def spikes() -> float:
    return float(cuba(X, 0.1, 0.1, 1.0)[0].sum(dtype=torch.float64))


@pytest.fixture(autouse=True)
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def forked(results) -> None:
    torch.set_num_threads(2)
    results.put(cuba(X, 0.1, 0.1, 1.0)[0].numpy().sum(dtype="float64"))


@needs_kernels  # torch's own operations wait for their parent's threads in a forked process
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="this system does not fork")
def test_a_forked_process_has_threads_of_its_own():
    here = spikes()
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    child = context.Process(target=forked, args=(results,))
    child.start()
    try:
        assert results.get(timeout=60) == here
        child.join(60)
        assert child.exitcode == 0
    finally:
        child.kill()


def test_several_threads_of_a_program():
    expected, found = spikes(), []
    callers = [threading.Thread(target=lambda: found.append(spikes())) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == [expected] * 3


@pytest.fixture
def own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of Python, as where torch has no OpenMP that can be called."""
    monkeypatch.setattr(threads, "_parallel", lambda: None)


@needs_kernels
def test_python_threads_do_the_same(own_pool):
    x = torch.linspace(-1, 2, 64 * 64 * 64).reshape(64, 64, 64).requires_grad_()
    by_python = cuba(x, 0.1, 0.1, 1.0)[0]
    (gradient,) = torch.autograd.grad(by_python.sum(), x)
    assert threads._pool is not None
    torch.set_num_threads(1)
    alone = cuba(x, 0.1, 0.1, 1.0)[0]
    assert torch.equal(by_python, alone)
    assert torch.equal(gradient, *torch.autograd.grad(alone.sum(), x))


@needs_kernels
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="elsewhere the threads are those of Python")
def test_all_threads_of_torch_compute(monkeypatch):
    parallel, here = threads._parallel(), []
    assert parallel is not None
    monkeypatch.setattr(threads, "_run_in_pool", None)

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p)
    def note(call: int) -> None:
        here.append(threading.get_native_id())

    threads.run(note, threads.Call(), blocks=2, elements=10 * threads.SMALLEST_SHARE)
    assert len(here) == len(set(here)) == 2
    X.exp()  # shares out work, too
    others = {int(name) for name in os.listdir("/proc/self/task")}
    assert set(here) <= others
    threads.run(note, threads.Call(), blocks=2, elements=10 * threads.SMALLEST_SHARE)
    assert set(here[2:]) == set(here[:2])
    assert {int(name) for name in os.listdir("/proc/self/task")} <= others


def test_nobody_leaves_while_others_write(own_pool):
    begun, may_end, ended = threading.Event(), threading.Event(), []

    def function(call: object) -> None:
        if threading.current_thread() is not threading.main_thread():
            begun.set()
            may_end.wait(30)
            ended.append(True)
            return
        begun.wait(30)
        threading.Timer(0.2, may_end.set).start()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        threads.run(function, threads.Call(), blocks=2, elements=10 * threads.SMALLEST_SHARE)
    assert ended == [True]
