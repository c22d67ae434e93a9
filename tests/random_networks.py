"""Random networks of all that Lava loads and runs, its traps included; each is made again from its seed.

Left out is what Lava refuses, or hangs on: all-zero weights, recurrence with delays, resonators in a convolution or an
input layer, a bias where neurons send their sum, and more.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from random_fields import RESONATORS, SPIKING, Array, RandomFields

FAMILIES = {
    "lif": ("CUBA", "CUBA", "CUBA", "LOIHI"),
    "sdnn": ("SDNN",),
    "rf": RESONATORS,
    "mixed": ("CUBA", "LOIHI", "SDNN", "SDNN", *RESONATORS),
}


@dataclass(frozen=True)
class Case:
    """A network, its input and how it runs.

    Attributes:
        seed: `random_network` makes the same case of it.
        layers: one dict a layer, with the file's field names.
        x: (C, T) or (C, H, W, T), integers.
        options: arguments of Network.
        features: what is special about it.
    """

    seed: int
    layers: list[dict[str, Any]]
    x: Array
    options: dict[str, Any]
    features: frozenset[str]

    def __str__(self) -> str:
        features = ", ".join(sorted(self.features))
        lines = [f"random_network({self.seed}), input {self.x.shape}, {self.options}, {features}"]
        for i, layer in enumerate(self.layers):
            neuron = layer.get("neuron", {})
            fields = {**layer, **neuron}
            parts = {name: _shown(value) for name, value in fields.items() if name not in ("neuron", "type")}
            lines.append(f"  {i}: {layer['type']} {neuron.get('type', '')} {parts}")
        return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return str({name: _shown(part) for name, part in value.items()})
    array = np.asarray(value)
    if array.size <= 3 or array.dtype.kind not in "biuf":
        return str(array.tolist())
    return f"{array.shape} in [{array.min():g}, {array.max():g}]"


def random_network(seed: int) -> Case:
    """The network of a seed."""
    return _Maker(seed).case()


class _Maker(RandomFields):
    def __init__(self, seed: int) -> None:
        super().__init__(seed)
        self.seed = seed
        self.layers: list[dict[str, Any]] = []
        self.inputs: list[tuple[int, ...]] = []  # what each layer reads
        self.options: dict[str, Any] = {}
        self.steps = int(self.rng.integers(1, 4) if self.chance(0.04) else self.rng.integers(20, 36))
        self.family = str(self.rng.choice(list(FAMILIES), p=[0.42, 0.26, 0.14, 0.18]))
        self.graded = False  # what the next layer reads
        image = self.chance(0.45)
        self.deep = self.chance(0.04)  # as many groups as Lava can count, or one more
        large = self.chance(0.08)
        sizes = self.rng.integers(1, 4), *self.rng.integers(*((8, 14) if large else (3, 8)), 2)
        self.shape = tuple(map(int, sizes)) if image else (int(self.rng.integers(1, 16)),)
        if self.deep:
            self.shape = (self.pick(127, 128), 1, int(self.rng.integers(1, 3)))

    def case(self) -> Case:
        self.entrance()
        if len(self.shape) == 3:
            for _ in range(1 if self.deep else int(self.rng.integers(0, 3))):
                self.conv()
            if (self.layers and self.chance(0.75)) or not any("neuron" in layer for layer in self.layers):
                self.flatten()
        if len(self.shape) == 1:
            for _ in range(int(self.rng.integers(1, 4))):
                self.dense()
            if self.layers[-1]["type"] == "dense" and self.chance(0.12) and self.reads_real(len(self.layers) - 1):
                self.mark("dense without neuron")
                del self.layers[-1]["neuron"]
                self.layers[-1].pop("bias", None)
        if self.chance(0.04):
            self.mark("layer of an unknown type")
            place = int(self.rng.integers(1, len(self.layers) + 1))
            self.layers.insert(place, {"type": "mystery", "shape": [3]})
            self.inputs.insert(place, self.inputs[place] if place < len(self.inputs) else self.shape)
        self.choose_options()
        return Case(self.seed, self.layers, self.events(), self.options, frozenset(self.features))

    # Layers

    def entrance(self) -> None:
        kind = self.pick("none", "shape", "neuron", "neuron")
        if kind == "none":
            self.mark("no input layer")
        elif kind == "shape":
            self.mark("input without neuron")
            self.add({"type": "input", "shape": self.size(self.shape)}, self.shape)
        else:
            graded = self.family == "sdnn" or (self.family != "lif" and self.chance(0.5))
            name = "SDNN" if graded else self.pick(*SPIKING)
            self.mark("input Delta" if graded else "input LIF")
            layer = {"type": "input", "shape": self.size(self.shape), "neuron": self.neuron(name, 40.0, self.shape[0])}
            if self.chance(0.3):
                self.mark("input weight and bias")
                layer |= {"weight": np.float32([32]), "bias": np.float32(5)}
            self.add(layer, self.shape)
            self.graded = graded
            if len(self.shape) == 1 and len(layer["shape"]) == 3:
                self.add({"type": "flatten", "shape": layer["shape"]}, self.shape)

    def size(self, shape: tuple[int, ...]) -> list[int]:
        if len(shape) == 1 and self.chance(0.25):
            self.mark("old shape")
            return [*shape, 1, 1]
        if len(shape) == 1 and self.layers and shape[0] % 2 == 0 and self.chance(0.1):
            self.mark("shape of an image of a dense layer")
            return [shape[0] // 2, 1, 2]
        return list(shape)

    def add(self, layer: dict[str, Any], shape: tuple[int, ...]) -> None:
        self.inputs.append(self.shape)
        self.layers.append(layer)
        self.shape = shape

    def flatten(self) -> None:
        self.mark("flatten")
        size = math.prod(self.shape)
        self.add({"type": "flatten", "shape": [size, 1, 1]}, (size,))

    def dense(self) -> None:
        outputs, inputs = int(self.rng.integers(1, 13)), math.prod(self.shape)
        kind = self.pick(*FAMILIES[self.family])
        if kind in RESONATORS:
            self.mark("complex dense")
            real, imaginary = (self.weights((outputs, inputs)) for _ in range(2))
            layer: dict[str, Any] = {"type": "dense", "weight": {"real": real, "imag": imaginary}}
            drive = self.drive(real, inputs)
        else:
            layer = {"type": "dense", "weight": self.weights((outputs, inputs))}
            drive = self.drive(layer["weight"], inputs)
            if self.chance(0.2):
                self.mark("dense_rec SDNN" if kind == "SDNN" else "dense_rec")
                layer |= {"type": "dense_rec", "weight_rec": self.weights((outputs, outputs))}
            elif self.chance(0.5):
                layer["delay"] = self.delay(outputs, inputs)
                if layer["delay"].max() > 62:
                    self.steps = 75  # so that what waits longest arrives
                if self.graded:
                    self.mark("delay of graded spikes")
            if self.chance(0.15) and layer["type"] == "dense":
                self.mark("weights in one row")
                layer["weight"] = layer["weight"].reshape(-1)
        layer["neuron"] = self.neuron(kind, drive, outputs)
        layer["shape"] = self.size((outputs,))
        if self.chance(0.6) and "sigma_output" not in layer["neuron"]:
            layer["bias"] = self.bias(drive, self.pick((), (1,), (outputs,), (outputs,)), kind)
        self.mark("dense")
        self.add(layer, (outputs,))
        self.graded = kind == "SDNN"

    def conv(self) -> None:
        channels, *size = self.shape
        groups = int(self.pick(*[g for g in range(1, channels + 1) if channels % g == 0]))
        outputs = groups * int(self.rng.integers(1, 4))
        if self.deep:
            self.mark(f"groups {channels}")
            groups = outputs = channels
        kernel, stride, padding, dilation = (
            [int(n) for n in self.rng.integers(low, high, 2)] for low, high in ((1, 4), (1, 4), (0, 3), (1, 3))
        )
        for name, pair, usual in (("stride", stride, 1), ("padding", padding, 0), ("dilation", dilation, 1)):
            if self.chance(0.4):
                pair[:] = [usual, usual]
            if pair != [usual, usual]:
                self.mark(name)
        for side in range(2):  # the kernel fits into the image
            reach = size[side] + 2 * padding[side]
            while dilation[side] * (kernel[side] - 1) + 1 > reach:
                dilation[side], kernel[side] = 1, kernel[side] - 1
        out = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, k, s, p, d in zip(size, kernel, stride, padding, dilation, strict=True)
        ]
        weight = self.weights((outputs, channels // groups, *kernel), dense=False)
        drive = self.drive(weight, channels // groups * math.prod(kernel))
        kind = self.pick(*[name for name in FAMILIES[self.family] if name not in RESONATORS] or SPIKING)
        layer: dict[str, Any] = {"type": "conv", "shape": [outputs, *out], "weight": weight, "groups": groups}
        for name, pair in (("stride", stride), ("padding", padding), ("dilation", dilation)):
            one = pair[0] == pair[1] and self.chance(0.5)
            layer[name] = pair[0] if one else pair
        if self.chance(0.2):
            self.mark("weights in 5-D")
            layer["weight"] = weight[..., None]
        layer["neuron"] = self.neuron(kind, drive, outputs)
        if self.chance(0.4) and "sigma_output" not in layer["neuron"]:
            layer["bias"] = self.bias(drive, self.pick((outputs,), (out[1], out[0], outputs)), kind)
        if groups > 1:
            self.mark("groups")
        if self.ignored():
            layer["delay"] = self.rng.integers(0, 9, outputs).astype(np.float32)
        self.mark("conv SDNN" if kind == "SDNN" else "conv")
        self.add(layer, (outputs, *out))
        self.graded = kind == "SDNN"

    def reads_real(self, index: int) -> bool:
        return not isinstance(self.layers[index]["weight"], dict)

    # How it runs

    def choose_options(self) -> None:
        options = self.options
        if self.chance(0.25):
            options["reset_interval"] = int(self.pick(1, *range(3, 20)))
            self.mark("reset_interval")
            if self.chance(0.6):
                options["reset_offset"] = int(self.rng.integers(0, 20))
                self.mark("reset_offset")
        if self.chance(0.4) or (self.family == "sdnn" and self.chance(0.4)):
            options["spike_exp"] = int(self.pick(0, 2, 4, 8, 12, 20, 31))
            if "SDNN" in self.features:
                self.mark("spike_exp")
        if self.chance(0.25):
            options["sparse_fc_layer"] = True
            self.mark("sparse_fc_layer")
        if self.chance(0.2) and len(self.layers) > 1:
            self.leave_out()
        first = self.first()
        if self.chance(0.5) or self.family == "sdnn":
            options["input_message_bits"] = int(self.pick(1, 8, 16, 24))
            if self.layers[first]["type"] != "input":
                self.mark("input_message_bits")
        if self.layers[0]["type"] == "conv":
            options["input_shape"] = self.inputs[0][::-1]
            self.mark("input_shape")

    def makes_process(self, index: int) -> bool:
        layer = self.layers[index]
        return layer["type"] not in ("flatten", "mystery") and (layer["type"] != "input" or "neuron" in layer)

    def first(self) -> int:
        """The first layer that runs."""
        return next(i for i in range(self.options.get("skip_layers", 0), len(self.layers)) if self.makes_process(i))

    def leave_out(self) -> None:
        count, skip = len(self.layers), 0
        if self.chance(0.6):
            count = int(self.rng.integers(1, count + 1))
        if self.chance(0.6):
            skip = int(self.rng.integers(0, count))
        if not any(self.makes_process(i) for i in range(skip, count)):
            return
        if count < len(self.layers) or self.chance(0.3):
            self.options["num_layers"] = count
            self.mark("num_layers")
        if skip:
            self.options["skip_layers"] = skip
            self.mark("skip_layers")

    def events(self) -> Array:
        """The input; of the shape that the first layer reads."""
        first = self.first()
        shape = (*self.inputs[first], self.steps)
        if self.layers[first]["type"] == "input":
            shape = (*self.layers[first]["shape"], self.steps)
        elif self.layers[first]["type"] != "conv":
            shape = (math.prod(self.inputs[first]), self.steps)
        numbers = self.layers[first]["type"] == "input" or self.options.get("input_message_bits", 0)
        active = self.rng.random(shape) < self.rng.uniform(0.15, 0.7)
        if numbers:
            reach = int(self.pick(4, 60, 400))
            if self.far or self.chance(0.1):
                reach = 1 << int(self.rng.integers(10, 30))
                self.mark("large input")
            x = self.rng.integers(-reach // 2, reach, shape) * active
            if self.far and self.chance(0.5):
                self.mark("input at the ends of 24 bits")
                ends = np.array([-(1 << 17), 1 - (1 << 17), (1 << 17) - 1, 1 << 17])  # of u
                x = np.where(self.rng.random(shape) < 0.2, self.rng.choice(ends, shape), x)
            return np.asarray(x)
        if self.chance(0.3):
            self.mark("numbers as spikes")
            return self.rng.integers(-3, 6, shape) * active
        return active.astype(np.int64)
