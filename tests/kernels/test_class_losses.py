"""The kernels of the losses over classes against their definition in plain torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from slayerloss import ArgumentError
from slayerloss.functional import spike_max, spike_moid, spike_rate
from slayerloss.kernels import class_losses
from slayerloss.kernels.backend import use_backend
from slayerloss.kernels.cpu import library, threads

Loss = Callable[..., Tensor]

LOSSES: dict[str, Loss] = {
    "probability": lambda s, y, w, **o: spike_max(s, y, w, **o),
    "softmax": lambda s, y, w, **o: spike_max(s, y, w, "softmax", temperature=0.2, **o),
    "softmax-smooth": lambda s, y, w, **o: spike_max(s, y, w, "softmax", label_smoothing=0.3, **o),
    "rate": lambda s, y, w, **o: spike_rate(s, y, 0.7, 0.05, w, **o),
    "moid": lambda s, y, w, **o: spike_moid(s, y, w, alpha=0.1, theta=0.2, **o),
}
every_loss = pytest.mark.parametrize("name", LOSSES)


@pytest.fixture(autouse=True)
def kernels() -> None:
    if library.problem():
        pytest.skip(library.problem())


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the kernels that are called."""
    names: list[str] = []
    original = library.Kernel.__call__

    def spy(self: Any, *arguments: Any, **options: Any) -> int:
        names.append(self.name)
        return original(self, *arguments, **options)

    monkeypatch.setattr(library.Kernel, "__call__", spy)
    return names


