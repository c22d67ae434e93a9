"""Random values of a layer's fields, within what Lava loads, with the extremes that it changes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

Array = np.ndarray
SPIKING = ("CUBA", "LOIHI")
RESONATORS = ("RF_PHASE", "RF_IZHIKEVICH")


class RandomFields:
    """Makes fields of layers.

    Attributes:
        rng: where all chance comes from.
        features: what was special about the fields so far.
        far: whether states shall come near the ends of 24 bits.
    """

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng([seed, 2024])
        self.features: set[str] = set()
        self.far = self.chance(0.25)

    def chance(self, probability: float) -> bool:
        return bool(self.rng.random() < probability)

    def mark(self, feature: str) -> None:
        self.features.add(feature)

    def pick(self, *choices: Any) -> Any:
        return choices[int(self.rng.integers(len(choices)))]

    def weights(self, shape: tuple[int, ...], dense: bool = True) -> Array:
        rng = self.rng
        usual = {
            "even": lambda: rng.integers(-50, 64, shape) * 2,
            "odd": lambda: rng.integers(-110, 128, shape),
            "tiny": lambda: rng.integers(-1, 3, shape),
            "mostly zero": lambda: rng.integers(-60, 90, shape) * (rng.random(shape) < 0.3),
            "multiples of 16": lambda: rng.integers(-7, 8, shape) * 16,
        }
        special = {
            "positive": lambda: rng.integers(0, 256, shape),
            "fractions": lambda: rng.uniform(-60, 80, shape),
            "of both signs beyond 8 bits": lambda: rng.integers(-500, 500, shape),
            "over 255 without negative ones": lambda: rng.integers(0, 600, shape),
            "below -256 without positive ones": lambda: -rng.integers(1, 600, shape),
            "negative powers of two": lambda: -(1 << rng.integers(self.pick(0, 4), 9, shape)),
            "none positive": lambda: -rng.integers(0, 129, shape),
        }
        name = self.pick(*special) if self.chance(0.2) else self.pick(*usual)
        weight = np.asarray({**usual, **special}[name](), np.float32)
        if not np.trunc(weight).any():  # Lava cannot load that
            weight.reshape(-1)[0] = 2
        if name in special and (dense or name == "fractions"):
            self.mark(f"weights {name}")
        return weight

    def drive(self, weight: Array, fan_in: int) -> float:
        """Roughly what arrives in a step."""
        return float(np.sqrt(np.mean(weight.astype(np.float64) ** 2) * max(fan_in, 1) * 0.4))

    def neuron(self, kind: str, drive: float, channels: int = 0) -> dict[str, Any]:
        self.mark(kind)
        threshold = max(int(drive * self.rng.uniform(0.03, 0.8)), 1)
        neuron: dict[str, Any] = {"type": kind, "vThMant": threshold}
        if kind == "SDNN":
            neuron |= {"activation": "relu", "vThMant": self.pick(0, 1, 2, 5, max(threshold // 8, 1))}
            if self.chance(0.06):
                self.mark("threshold of SDNN at the edge")
                neuron["vThMant"] = self.pick(-3, 1 << 18, (1 << 19) - 1, 1 << 19, 1 << 20)
            if channels and self.chance(0.12):
                self.mark("sigma_output")
                neuron["sigma_output"] = np.bool_(self.pick(True, True, False))
            return neuron
        neuron["gradedSpike"] = np.bool_(self.ignored())
        if self.chance(0.08):
            neuron["vThMant"] = self.pick(-3, 0, (1 << 17) - 1, 1 << 17, 1 << 18, 1 << 27)
            self.mark("threshold at the edge")
        if self.chance(0.1):
            neuron["vThMant"] = np.array([neuron["vThMant"]])
        if kind in RESONATORS:
            if self.chance(0.15):
                self.mark("adaptive resonator")
                neuron |= {"type": f"AD{kind}", "thDecay": 100, "refDecay": 400, "vThStep": 30}
            return neuron | self.resonance(channels)
        self.far_state(neuron)
        for name in ("iDecay", "vDecay"):
            shared = not channels or self.chance(0.75)
            if not shared:
                self.mark("decay per channel")
            shape = self.pick((), (), (1,)) if shared else (channels,)
            low, high = (0, 40) if "far" in neuron else self.pick((0, 200), (100, 1500), (500, 4097))
            neuron[name] = self.rng.integers(low, high, shape)
            if self.chance(0.04):
                self.mark("decay over 4096")
                neuron[name] = np.int64(5000)
        neuron.pop("far", None)
        old = {"scaleRho": 0.1, "tauRho": 0.5, "theta": threshold * 64, "wgtExp": 0}
        if self.ignored():
            neuron["weight_exp"] = np.float32([3])
        return neuron | {"refDelay": 4 if self.ignored() else 1} | (old if kind == "LOIHI" else {})

    def ignored(self) -> bool:
        """Whether to put something here that Lava does not look at."""
        ignored = self.chance(0.04)
        if ignored:
            self.mark("ignored fields")
        return ignored

    def far_state(self, neuron: dict[str, Any]) -> None:
        if self.far:
            self.mark("states near 24 bits")
            neuron |= {"far": True, "vThMant": self.pick((1 << 17) - 1, 90_000, 30_000)}

    def resonance(self, channels: int) -> dict[str, Any]:
        shape = (channels,) if self.chance(0.2) else ()
        if shape:
            self.mark("resonance per neuron")
        angle, keep = self.rng.uniform(-math.pi, math.pi, shape), self.rng.uniform(0.3, 1, shape)
        if self.chance(0.7):
            angle = self.rng.uniform(0.05, 1.5, shape)
        if self.chance(0.1):
            self.mark("resonance that does not turn")
            angle = np.zeros(shape)
        if self.chance(0.15):
            self.mark("resonance that forgets")
            keep = np.zeros(shape)
        names = ("sinDecay", np.sin), ("cosDecay", np.cos)
        return {name: np.trunc(4096 * keep * f(angle)).astype(np.int64) for name, f in names}

    def bias(self, drive: float, shape: tuple[int, ...], kind: str) -> Array:
        self.mark(f"bias {'scalar' if shape == () else len(shape)}")
        reach = max(int(drive * self.rng.uniform(0.05, 0.8)), 2)
        bias = self.rng.integers(-reach // 4, reach, shape)
        if self.chance(0.12) or (self.far and self.chance(0.4)):
            self.mark("bias beyond 16 bits")
            bias = self.rng.integers(-70_000, 70_000, shape)
        if self.chance(0.1):
            self.mark("bias with fractions")
            bias = bias + self.rng.uniform(-1, 1, shape)
        return np.asarray(bias, np.float32)

    def delay(self, outputs: int, inputs: int) -> Array:
        shape = self.pick((), (outputs,), (inputs,), (outputs, inputs))
        scalar, square = shape == (), len(shape) == 2
        name = "scalar" if scalar else "matrix" if square else "per neuron" if shape[0] == outputs else "per input"
        self.mark(f"delay {name}")
        steps: Array = self.rng.integers(0, self.pick(2, 8, 20), shape).astype(np.float32)
        if self.chance(0.15):
            self.mark("delay over 62")
            steps = np.where(self.rng.random(shape) < 0.1, np.float32(70), steps)
        if self.chance(0.1):
            self.mark("delay with fractions")
            steps = steps + self.rng.uniform(0, 1, shape)
        return np.asarray(steps, np.float32)
