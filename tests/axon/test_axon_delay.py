"""The learnable delay module."""

from __future__ import annotations

import copy

import pytest
import torch

from slayerloss import ArgumentError, ShapeError, utils
from slayerloss.axon import Delay, delay
from slayerloss.block import cuba


def test_delays_start_between_zero_and_one_step():
    axon = Delay(max_delay=62)
    x = torch.rand(2, 40, 5)
    assert torch.equal(axon(x), x)
    assert axon.delay.shape == (40,)
    assert axon.delay.unique().numel() == 40
    assert not axon.whole_delay.any()


def test_delays_are_cut_to_whole_steps_and_kept_in_their_range():
    axon = Delay(max_delay=3, channels=4)
    axon.delay.data = torch.tensor([-2.0, 0.9, 1.5, 100.0])
    x = torch.rand(2, 4, 6)
    y = axon(x)
    for c, steps in enumerate([0, 0, 1, 3]):
        assert torch.equal(y[:, c, steps:], x[:, c, : 6 - steps])
        assert not y[:, c, :steps].any()
    assert axon.whole_delay.tolist() == [0, 0, 1, 3]
    torch.testing.assert_close(axon.delay.detach(), torch.tensor([0, 0.9, 1.5, 3]))


def test_a_step_more_does_not_round_a_delay_up():
    """In float32 the largest number below 1, plus 1, is 2."""
    block = cuba.Dense({"threshold": 1, "current_decay": 1, "voltage_decay": 1}, 1, 1, delay=True)
    block.delay.delay.data.fill_(0.99999994)
    block.synapse.weight.data.fill_(2)
    x = torch.zeros(1, 1, 4)
    x[..., 0] = 1
    assert block.delay.whole_delay.item() == 0
    assert block(x).squeeze().tolist() == [0, 1, 0, 0]


@pytest.mark.parametrize("grad_scale", [1, 0.1, 7.3])
def test_grad_scale_scales_the_gradient_and_nothing_else(grad_scale):
    x, g = torch.rand(2, 63, 80), torch.rand(2, 63, 80)
    plain, scaled = Delay(channels=63), Delay(grad_scale=grad_scale, channels=63)
    plain.delay.data = scaled.delay.data = torch.arange(63.0)  # whole: the least change would show
    assert torch.equal(plain(x), scaled(x))
    plain(x).backward(g)
    scaled(x).backward(g)
    torch.testing.assert_close(scaled.delay.grad, grad_scale * plain.delay.grad)


def test_sampling_time():
    axon = Delay(sampling_time=2, channels=2)
    axon.delay.data = torch.tensor([3.9, 4.0])
    x = torch.rand(1, 2, 6)
    assert torch.equal(axon(x)[0, 0, 1:], x[0, 0, :-1])
    assert torch.equal(axon(x)[0, 1, 2:], x[0, 1, :-2])
    assert axon.whole_delay.tolist() == [1, 2]
    assert torch.equal(delay(x, 4, sampling_time=2), delay(x, 2))


@pytest.mark.parametrize(("time", "sampling_time", "steps"), [(1.0, 0.1, 10), (0.6, 0.2, 2), (5, 1, 5), (7.9, 2, 3)])
def test_a_fractional_sampling_time_gives_the_quotient_cut_to_whole_steps(time, sampling_time, steps):
    impulse = torch.eye(1, 30)[None]
    assert delay(impulse, time, sampling_time).argmax() == steps == int(time / sampling_time)
    assert torch.equal(delay(impulse, time, sampling_time), utils.time.shift(impulse, time, sampling_time))


@pytest.mark.parametrize("sampling_time", [1e-300, 1e-5])
def test_too_many_steps_are_refused(sampling_time):
    with pytest.raises(ArgumentError, match=r"delay: delay_val / sampling_time is out of range; expected .* 65536\]"):
        delay(torch.ones(1, 1, 3), 1e200, sampling_time)


def test_what_was_loaded_is_not_drawn_again():
    axon = Delay(channels=5)
    axon.delay.data = torch.arange(5.0)
    fresh = Delay()
    fresh.load_state_dict(axon.state_dict())
    x = torch.rand(2, 5, 8)
    assert torch.equal(fresh(x), axon(x))
    assert torch.equal(fresh.delay, axon.delay)
    assert torch.equal(copy.deepcopy(fresh)(x), axon(x))


def test_delays_that_were_not_drawn_yet_are_drawn_after_loading():
    initial, axon = copy.deepcopy(Delay().state_dict()), Delay()
    for _ in range(2):  # also where they were drawn in between
        axon.load_state_dict(initial)
        assert axon(torch.rand(1, 3, 5)).shape == (1, 3, 5)
        assert axon.delay.unique().numel() == 3
    for saved in (initial, {"delay": torch.zeros(1)}):  # the latter is lava-dl's
        axon = Delay(channels=3)
        axon.delay.data.fill_(9)
        axon.load_state_dict(saved)
        assert axon.delay.unique().numel() == 3
        assert (axon.whole_delay == 0).all()
    with pytest.raises(RuntimeError, match="size mismatch for delay"):
        axon.load_state_dict({"delay": torch.ones(1)})


def test_errors():
    with pytest.raises(ShapeError, match=r"Delay: delay has the wrong shape; expected \(3,\), got \(5,\)"):
        Delay(channels=5)(torch.zeros(1, 3, 4))
    with pytest.raises(ArgumentError, match=r"max_delay is out of range"):
        Delay(max_delay=-1)
    with pytest.raises(ArgumentError, match=r"sampling_time is out of range"):
        Delay(sampling_time=0)
    axon = Delay(channels=2)
    axon.delay.data.fill_(float("nan"))
    with pytest.raises(ArgumentError, match=r"delays holds 2 NaN or infinite values"):
        axon(torch.zeros(1, 2, 4))
