"""The sampler: its fit where there is much to fit and where there is little, its gradient, its place in checkpoints."""

from __future__ import annotations

import copy
import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from slayerloss import ArgumentError, ShapeError
from slayerloss.bootstrap.ann_sampler import AnnSampler


def fitted(z, a, **arguments) -> AnnSampler:
    sampler = AnnSampler(**arguments)
    sampler.append(torch.as_tensor(a).reshape(-1, 1, 1), torch.as_tensor(z).reshape(-1, 1, 1))
    sampler.fit()
    return sampler


def value(sampler, *z):
    return sampler(torch.tensor(z).reshape(1, -1, 1)).flatten().tolist()


LINE = torch.linspace(0, 1, 101)


def test_it_is_the_function_that_it_has_seen():
    sampler = fitted(2 * LINE, LINE)
    inside = torch.linspace(0.3, 1.7, 50).reshape(1, 50, 1)
    torch.testing.assert_close(sampler(inside), inside / 2, rtol=0, atol=0.01)
    assert value(sampler, -1.0, 9.0) == pytest.approx([0.0, sampler.max])


def test_it_takes_the_means_over_the_steps_that_count():
    sampler = AnnSampler()
    a = torch.tensor([[[1.0, 0.0, 0.0, 0.0]], [[1.0, 1.0, 1.0, 0.0]]])
    sampler.append(a, 2 * a, torch.tensor([2, 4]))
    assert sampler.a.tolist() == [0.5, 0.75]
    assert sampler.z.tolist() == [1.0, 1.5]


def test_pairs_are_kept_half_kept_and_forgotten():
    sampler = fitted(LINE, LINE)
    torch.manual_seed(0)
    sampler.soft_clear()
    assert len(sampler.a) == len(sampler.z) == 51
    assert set(sampler.a) < set(LINE.double().tolist())
    assert (sampler.a == sampler.z).all()
    sampler.clear()
    assert len(sampler.a) == 0
    assert sampler.centers is not None


def test_the_gradient_is_the_slope_in_units_of_the_last_centers():
    """Pieces of slope 1/4: lava-dl multiplies with z / a at the end, so that the steepness is about 1 in the mean."""
    sampler = fitted(4 * LINE, LINE, eps=0.5)
    x = torch.tensor([-1.0, 1.0, 2.0, 9.0]).reshape(1, 4, 1).requires_grad_()
    sampler(x).sum().backward()
    np.testing.assert_allclose(x.grad.flatten(), [0.5, 1.5, 1.5, 0.5], rtol=1e-3)


def test_the_gradient_is_not_turned_where_neurons_spike_by_themselves():
    """They need no input: all z are negative, and so is lava-dl's factor."""
    sampler = fitted([-3.0, -2.0, -1.0], [0.3, 0.6, 0.8])
    assert sampler.scale < 0
    x = torch.tensor([[[-1.5]]], requires_grad=True)
    sampler(x).sum().backward()
    assert x.grad.item() > 0.1


def test_a_second_fit_moves_the_centers_by_a_tenth():
    sampler = fitted(LINE, LINE)
    before = sampler.centers.copy()
    sampler.clear()
    sampler.append(LINE.reshape(-1, 1, 1), LINE.reshape(-1, 1, 1) + 1)
    sampler.fit()
    np.testing.assert_allclose(sampler.centers[1:-1, 0], before[1:-1, 0] + 0.1)


def test_a_center_that_does_not_lie_to_the_right_is_left_out():
    a = [0.2, 0.3, 0.5, 0.6, 0.8, 1.0]
    sampler = fitted([1.0, 2.0, 1.5, 3.0, 3.0, 4.0], a)
    assert (np.diff(sampler.centers[:, 0]) > 0).all()
    rates = sampler(torch.linspace(-1, 6, 1000).reshape(1, -1, 1)).flatten()
    assert (rates.diff() >= 0).all()
    assert rates.diff().max() < 0.02  # it does not jump


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.lists(st.tuples(st.floats(-5, 5), st.floats(0, 1)), min_size=1, max_size=30), min_size=1, max_size=3),
    st.integers(1, 8),
)
def test_whatever_it_has_seen_it_is_finite_rises_and_stays_below_the_highest_rate(fits, num_centers):
    sampler = AnnSampler(num_centers)
    for pairs in fits:
        z, a = torch.tensor(pairs, dtype=torch.float64).reshape(-1, 2, 1, 1).unbind(1)
        sampler.clear()
        sampler.append(a.clamp(0, 1)[..., None], z[..., None])
        sampler.fit()
        x = torch.linspace(-20, 20, 400, dtype=torch.float64).reshape(1, -1, 1).requires_grad_()
        rates = sampler(x)
        rates.sum().backward()
        assert rates.isfinite().all()
        assert x.grad.isfinite().all()
        assert (x.grad >= 0).all()
        assert (rates.flatten().diff() >= -1e-9).all()
        assert rates.min() >= -1e-9
        assert rates.max() <= sampler.max + 1e-9


