"""From blocks to files: what is written, what is refused, and whether the file does what the model does."""

from __future__ import annotations

import copy
import pickle
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from torch.nn import Module, ModuleList, Sequential
from trained_blocks import trained

from slayerloss import netx
from slayerloss._check import ArgumentError, FileError, MissingFileError, ShapeError
from slayerloss.block import cuba
from slayerloss.neuron import Dropout
from slayerloss.neuron.norm import MeanOnlyBatchNorm

NEURON = {"threshold": 0.6, "current_decay": 0.25, "voltage_decay": 0.03}
NORM = {**NEURON, "norm": MeanOnlyBatchNorm}
CHANNELS = {**NEURON, "shared_param": False}


def spikes(*shape: int) -> torch.Tensor:
    return (torch.rand(shape) < 0.3).float()


def dense_with_delays() -> tuple[Module, torch.Tensor]:
    first = cuba.Dense(NEURON, 20, 24, weight_norm=True, delay=True)
    return Sequential(first, cuba.Dense(NORM, 24, 16, delay=True), cuba.Dense(CHANNELS, 16, 8)), spikes(4, 20, 40)


def recurrent() -> tuple[Module, torch.Tensor]:
    return Sequential(cuba.Dense(NEURON, 20, 24), cuba.Recurrent(NORM, 24, 16)), spikes(4, 20, 40)


def convolutional() -> tuple[Module, torch.Tensor]:
    conv = cuba.Conv(NORM, 2, 8, 3, stride=(2, 1), padding=(1, 0), weight_scale=2)
    grouped = cuba.Conv(NEURON, 8, 8, 3, groups=2, dilation=(1, 2), weight_scale=2)
    return Sequential(conv, grouped, cuba.Flatten(), cuba.Dense(NORM, 128, 10, delay=True)), spikes(3, 2, 12, 10, 30)


def with_input() -> tuple[Module, torch.Tensor]:
    first = cuba.Input(NEURON, weight=1, bias=0.1)
    return Sequential(first, cuba.Conv(NEURON, 2, 4, 3), cuba.Flatten(), cuba.Dense(NEURON, 320, 5)), spikes(
        2, 2, 12, 10, 20
    )


def image_into_dense() -> tuple[Module, torch.Tensor]:
    return Sequential(cuba.Dense(NEURON, (5, 6, 2), 10), cuba.Flatten(), cuba.Dense(NEURON, 10, 4)), spikes(
        3, 2, 6, 5, 30
    )


def flatten_first() -> tuple[Module, torch.Tensor]:
    return Sequential(cuba.Flatten(), cuba.Dense(NEURON, 60, 10)), spikes(3, 2, 6, 5, 30)


def masked_and_counted() -> tuple[Module, torch.Tensor]:
    mask = (torch.rand(10, 20) < 0.5).float()
    return cuba.Dense(NEURON, 20, 10, mask=mask, count_log=True), spikes(3, 20, 30)


def persistent() -> tuple[Module, torch.Tensor]:
    return Sequential(cuba.Dense({**NEURON, "persistent_state": True}, 20, 10)), spikes(3, 20, 30)


def coarse_scale() -> tuple[Module, torch.Tensor]:
    coarse = {**NORM, "scale": 16}
    return Sequential(cuba.Dense(coarse, 20, 16), cuba.Dense(coarse, 16, 10)), spikes(4, 20, 30)


NETWORKS = [
    coarse_scale,
    dense_with_delays,
    recurrent,
    convolutional,
    with_input,
    image_into_dense,
    flatten_first,
    masked_and_counted,
    persistent,
]


def assert_identical(model: Module, path: Path, x: Any) -> netx.Comparison:
    comparison = netx.compare(model, path, x)
    assert comparison.identical, str(comparison)
    assert not comparison.silent, str(comparison)
    return comparison


@pytest.mark.parametrize("make", NETWORKS)
def test_file_and_model_spike_alike(make: Any, tmp_path: Path) -> None:
    model, x = trained(make)
    findings = netx.export(model, tmp_path / "network.net", input_shape=x.shape[1:-1])
    assert {f.severity for f in findings} <= {"note"}
    comparison = assert_identical(model, tmp_path / "network.net", [x, (x.flip(0), "labels")])
    assert comparison.samples == 2 * len(x)
    assert len(str(comparison).splitlines()) == 1 + len(comparison.layers)
    netx.export(model, tmp_path / "without.net")
    assert netx.read(tmp_path / "without.net") == netx.read(tmp_path / "network.net")


