"""What every loss owes: dtypes, space, strides, padding, reductions, finite values, gradients, compilation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError, DtypeError, ShapeError
from slayerloss.functional import (
    rate_band,
    sparsity,
    spike_max,
    spike_moid,
    spike_rate,
    spike_time,
    van_rossum_distance,
)

CLASSES = 4


def time_targets(spikes: Tensor, labels: Tensor) -> Tensor:
    """Target spike trains, a comb whose period depends on the label."""
    comb = torch.arange(spikes.shape[-1], device=labels.device) % (labels[:, None] + 2) == 0
    return comb.reshape(len(labels), *[1] * (spikes.ndim - 2), spikes.shape[-1]).expand(spikes.shape)


def weighted_max(spikes: Tensor, labels: Tensor, **options: object) -> Tensor:
    weights = [1.0, 2.0, 0.5, 3.0]
    return spike_max(spikes, labels, 3, label_smoothing=0.2, class_weights=weights, **options)


LOSSES: dict[str, Callable[..., Tensor]] = {
    "max": spike_max,
    "max-window": lambda s, y, **o: spike_max(s, y, 3, **o),
    "max-seen": lambda s, y, **o: spike_max(s, y, 3, start="seen", **o),
    "max-softmax": lambda s, y, **o: spike_max(s, y, mode="softmax", temperature=0.2, **o),
    "max-softmax-window": lambda s, y, **o: spike_max(s, y, 3, "softmax", **o),
    "max-smooth-weighted": weighted_max,
    "rate": lambda s, y, **o: spike_rate(s, y, 0.6, 0.1, **o),
    "rate-window": lambda s, y, **o: spike_rate(s, y, 0.6, 0.1, 3, **o),
    "moid": lambda s, y, **o: spike_moid(s, y, alpha=0.2, theta=0.3, **o),
    "moid-window": lambda s, y, **o: spike_moid(s, y, 3, alpha=0.2, theta=0.3, **o),
    "time": lambda s, y, **o: spike_time(s, time_targets(s, y), **o),
    "time-exact": lambda s, y, **o: spike_time(s, time_targets(s, y), 2.0, None, 2, **o),
}
OF_CLASSES = [name for name in LOSSES if not name.startswith("time")]
every_loss = pytest.mark.parametrize("name", LOSSES)
every_class_loss = pytest.mark.parametrize("name", OF_CLASSES)


def random_spikes(*shape: int, seed: int = 0, density: float = 0.3) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def random_labels(num: int, seed: int = 0) -> Tensor:
    return torch.randint(CLASSES, (num,), generator=torch.Generator().manual_seed(seed))


def gradient(loss: Callable[..., Tensor], spikes: Tensor, *args: Tensor, **options: object) -> Tensor:
    leaf = spikes.detach().requires_grad_()
    loss(leaf, *args, **options).backward()
    assert leaf.grad is not None
    return leaf.grad


@every_loss
@pytest.mark.parametrize(
    "dtype", [torch.bool, torch.uint8, torch.int16, torch.int64, torch.float16, torch.bfloat16, torch.float32]
)
def test_dtypes(name: str, dtype: torch.dtype) -> None:
    spikes, labels = random_spikes(3, CLASSES, 20), random_labels(3)
    loss = LOSSES[name](spikes.to(dtype), labels)
    assert loss.dtype == torch.float32
    exact = LOSSES[name](spikes.double(), labels)
    assert exact.dtype == torch.float64
    torch.testing.assert_close(loss.double(), exact, rtol=1e-5, atol=1e-6)


@every_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_keeps_its_gradient_dtype_and_sums_in_float32(name: str, dtype: torch.dtype) -> None:
    spikes, labels = random_spikes(2, CLASSES, 3000, density=0.9).to(dtype), random_labels(2)
    torch.testing.assert_close(LOSSES[name](spikes, labels), LOSSES[name](spikes.float(), labels))
    assert gradient(LOSSES[name], spikes, labels).dtype == dtype


@every_loss
def test_space_is_flattened_into_the_classes(name: str) -> None:
    spikes, labels = random_spikes(3, CLASSES, 12), random_labels(3)
    loss = LOSSES[name](spikes.reshape(3, 1, 2, 2, 12), labels)
    torch.testing.assert_close(loss, LOSSES[name](spikes, labels))


@every_loss
def test_memory_order_does_not_matter(name: str) -> None:
    spikes, labels = random_spikes(3, CLASSES, 2, 12).sum(2), random_labels(3)
    time_first = spikes.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    every_other = torch.stack([spikes, 1 - spikes], dim=-1).flatten(-2)[..., ::2]
    for strided in (time_first, every_other):
        assert not strided.is_contiguous()
        torch.testing.assert_close(LOSSES[name](strided, labels), LOSSES[name](spikes, labels))
        torch.testing.assert_close(gradient(LOSSES[name], strided, labels), gradient(LOSSES[name], spikes, labels))
    broadcast = spikes[:1].expand(3, -1, -1)
    torch.testing.assert_close(LOSSES[name](broadcast, labels), LOSSES[name](broadcast.contiguous(), labels))


@every_loss
@settings(max_examples=10, deadline=None)
@given(lengths=st.lists(st.integers(1, 9), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_a_padded_batch_equals_its_samples(name: str, lengths: list[int], seed: int) -> None:
    loss, num = LOSSES[name], len(lengths)
    spikes, labels = random_spikes(num, CLASSES, 9, seed=seed), random_labels(num, seed)  # the padding is not silent
    padded = loss(spikes, labels, lengths=torch.tensor(lengths), reduction="none")
    total, elements = 0.0, 0
    for i, length in enumerate(lengths):
        alone = loss(spikes[i : i + 1, :, :length], labels[i : i + 1], reduction="none")
        torch.testing.assert_close(padded[i : i + 1, ..., :length] if padded.ndim == 2 else padded[i : i + 1], alone)
        total += alone.sum().item()
        elements += length
    assert loss(spikes, labels, lengths=torch.tensor(lengths)).item() == pytest.approx(total, rel=1e-5)
    if padded.ndim == 2:
        assert padded.count_nonzero() <= elements
    after = gradient(loss, spikes, labels, lengths=torch.tensor(lengths))[..., min(lengths) :][
        lengths.index(min(lengths))
    ]
    assert after.count_nonzero() == 0


@every_loss
def test_reductions(name: str) -> None:
    spikes, labels = random_spikes(3, CLASSES, 12), random_labels(3)
    each = LOSSES[name](spikes, labels, reduction="none")
    windowed = "window" in name or name in ("max-seen", "max-smooth-weighted")
    assert each.shape == ((3, 12) if windowed else (3,))
    torch.testing.assert_close(each.sum(), LOSSES[name](spikes, labels, reduction="sum"))
    torch.testing.assert_close(LOSSES[name](spikes, labels), LOSSES[name](spikes, labels, reduction="sum"))
    twice = LOSSES[name](torch.cat([spikes] * 2), torch.cat([labels] * 2), reduction="mean")
    torch.testing.assert_close(LOSSES[name](spikes, labels, reduction="mean"), twice)


@every_class_loss
def test_ignored_samples_are_left_out(name: str) -> None:
    spikes, labels = random_spikes(4, CLASSES, 12), random_labels(4)
    masked = labels.clone()
    masked[1:3] = -7
    kept = torch.tensor([0, 3])
    for reduction in ("sum", "mean"):
        loss = LOSSES[name](spikes, masked, ignore_index=-7, reduction=reduction)
        torch.testing.assert_close(loss, LOSSES[name](spikes[kept], labels[kept], reduction=reduction))
    each = LOSSES[name](spikes, masked, ignore_index=-7, reduction="none")
    assert each[1:3].count_nonzero() == 0
    assert gradient(LOSSES[name], spikes, masked, ignore_index=-7)[1:3].count_nonzero() == 0


@every_class_loss
@pytest.mark.parametrize("reduction", ["sum", "mean"])
def test_nothing_counted_is_zero_with_zero_gradient(name: str, reduction: str) -> None:
    spikes, labels = random_spikes(2, CLASSES, 5).requires_grad_(), torch.tensor([-1, -1])
    loss = LOSSES[name](spikes, labels, ignore_index=-1, reduction=reduction)
    loss.backward()
    assert loss.item() == 0
    assert spikes.grad is not None
    assert spikes.grad.count_nonzero() == 0


@every_loss
@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_an_empty_batch_is_zero(name: str, reduction: str) -> None:
    loss = LOSSES[name](torch.zeros(0, CLASSES, 5), torch.zeros(0, dtype=torch.int64), reduction=reduction)
    assert loss.sum().item() == 0


@every_class_loss
def test_label_dtypes(name: str) -> None:
    spikes, labels = random_spikes(3, CLASSES, 12), random_labels(3)
    for dtype in (torch.int8, torch.uint8, torch.int32):
        loss = LOSSES[name](spikes, labels.to(dtype), ignore_index=-256)  # which a uint8 0 does not equal
        torch.testing.assert_close(loss, LOSSES[name](spikes, labels))


@pytest.mark.parametrize("name", [name for name in OF_CLASSES if name not in ("max", "max-softmax", "rate", "moid")])
def test_a_label_for_every_step(name: str) -> None:
    spikes, labels = random_spikes(2, CLASSES, 12), random_labels(2)
    repeated = labels[:, None].repeat(1, 12)
    torch.testing.assert_close(LOSSES[name](spikes, repeated), LOSSES[name](spikes, labels))
    first, second = torch.tensor([0, 1]), torch.tensor([2, 3])
    switched = torch.cat([first[:, None].repeat(1, 5), second[:, None].repeat(1, 7)], dim=1).int()
    each = LOSSES[name](spikes, switched, reduction="none")
    torch.testing.assert_close(each[:, :5], LOSSES[name](spikes, first, reduction="none")[:, :5])
    torch.testing.assert_close(each[:, 5:], LOSSES[name](spikes, second, reduction="none")[:, 5:])


@every_class_loss
@settings(max_examples=10, deadline=None)
@given(order=st.permutations(range(CLASSES)), seed=st.integers(0, 99))
def test_permuting_the_classes_changes_nothing(name: str, order: list[int], seed: int) -> None:
    if name == "max-smooth-weighted":
        return  # its weights belong to the classes
    spikes, labels = random_spikes(3, CLASSES, 10, seed=seed), random_labels(3, seed)
    permuted = LOSSES[name](spikes[:, order], torch.argsort(torch.tensor(order))[labels])
    torch.testing.assert_close(permuted, LOSSES[name](spikes, labels))


@every_loss
@settings(max_examples=20, deadline=None)
@given(
    density=st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    scale=st.sampled_from([1.0, 1e-4, 1e3, 6e4, -1.0, -0.01]),
    dtype=st.sampled_from([torch.float16, torch.bfloat16, torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_finite_for_finite_input(name: str, density: float, scale: float, dtype: torch.dtype, seed: int) -> None:
    spikes, labels = random_spikes(2, CLASSES, 7, seed=seed, density=density) * scale, random_labels(2, seed)
    spikes = spikes.to(dtype).requires_grad_()
    loss = LOSSES[name](spikes, labels)
    grad = torch.autograd.grad(loss / loss.detach().abs().clamp(min=1), spikes)[0]
    assert loss.isfinite()
    assert grad.isfinite().all()
    if scale > 0:
        assert loss >= 0


@every_loss
def test_gradcheck(name: str) -> None:
    spikes = torch.rand(2, CLASSES, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    spikes[0, 1] *= 0.05  # between no spike and one
    labels, lengths = torch.tensor([1, 2]), torch.tensor([5, 3])
    spikes.requires_grad_()
    assert torch.autograd.gradcheck(lambda s: LOSSES[name](s, labels, lengths=lengths, reduction="mean"), (spikes,))


@every_loss
def test_compiles_without_a_graph_break(name: str) -> None:
    torch._dynamo.reset()
    spikes, labels = random_spikes(2, CLASSES, 8), random_labels(2)
    compiled = torch.compile(LOSSES[name], fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(spikes, labels), LOSSES[name](spikes, labels))
    torch.testing.assert_close(gradient(compiled, spikes, labels), gradient(LOSSES[name], spikes, labels))


@every_loss
@pytest.mark.parametrize("reduction", ["sum", "mean", "none"])
def test_values_on_another_device_are_not_looked_at(name: str, reduction: str) -> None:
    """So no GPU is waited for: a meta tensor has no values, and reading one raises."""
    spikes, labels = torch.zeros(2, CLASSES, 5, device="meta"), torch.zeros(2, dtype=torch.int64, device="meta")
    options = {} if name.startswith("time") else {"ignore_index": -1}
    loss = LOSSES[name](spikes, labels, lengths=labels, reduction=reduction, **options)
    assert loss.device.type == "meta"


@every_class_loss
def test_labels_and_lengths_lie_where_the_spikes_lie(name: str) -> None:
    spikes, labels = torch.zeros(2, CLASSES, 5, device="meta"), torch.tensor([0, 1])
    with pytest.raises(ArgumentError, match=r"is not where spikes is; expected meta, got cpu. Use \w+.to\('meta'\)"):
        LOSSES[name](spikes, labels)
    with pytest.raises(ArgumentError, match="lengths is not where the input is"):
        LOSSES[name](spikes, labels.to("meta"), lengths=torch.tensor([5, 5]))


SPIKES = torch.zeros(2, CLASSES, 5)
LABELS = torch.tensor([0, 1])


@every_class_loss
@pytest.mark.parametrize(
    ("spikes", "error", "text"),
    [
        (
            torch.zeros(CLASSES, 5),
            ShapeError,
            r"spikes has too few dimensions; expected \(N, C, ..., T\), got \(4, 5\)",
        ),
        (torch.zeros(2, CLASSES, 0), ShapeError, "spikes has no time steps"),
        (torch.full((2, CLASSES, 5), torch.nan), ArgumentError, "spikes holds 40 NaN or infinite values"),
        (torch.zeros(2, CLASSES, 5, dtype=torch.complex64), DtypeError, "spikes is complex"),
    ],
)
def test_bad_spikes(name: str, spikes: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        LOSSES[name](spikes, LABELS)


@every_loss
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"reduction": "average"}, ArgumentError, "reduction is unknown; expected one of 'sum', 'mean', 'none'"),
        ({"lengths": torch.tensor([5])}, ShapeError, r"lengths has the wrong shape; expected \(2,\), got \(1,\)"),
        ({"lengths": torch.tensor([0, 5])}, ArgumentError, r"lengths is out of range; expected values in \[1, 5\]"),
        ({"lengths": torch.tensor([5.0, 5.0])}, DtypeError, "lengths is not of an integer type"),
    ],
)
def test_bad_options(name: str, options: dict[str, object], error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        LOSSES[name](SPIKES, LABELS, **options)


@pytest.mark.parametrize("name", [name for name in OF_CLASSES if not name.startswith("moid")])
@pytest.mark.parametrize(
    ("labels", "error", "text"),
    [
        ([0, 1], DtypeError, "labels is not a tensor; .* Use torch.as_tensor"),
        (torch.tensor([0.0, 1.0]), DtypeError, "labels is not of an integer type; expected int64 or int32"),
        (torch.tensor([True, False]), DtypeError, "labels is not of an integer type"),
        (torch.tensor([0, 1, 2]), ShapeError, r"labels has the wrong shape; expected \(2,\)"),
        (torch.tensor([0, CLASSES]), ArgumentError, r"labels is out of range; expected values in \[0, 3\], got 0 to 4"),
        (torch.tensor([-1, 0]), ArgumentError, "got -1 to 0. ignore_index=K masks the labels that are K"),
    ],
)
def test_bad_labels(name: str, labels: Tensor, error: type[Exception], text: str) -> None:
    with pytest.raises(error, match=text):
        LOSSES[name](SPIKES, labels)


@pytest.mark.parametrize("name", ["max", "max-softmax", "rate"])
def test_labels_for_every_step_need_a_window(name: str) -> None:
    with pytest.raises(ShapeError, match="Labels for every step need a moving_window"):
        LOSSES[name](SPIKES, torch.zeros(2, 5, dtype=torch.int64))


@pytest.mark.parametrize("loss", [spike_max, lambda s, y, **o: spike_rate(s, y, 0.6, 0.1, **o), spike_moid])
@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        (
            {"moving_window": 0},
            ArgumentError,
            "moving_window is out of range; expected an integer of at least 1, got 0",
        ),
        ({"moving_window": 2.5}, DtypeError, "moving_window is not an integer"),
        ({"start": "zeros"}, ArgumentError, "start is unknown; .* Did you mean 'zero'"),
        ({"ignore_index": 0.5}, DtypeError, "ignore_index is not an integer"),
        ({"class_weights": [1.0, 2.0]}, ShapeError, r"class_weights has the wrong shape; expected \(4,\), got \(2,\)"),
        ({"class_weights": [1.0, 2.0, -1.0, 0.0]}, ArgumentError, "class_weights is out of range"),
        ({"class_weights": torch.full((4,), torch.inf)}, ArgumentError, "class_weights holds 4 NaN or infinite values"),
    ],
)
def test_bad_class_options(
    loss: Callable[..., Tensor], options: dict[str, object], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        loss(SPIKES, LABELS, **options)


OTHERS: dict[str, Callable[..., Tensor]] = {
    **LOSSES,
    "max-cold": lambda s, y: spike_max(s, y, mode="softmax", temperature=1e-6),
    "moid-cold": lambda s, y: spike_moid(s, y, alpha=1e-6),
    "sparsity": lambda s, y: sparsity(s),
    "rate_band": lambda s, y: rate_band(s, 0.1, 0.2),
    "van_rossum_distance": lambda s, y: van_rossum_distance(s, time_targets(s, y), 2.0).sum(),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("sign", [1, -1])
def test_the_largest_spikes_give_finite_values_and_larger_ones_are_refused(name: str, sign: int) -> None:
    spikes, labels = sign * 1e9 * random_spikes(3, CLASSES, 8), random_labels(3)
    leaf = spikes.requires_grad_()
    value = OTHERS[name](leaf, labels)
    value.backward()
    assert value.isfinite()
    assert leaf.grad.isfinite().all()
    with pytest.raises(ArgumentError, match=r"spikes is out of range; expected values in \[-1e\+09, 1e\+09\]"):
        OTHERS[name](spikes.detach() * 1e29, labels)