@pytest.mark.parametrize(
    ("z", "a"), [([0.5, 0.7], [0.0, 0.0]), ([0.5, 0.7], [1.0, 1.0]), ([0.5], [0.5]), ([-0.5], [0.5]), ([], [])]
)
def test_with_little_to_fit_it_is_a_line_through_the_origin(z, a):
    sampler = fitted(torch.tensor(z), torch.tensor(a)) if z else AnnSampler()
    sampler.fit()
    assert 0.8 <= sampler.max <= 1
    low, middle, high = value(sampler, -0.1, 0.1, 9.0)
    assert low == 0
    assert 0 < middle < 0.2
    assert high == pytest.approx(sampler.max)


def test_silence_changes_nothing():
    sampler = fitted(LINE, LINE)
    before = sampler.centers.copy()
    sampler.clear()
    sampler.append(torch.zeros(5, 1, 1), torch.ones(5, 1, 1))
    sampler.fit()
    assert (sampler.centers == before).all()


def test_without_pairs_it_says_what_is_missing():
    with pytest.raises(ArgumentError, match=r"there is no fit and there are no pairs.*Let the Scheduler choose"):
        AnnSampler()(torch.ones(1, 1, 1))


def test_with_pairs_and_no_fit_it_fits():
    sampler = AnnSampler()
    sampler.append(LINE.reshape(-1, 1, 1), LINE.reshape(-1, 1, 1))
    assert value(sampler, 0.5) == pytest.approx([0.5], abs=0.01)


def test_wrong_pairs_and_arguments_are_refused():
    with pytest.raises(ShapeError, match="z does not match a"):
        AnnSampler().append(torch.ones(1, 2, 3), torch.ones(1, 3, 3))
    with pytest.raises(ArgumentError, match="sample_range is out of range"):
        AnnSampler(sample_range=[0.9, 0.1])
    with pytest.raises(ArgumentError, match="num_centers"):
        AnnSampler(num_centers=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_dtypes(dtype):
    sampler = fitted(LINE, LINE)
    wanted = dtype if dtype is torch.float64 else torch.float32
    y = sampler(torch.full((1, 1, 1), 0.5, dtype=dtype))
    assert y.dtype is wanted
    assert y.item() == pytest.approx(0.5, abs=0.01)


def test_strided_memory_gives_the_same():
    sampler = fitted(LINE, LINE)
    x = torch.rand(4, 3, 5)
    assert torch.equal(sampler(x.movedim(-1, 0).contiguous().movedim(0, -1)), sampler(x))


def test_the_fit_goes_with_copies_and_state_dicts():
    sampler = fitted(LINE, LINE)
    file = io.BytesIO()
    torch.save(torch.nn.ModuleList([sampler]).state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    assert list(state) == []  # the keys are those of a network without samplers
    loaded = torch.nn.ModuleList([AnnSampler()])
    loaded.load_state_dict(state)
    for other in (loaded[0], copy.deepcopy(sampler)):
        assert value(other, 0.1, 0.55, 3.0) == value(sampler, 0.1, 0.55, 3.0)
        assert (other.max, other.scale) == (sampler.max, sampler.scale)


def test_a_fit_that_a_plain_dict_has_lost_is_missed_in_words():
    fitted = torch.nn.Sequential(AnnSampler())
    z = torch.rand(9, 1, 1)
    fitted[0].append(a=z, z=z)
    fitted[0].fit()
    model = torch.nn.Sequential(AnnSampler())
    model.load_state_dict(dict(fitted.state_dict()))
    with pytest.raises(ArgumentError, match=r"there is no fit.* got a state dict without metadata, which hold the fit"):
        model(z)
    model.load_state_dict(fitted.state_dict())
    assert torch.equal(model(z), fitted(z))


def test_it_can_be_drawn():
    pytest.importorskip("matplotlib").use("Agg")
    sampler = fitted(2 * LINE, LINE)
    (ax,) = sampler.plot(figsize=(3, 2)).axes
    samples, line, centers = ax.get_lines()[:3]
    assert len(samples.get_xdata()) == 101
    assert len(centers.get_xdata()) == len(sampler.centers)
    assert max(line.get_ydata()) == pytest.approx(sampler.max)