@pytest.fixture
def eager_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small work is shared, too."""
    before = torch.get_num_threads()
    monkeypatch.setattr(threads, "SMALLEST_SHARE", 1)
    monkeypatch.setattr(threads, "LIGHT", 1)
    yield
    torch.set_num_threads(before)


def run(backend: str, loss: Loss, spikes: Tensor, *args: Any, **options: Any) -> tuple[Tensor, Tensor]:
    """The loss, and the gradient of a sum of it with changing weights."""
    leaf = spikes.detach()
    if not leaf.is_floating_point():
        with use_backend(backend):
            return loss(leaf, *args, **options), torch.zeros(())
    leaf.requires_grad_()
    with use_backend(backend):
        result = loss(leaf, *args, **options)
        weight = torch.linspace(0.5, 1.5, result.numel(), dtype=result.dtype).reshape(result.shape)
        (result * weight).sum().backward()
    assert leaf.grad is not None
    return result.detach(), leaf.grad


def assert_equals_definition(loss: Loss, spikes: Tensor, *args: Any, **options: Any) -> None:
    value, gradient = run("cpu", loss, spikes, *args, **options)
    expected, expected_gradient = run("reference", loss, spikes, *args, **options)
    assert value.dtype == expected.dtype
    assert gradient.dtype == expected_gradient.dtype
    exact = value.dtype == torch.float64
    largest = expected.abs().max().item() if expected.numel() else 0.0
    reduction = options.get("reduction", "sum")
    # A logarithm near 0 is of a number near 1, and no nearer to it than that is; a sum has such a term for every step.
    size = max(largest, spikes[:, 0].numel() if reduction == "sum" else 1.0)
    torch.testing.assert_close(value, expected, rtol=1e-12 if exact else 2e-6, atol=(1e-13 if exact else 4e-7) * size)
    steep = expected_gradient.abs().max().item() if expected_gradient.numel() else 0.0
    coarse = {torch.float16: 1e-3, torch.bfloat16: 8e-3, torch.float64: 1e-12}.get(gradient.dtype, 1e-5)
    least = 0.01 if reduction == "mean" else 0.1  # a small gradient is the difference of probabilities near 1
    torch.testing.assert_close(gradient, expected_gradient, rtol=coarse, atol=coarse * max(steep, least))


def binary(*shape: int, seed: int = 0, density: float = 0.3) -> Tensor:
    return (torch.rand(*shape, generator=torch.Generator().manual_seed(seed)) < density).float()


def strided(x: Tensor, order: str) -> Tensor:
    """The same values in another memory order."""
    if order == "time first":
        return x.permute(2, 0, 1).contiguous().permute(1, 2, 0)
    if order == "classes last":
        return x.permute(0, 2, 1).contiguous().permute(0, 2, 1)
    if order == "every other":
        return torch.stack([x, x], -1).flatten(-2)[..., ::2]
    if order == "part":
        nan = torch.full_like(x[:, :1], 1) if not x.is_floating_point() else torch.full_like(x[:, :1], torch.nan)
        return torch.cat([nan, x, nan], 1)[:, 1:-1]
    if order == "part, time first":
        return strided(torch.cat([x, x[:, :1] * torch.nan if x.is_floating_point() else x[:, :1]], 1), "time first")[
            :, : x.shape[1]
        ]
    return x


ORDERS = ("time last", "time first", "classes last", "every other", "part", "part, time first")
DTYPES = (
    torch.float32,
    torch.float64,
    torch.bfloat16,
    torch.float16,
    torch.bool,
    torch.uint8,
    torch.int64,
)


@every_loss
@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_equals_the_definition(name: str, data: st.DataObject) -> None:
    samples, classes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 40))
    steps, window = data.draw(st.integers(1, 70)), data.draw(st.integers(1, 80))
    seed = data.draw(st.integers(0, 999))
    generator = torch.Generator().manual_seed(seed)
    dtype = data.draw(st.sampled_from(DTYPES))
    spikes = binary(samples, classes, steps, seed=seed, density=data.draw(st.sampled_from([0.0, 0.2, 1.0])))
    if dtype.is_floating_point and data.draw(st.booleans()):
        spikes = spikes * 3 * torch.randn(spikes.shape, generator=generator)
        if name == "probability":  # whose divisor, a sum of rates, would cancel
            spikes = spikes.abs()
    spikes = strided(spikes.to(dtype), data.draw(st.sampled_from(ORDERS)))
    per_step = data.draw(st.booleans())
    labels = torch.randint(classes, (samples, steps) if per_step else (samples,), generator=generator)
    options: dict[str, Any] = {
        "start": data.draw(st.sampled_from(["zero", "seen"])),
        "reduction": data.draw(st.sampled_from(["none", "sum", "mean"])),
    }
    if data.draw(st.booleans()):
        options["lengths"] = torch.randint(1, steps + 1, (samples,), generator=generator, dtype=torch.int32)
    if data.draw(st.booleans()):
        ignored = data.draw(st.sampled_from([-100, 0]))
        labels = torch.where(torch.rand(labels.shape, generator=generator) < 0.3, ignored, labels)
        options["ignore_index"] = ignored
    if data.draw(st.booleans()):
        options["class_weights"] = torch.rand(classes, generator=generator) + 0.1
    if name == "moid" and classes == steps and per_step:
        labels = labels[:, 0]
    if name == "moid" and samples and labels.ndim == 1 and data.draw(st.booleans()):
        shape = (samples, classes, steps) if data.draw(st.booleans()) else (samples, classes)
        targets = torch.rand(shape, generator=generator)
        labels = torch.where(targets < 0.2, float(options.get("ignore_index", 0)), targets)
    labels = labels.int() if not labels.is_floating_point() and data.draw(st.booleans()) else labels
    assert_equals_definition(LOSSES[name], spikes, labels, window, **options)


@every_loss
@pytest.mark.parametrize("order", ["time last", "time first"])
def test_long_recordings_are_cut_into_chunks(name: str, order: str, calls: list[str]) -> None:
    spikes = strided(binary(2, 5, 2500), order)
    assert class_losses._blocks(spikes, 20)[1] > 2
    labels = torch.randint(5, (2, 2500), generator=torch.Generator().manual_seed(1))
    for window in (1, 20, 600, 3000):
        assert_equals_definition(LOSSES[name], spikes, labels, window, reduction="none")
        assert_equals_definition(LOSSES[name], spikes, labels[:, 0], window, lengths=torch.tensor([2500, 1300]))
    assert set(calls) >= {"class_loss", "class_loss_backward"}


@every_loss
def test_binary_spikes_give_the_value_of_float64(name: str) -> None:
    spikes, labels = binary(8, 30, 200, density=0.1), torch.arange(8)
    with use_backend("cpu"):
        value = LOSSES[name](spikes, labels, 20)
        exact = LOSSES[name](spikes.double(), labels, 20)
    assert value.double().item() == pytest.approx(exact.item(), rel=2e-7)


@every_loss
def test_nothing_stays_behind_of_a_large_spike(name: str) -> None:
    spikes = binary(1, 4, 100)
    labels = torch.tensor([2])
    with use_backend("cpu"):
        expected = LOSSES[name](spikes, labels, 10, reduction="none")
        spikes[0, :, 30] = 1e9
        after = LOSSES[name](spikes, labels, 10, reduction="none")
    assert torch.equal(after[:, 40:], expected[:, 40:])
    assert torch.equal(after[:, :30], expected[:, :30])


@every_loss
@pytest.mark.parametrize("order", ["time last", "time first"])
def test_the_number_of_threads_changes_nothing(name: str, order: str, eager_threads: None) -> None:
    spikes = strided(torch.randn(7, 9, 1200, generator=torch.Generator().manual_seed(0)), order)
    labels = torch.randint(9, (7, 1200), generator=torch.Generator().manual_seed(1))
    results = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        results.append(run("cpu", LOSSES[name], spikes, labels, 15))
    for value, gradient in results[1:]:
        assert torch.equal(value, results[0][0])
        assert torch.equal(gradient, results[0][1])


@every_loss
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_gradients_are_those_of_differences(name: str, reduction: str) -> None:
    spikes = torch.randn(2, 3, 9, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).requires_grad_()
    labels = torch.tensor([2, 0])

    def loss(x: Tensor) -> Tensor:
        return LOSSES[name](x, labels, 4, reduction=reduction)

    with use_backend("cpu"):
        assert torch.autograd.gradcheck(loss, spikes)
        assert torch.autograd.gradgradcheck(loss, spikes)


@every_loss
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_compiles_into_one_graph(name: str, reduction: str, calls: list[str]) -> None:
    spikes, labels = binary(2, 5, 30).requires_grad_(), torch.tensor([1, 3])

    def loss(x: Tensor, y: Tensor) -> Tensor:
        return LOSSES[name](x, y, 6, reduction=reduction).sum()

    expected, expected_gradient = run("cpu", loss, spikes, labels)
    calls.clear()
    torch._dynamo.reset()
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    value, gradient = run("cpu", compiled, spikes, labels)
    assert calls == ["class_loss", "class_loss_backward"]
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(gradient, expected_gradient)
    with use_backend("reference"):
        torch.testing.assert_close(compiled(spikes, labels), expected)


def test_nothing_as_large_as_the_spikes_is_kept_but_the_spikes() -> None:
    spikes, kept = binary(3, 50, 40).requires_grad_(), []
    with torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(x) or x, lambda x: x), use_backend("cpu"):
        for name in LOSSES:
            LOSSES[name](spikes, torch.tensor([1, 2, 3]), 10)
    large = [x for x in kept if x.numel() >= spikes.numel()]
    assert len(large) == len(LOSSES)
    assert all(x.data_ptr() == spikes.data_ptr() for x in large)


@every_loss
@pytest.mark.parametrize("order", ["time last", "time first"])
@pytest.mark.parametrize("place", [(0, 0, 0), (1, 16, 1100), (2, 17, 29)])
@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf, 1.0001e9, -2e9])
def test_values_are_looked_at_in_the_kernel(name: str, order: str, place: tuple[int, ...], value: float) -> None:
    spikes = binary(3, 18, 1101)
    spikes[place] = value
    messages = []
    for backend in ("cpu", "reference"):
        with use_backend(backend), pytest.raises(ArgumentError) as raised:
            LOSSES[name](strided(spikes, order), torch.tensor([0, 1, 2]), 5)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]


@every_loss
@pytest.mark.parametrize("label", [-1, 4, 2**40])
def test_labels_are_looked_at_in_the_kernel(name: str, label: int) -> None:
    labels = torch.zeros(2, 30, dtype=torch.int64)
    labels[1, 17] = label
    messages = []
    for backend in ("cpu", "reference"):
        with use_backend(backend), pytest.raises(ArgumentError) as raised:
            LOSSES[name](binary(2, 4, 30), labels, 5)
        messages.append(str(raised.value))
    assert messages[0] == messages[1]
    with use_backend("cpu"):
        LOSSES[name](binary(2, 4, 30), labels, 5, ignore_index=label)
        LOSSES[name](binary(2, 4, 30), labels, 5, lengths=torch.tensor([30, 17]))


def test_targets_are_looked_at_in_the_kernel() -> None:
    targets = torch.full((2, 4), 0.5)
    targets[1, 2] = 1.5
    for backend in ("cpu", "reference"):
        with use_backend(backend), pytest.raises(ArgumentError, match="targets is out of range"):
            spike_moid(binary(2, 4, 30), targets, 5)


@every_loss
def test_samples_that_are_mapped_take_the_definition(name: str, calls: list[str]) -> None:
    spikes, labels = binary(2, 4, 12), torch.tensor([1, 2])
    with use_backend("cpu"):
        each = torch.func.vmap(lambda x, y: LOSSES[name](x[None], y[None], 5))(spikes, labels)
        assert "class_loss" not in calls
        torch.testing.assert_close(each.sum(), LOSSES[name](spikes, labels, 5))
    assert "class_loss" in calls


@pytest.mark.parametrize("name", [name for name in LOSSES if name != "moid"])  # torch has no such gradient there
def test_learnt_weights_have_a_gradient(name: str) -> None:
    gradients = []
    for backend in ("cpu", "reference"):
        weights = torch.ones(4, requires_grad=True)
        with use_backend(backend):
            LOSSES[name](binary(2, 4, 12), torch.tensor([1, 2]), 5, class_weights=weights).backward()
        gradients.append(weights.grad)
    torch.testing.assert_close(*gradients)
    assert gradients[0] is not None
    assert gradients[0].count_nonzero() > 0


def test_a_learnt_temperature_has_a_gradient() -> None:
    temperature = torch.tensor(0.5, requires_grad=True)
    with use_backend("cpu"):
        spike_max(binary(2, 4, 12), torch.tensor([1, 2]), 5, "softmax", temperature=temperature).backward()
    assert temperature.grad is not None
    assert temperature.grad != 0