@pytest.mark.parametrize("make", NETWORKS)
def test_export_leaves_the_model_as_it_was(make: Any, tmp_path: Path) -> None:
    model, x = trained(make)
    model.train()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    netx.export(model, tmp_path / "network.net", input_shape=x.shape[1:-1])
    netx.compare(model, tmp_path / "network.net", x)
    assert [m.training for m in model.modules()] == modes
    assert model.state_dict().keys() == before.keys()
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=0)
    pickle.dumps(model)  # no hooks are left behind


def test_the_input_shape_stands_in_for_a_first_run(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, x = convolutional()
    with pytest.raises(ArgumentError, match=r"layer 0 \(Conv\): its shape is not known.*Pass input_shape"):
        netx.export(model, tmp_path / "network.net")
    netx.export(model, tmp_path / "network.net", input_shape=(2, 12, 10))
    assert netx.Network(tmp_path / "network.net").input_shape == (2, 12, 10)
    assert netx.read(tmp_path / "network.net").layers[0].type == "input"
    assert_identical(model, tmp_path / "network.net", x)


def test_the_layer_that_the_input_shape_does_not_fit_is_named(tmp_path: Path) -> None:
    model = Sequential(cuba.Conv(NEURON, 2, 4, 3), cuba.Flatten(), cuba.Dense(NEURON, 100, 4))
    with pytest.raises(ShapeError, match=r"does not fit layer 2 \(Dense\).*\(2, 10, 10\).*100 of them.*256"):
        netx.export(model, tmp_path / "network.net", input_shape=(2, 10, 10))
    with pytest.raises(ShapeError, match=r"does not fit layer 0 \(Conv\)"):
        netx.export(model, tmp_path / "network.net", input_shape=(3, 10, 10))
    assert not any(tmp_path.iterdir())


class Tutorial(Module):
    def __init__(self, *blocks: Module) -> None:
        super().__init__()
        self.blocks = ModuleList(blocks)
        self.loss = torch.nn.MSELoss()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class Backwards(Tutorial):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in reversed(self.blocks):
            x = block(x)
        return x


class Mixed(Tutorial):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.blocks[1](self.blocks[0].run(x)[0])


class Wrapper(Module):
    def __init__(self, **modules: Module) -> None:
        super().__init__()
        for name, module in modules.items():
            setattr(self, name, module)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.network(x)


def test_blocks_are_found_where_tutorials_keep_them(tmp_path: Path) -> None:
    torch.manual_seed(0)
    blocks = [cuba.Dense(NEURON, 20, 10), cuba.Dense(NEURON, 10, 4)]
    x = spikes(3, 20, 30)
    models = [Tutorial(*blocks), Wrapper(network=Tutorial(*blocks)), Sequential(blocks[0], Sequential(blocks[1]))]
    models += [Sequential(blocks[0], torch.nn.Identity(), Dropout(0.2), torch.nn.Flatten(1, -2), blocks[1])]
    files = []
    for i, model in enumerate(models):
        netx.export(model, tmp_path / f"{i}.net", input_shape=(20,))
        assert_identical(model, tmp_path / f"{i}.net", x)
        files.append(netx.read(tmp_path / f"{i}.net"))
    assert all(file == files[0] for file in files)


def test_models_without_a_clear_order_are_refused(tmp_path: Path) -> None:
    block = cuba.Dense(NEURON, 4, 4)
    for model, text in [
        (Wrapper(first=block, second=cuba.Dense(NEURON, 4, 4)), r"order of the blocks in Wrapper.*'first', 'second'"),
        (Sequential(block, torch.nn.Linear(4, 4)), "layer 1 is not a block of slayerloss.*Linear"),
        (Sequential(block, torch.nn.ReLU()), "layer 1 is not a block of slayerloss.*ReLU"),
        (Backwards(block, cuba.Dense(NEURON, 4, 4)), "the blocks do not run once each in the order"),
        (torch.nn.Linear(4, 4), "model has no blocks"),
        (Sequential(block, block), "layer 1 is layer 0 once more"),
    ]:
        with pytest.raises(ArgumentError, match=text):
            netx.export(model, tmp_path / "network.net", input_shape=(4,))
    assert not list(tmp_path.iterdir())


def fill(block: Any, value: float) -> Any:
    torch.nn.init.constant_(block.synapse.weight, value)
    return block


def with_delay(block: Any, steps: float) -> Any:
    block.delay.delay.data.fill_(steps)
    block.delay.max_delay = 100
    return block


class OtherNorm(Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x


REFUSED = [
    (
        lambda: cuba.Pool(NEURON, 2),
        (2, 4, 4),
        r"layer 0 \(Pool\), type: the layer type is 'pool'.*Conv block with a stride",
    ),
    (lambda: cuba.Average(2), (4,), r"layer 0 \(Average\), type: the layer type is 'average'.*Use a Dense"),
    (lambda: cuba.Affine(NEURON, 4, 2), (4,), r"layer 0 \(Affine\): Lava has no such readout.*blocks before it"),
    (lambda: cuba.Conv(NEURON, 2, 3, 2, delay=True), (2, 4, 4), r"layer 0 \(Conv\), delay: Lava ignores"),
    (lambda: cuba.Dense({**NEURON, "graded_spike": True}, 4, 2), (4,), "gradedSpike: Lava sends 1"),
    (
        lambda: cuba.Recurrent(NEURON, 4, 2, delay=True),
        (4,),
        r"layer 0 \(Recurrent\), delay: Lava .*delays",
    ),
    (lambda: with_delay(cuba.Dense(NEURON, 4, 2, delay=True), 70), (4,), "70 is above 62; it becomes 62"),
    (
        lambda: cuba.Dense(NEURON, 4, 2, delay_shift="lava-dl"),
        (4,),
        r"layer 0 \(Dense\): .*delay_shift=True, got 'lava-dl'",
    ),
    (lambda: cuba.Dense(NEURON, 4, 2, delay_shift=False), (4,), "delay_shift=True, got False"),
    (lambda: cuba.Input(NEURON, delay_shift="lava-dl"), (4,), "delay_shift=True, got 'lava-dl'"),
    (lambda: cuba.Input({**NEURON, "scale": 16}), (4,), r"layer 0 \(Input\): .*64 weight LSBs.*scale=64, got 16"),
    (lambda: cuba.Dense(NEURON, 4, 2, pre_hook_fx=None), (4,), "weight: there are fractions.*quantisation"),
    (lambda: fill(cuba.Dense(NEURON, 4, 2), 0.0), (4,), "weight: all weights are zero"),
    (lambda: fill(cuba.Dense(NEURON, 4, 2, pre_hook_fx=None), 5.0), (4,), r"all 8 weights \(320 to 320\) for zero"),
    (lambda: fill(cuba.Dense(NEURON, 4, 2), -4.0), (4,), r"weights \(-256 to -256\) for zero.*both signs"),
    (lambda: cuba.Dense({**NEURON, "norm": OtherNorm}, 4, 2), (4,), r"would ignore its norm.*MeanOnlyBatchNorm"),
]


@pytest.mark.parametrize(("make", "shape", "text"), REFUSED)
def test_what_lava_would_change_is_refused_with_the_way_out(make: Any, shape: Any, text: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    with pytest.raises(ArgumentError, match=text):
        netx.export(Sequential(make()), tmp_path / "network.net", input_shape=shape)
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    model, path = cuba.Dense(NEURON, 4, 2), tmp_path / "no" / "network.net"
    with pytest.raises(MissingFileError, match=r"export: '.*network.net' cannot be written; .*mkdir -p .*no"):
        netx.export(model, path)
    netx.export(model, tmp_path / "network.net")
    with pytest.raises(MissingFileError, match=r"write: '.*network.net' cannot be written"):
        netx.write(path, netx.read(tmp_path / "network.net"))
    with pytest.raises(FileError, match="is a folder"):
        netx.write(tmp_path, netx.read(tmp_path / "network.net"))


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    model = Sequential(fill(cuba.Dense(NEURON, 4, 4), 0.0), cuba.Dense({**NEURON, "graded_spike": True}, 4, 2))
    with pytest.raises(
        ArgumentError, match=r"layer 0 \(Dense\), weight: .*layer 1 \(Dense\), neuron/gradedSpike: .*2 problems"
    ):
        netx.export(model, tmp_path / "network.net")


def test_one_flipped_bit_is_seen(tmp_path: Path) -> None:
    model = cuba.Dense({"threshold": 0.625, "current_decay": 1, "voltage_decay": 1}, 2, 2)
    model.synapse.weight.data = torch.tensor([[40.0, -2.0], [64.0, 2.0]]).reshape(2, 2, 1, 1, 1) / 64
    x = torch.tensor([[[1.0, 0, 1, 0, 0], [0, 1, 0, 0, 0]]])
    path = tmp_path / "network.net"
    netx.export(model, path)
    assert assert_identical(model, path, x).events == [2]  # 40 / 64 reaches the threshold, and does not pass it
    with h5py.File(path, "a") as handle:
        handle["layer/0/weight"][0, 0] = 40 ^ 1
    comparison = netx.compare(model, path, x)
    assert not comparison.identical
    assert (comparison.spikes_differ, comparison.fields_differ, comparison.intact) == ([2], ["layer/0/weight"], False)
    assert "layer/0/weight" in str(comparison)


@pytest.mark.parametrize("make", [dense_with_delays, recurrent, convolutional])
def test_a_bit_that_changes_no_spike_is_seen(make: Any, tmp_path: Path) -> None:
    model, x = trained(make)
    path = tmp_path / "network.net"
    netx.export(model, path)
    description = netx.read(path)
    index = next(i for i, layer in enumerate(description.layers) if "weight" in layer.fields)
    bits = description.layers[index].fields["weight"].reshape(-1)[-1:].view(np.uint32)
    bits ^= 1  # the last bit of the float, with the checksum made anew
    netx.write(path, description)
    comparison = netx.compare(model, path, x)
    assert (comparison.spikes_differ, comparison.intact) == ([0] * len(comparison.layers), True)
    assert (comparison.identical, comparison.fields_differ) == (False, [f"layer/{index}/weight"])


@pytest.mark.parametrize("name", ["weight", "bias"])
def test_the_input_layer_of_the_file_is_compared(name: str, tmp_path: Path) -> None:
    model, _ = trained(with_input)
    x = 4 * torch.rand(2, 2, 12, 10, 20) - 1
    model(x)
    path = tmp_path / "network.net"
    netx.export(model, path)
    assert_identical(model, path, x)
    description = netx.read(path)
    value = description.layers[0].fields[name]
    value -= 1  # the last bit of the integer
    netx.write(path, description)
    comparison = netx.compare(model, path, x)
    assert comparison.spikes_differ[0] > 0
    assert comparison.fields_differ == [f"layer/0/{name}"]
    value += 1
    value.view(np.uint32)[...] ^= 1  # that of the float
    netx.write(path, description)
    assert netx.compare(model, path, x).fields_differ == [f"layer/0/{name}"]


def test_what_cannot_be_compared_is_refused(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model, other = cuba.Dense(NEURON, 20, 10), cuba.Dense(NEURON, 20, 12)
    mixed = Mixed(cuba.Dense(NEURON, 20, 10), cuba.Dense(NEURON, 10, 4))
    netx.export(mixed, tmp_path / "mixed.net", input_shape=(20,))
    netx.export(model, tmp_path / "network.net")
    with pytest.raises(
        ShapeError, match=r"layer/0 of the file has another shape than the model's Dense.*\(12,\), got \(10,\)"
    ):
        netx.compare(other, tmp_path / "network.net", spikes(3, 20, 30))
    with pytest.raises(ArgumentError, match=r"another number of layers with neurons: 1;.*2"):
        netx.compare(Sequential(model, cuba.Dense(NEURON, 10, 4)), tmp_path / "network.net", spikes(3, 20, 30))
    with pytest.raises(ArgumentError, match=r"layer blocks\.0 \(Dense\) is not called"):
        netx.compare(mixed, tmp_path / "mixed.net", spikes(3, 20, 30))
    nothing = netx.compare(model, tmp_path / "network.net", [])
    assert (nothing.samples, nothing.identical) == (0, False)


@pytest.mark.parametrize("make", [dense_with_delays, convolutional])
def test_counts_are_compared_as_counts(make: Any, tmp_path: Path) -> None:
    model, x = trained(make)
    counts = x * torch.randint(1, 6, x.shape)
    netx.export(model, tmp_path / "network.net", input_shape=x.shape[1:-1])
    assert assert_identical(model, tmp_path / "network.net", x).input_message_bits == 0
    comparison = assert_identical(model, tmp_path / "network.net", [x, counts])
    assert comparison.input_message_bits == 3
    assert "run it with input_message_bits=3" in str(comparison)
    with pytest.raises(ArgumentError, match=r"x has fractions, infinity or NaN.*Put an Input block before"):
        netx.compare(model, tmp_path / "network.net", x / 2)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_inputs_of_any_dtype_are_compared(dtype: torch.dtype, tmp_path: Path) -> None:
    model, x = trained(convolutional)
    netx.export(model, tmp_path / "network.net", input_shape=x.shape[1:-1])
    assert_identical(model, tmp_path / "network.net", x.to(dtype))


def test_silence_proves_nothing(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = Sequential(cuba.Dense({**NEURON, "threshold": 100}, 20, 10), cuba.Dense(NEURON, 10, 4))
    netx.export(model, tmp_path / "network.net")
    comparison = netx.compare(model, tmp_path / "network.net", spikes(2, 20, 10))
    assert comparison.silent == ["0 (Dense)", "1 (Dense)"]
    assert not comparison.identical
    assert "SILENT" in str(comparison)
