"""What is measured: each function takes a `Bench` and gives the part of the results that carries its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from harness import Bench, Comparison, Side, WorkerError, check_equal
from libraries.compositions import compositions
from libraries.losses import WINDOW

Rows = list[dict[str, Any]]

NEURON_SHAPES = ((32, 512, 300), (16, 2048, 100), (8, 128, 2000))
LARGE_SHAPES = ((64, 2048, 100), (64, 512, 300), (64, 64, 2500))
LOSS_SHAPES = ((64, 512, 300), (32, 10, 10000), (32, 10, 300))
LOSSES: tuple[tuple[str, str, int | None, str | None], ...] = (
    ("SpikeMax, window 20, softmax", "SpikeMax", WINDOW, "softmax"),
    ("SpikeMax, window 20, probability", "SpikeMax", WINDOW, "probability"),
    ("SpikeRate, window 20", "SpikeRate", WINDOW, None),
    ("SpikeTime", "SpikeTime", None, None),
    ("SpikeMax, softmax", "SpikeMax", None, "softmax"),
    ("SpikeMax, probability", "SpikeMax", None, "probability"),
    ("SpikeRate", "SpikeRate", None, None),
)
MEMORY_SHAPE = (64, 512, 300)
TRAINING_SHAPE = (32, 2312, 300)
PILOTNET_SHAPE = (8, 3, 33, 100, 16)
DALE_SHAPE = (2048, 2048)
STEP_SHAPE = (32, 2312, 100)
LENGTHS = (100, 1_000, 10_000, 100_000)
ELEMENTS, CLASSES = 20_000_000, 10
FIRST_SHAPE = (8, 16, 100)
STREAM_SHAPE = (1, 1, 32 * 2**20)
TRIALS = 3

OURS = (
    Side("slayerloss functional.cuba", "slayerloss", "functional.cuba"),
    Side("slayerloss neuron.cuba.Neuron", "slayerloss", "neuron.cuba.Neuron"),
)
OTHERS = (
    Side("lava-dl cuba.Neuron", "lava-dl", "lava-dl cuba.Neuron"),
    Side("spikingjelly LIFNode", "spikingjelly", "spikingjelly LIFNode"),
    Side("snntorch Leaky", "snntorch", "snntorch Leaky"),
    Side("snntorch Synaptic", "snntorch", "snntorch Synaptic"),
    Side("norse LIFCell", "norse", "norse LIFCell"),
    Side("sinabs LIF", "sinabs", "sinabs LIF"),
)


def _with(side: Side, **options: Any) -> Side:
    return Side(side.name, side.library, side.operation, {**side.options, **options})


def _row(comparison: Comparison, **more: Any) -> dict[str, Any]:
    row = {**more, "shape": list(comparison.shape), "times": comparison.times}
    return {**row, "failed": comparison.failed} if comparison.failed else row


def neuron(bench: Bench) -> Rows:
    """A population of neurons, here and in every other library, with decays that are fixed and that are learnt."""
    rows = []
    for learnable in ("no", "shared"):
        for shape in NEURON_SHAPES:
            comparison = bench.compare([_with(side, learnable=learnable) for side in OURS + OTHERS], shape)
            rows.append(
                {**_row(comparison, decays="fixed" if learnable == "no" else "learnt"), "rates": comparison.values}
            )
    return rows


def limit(bench: Bench) -> Rows:
    """Our neuron on arrays of more than 32 MB, and in turns with it, how fast the machine copies and adds."""
    kinds = (("fixed", "no"), ("learnt", "channels"))
    rows = []
    for shape in LARGE_SHAPES:
        for first in ("N", "T"):
            sides = [
                Side(
                    f"{OURS[0].operation}: {name}",
                    "slayerloss",
                    OURS[0].operation,
                    {"learnable": learns, "first": first},
                )
                for name, learns in kinds
            ]
            before, comparison, after = _streams(bench), bench.compare(sides, shape), _streams(bench)
            row = _row(comparison, memory="time last" if first == "N" else "time first")
            rows.append({**row, "bandwidth": {name: max(before[name], after[name]) for name in before}})
    return rows


def _streams(bench: Bench) -> dict[str, float]:
    """Useful bytes per second, of the best call."""
    elements = STREAM_SHAPE[-1]
    sides = [Side(name, "slayerloss", name) for name in ("copy", "triad")]
    times = bench.compare(sides, STREAM_SHAPE).times
    return {name: size * elements / times[name]["forward"][0] for name, size in (("copy", 8), ("triad", 12))}


def loss(bench: Bench) -> Rows:
    """Losses, here, in lava-dl, and composed of plain torch operations."""
    rows = []
    for title, kind, window, mode in LOSSES:
        options = {"kind": kind, "window": window, "mode": mode}
        ways = compositions(kind, window, mode)
        composed = [Side(f"torch: {way}", "slayerloss", "torch", {**options, "way": way}) for way in ways]
        sides = [Side("slayerloss", "slayerloss", "loss", options), *composed]
        for shape in LOSS_SHAPES:
            comparison = bench.compare([*sides, Side("lava-dl", "lava-dl", "lava-dl loss", options)], shape)
            values = comparison.values
            check_equal(title, {side.name: values[side.name] for side in sides if side.name in values}, 1e-4)
            rows.append(_row(comparison, loss=title))
    return rows


def training(bench: Bench) -> Rows:
    """A step of the tutorial's network: seconds in turns, and the peak of a process that does two steps."""
    sides = [
        Side("slayerloss", "slayerloss", "training"),
        Side("slayerloss, sparse events", "slayerloss", "training, sparse"),
        Side("lava-dl", "lava-dl", "lava-dl training"),
    ]
    comparison = bench.compare(sides, TRAINING_SHAPE)
    peaks = {side.name: bench.ask("peak", side, TRAINING_SHAPE) for side in sides if side.name in comparison.times}
    return [{**_row(comparison), "peaks": peaks}]


def pilotnet(bench: Bench) -> Rows:
    """Forward and backward of lava-dl's sigma-delta PilotNet."""
    rows = []
    for picture in ("noise", "moving"):
        options = {"picture": picture}
        sides = [
            Side("slayerloss", "slayerloss", "pilotnet", options),
            Side("lava-dl", "lava-dl", "lava-dl pilotnet", options),
        ]
        rows.append(_row(bench.compare(sides, PILOTNET_SHAPE), frames=picture))
    return rows


def regularizers(bench: Bench) -> Rows:
    """Dale's law of a matrix, here and in plain torch; and a training step with and without penalties."""
    sides = [Side("slayerloss", "slayerloss", "dale")]
    sides += [Side(f"torch: {way}", "slayerloss", f"torch dale: {way}") for way in ("trace", "by element")]
    dale = bench.compare(sides, DALE_SHAPE)
    check_equal("penalty", dale.values, 1e-4)
    rows = [_row(dale, of="dale")]
    names = {"slayerloss": False, "slayerloss, penalties": True}
    for weight_norm in (False, True):
        options = [(name, {"penalties": on, "weight_norm": weight_norm}) for name, on in names.items()]
        step = bench.compare([Side(name, "slayerloss", "step", given) for name, given in options], STEP_SHAPE)
        rows.append(_row(step, of="step", weight_norm=weight_norm))
    return rows


def linear(bench: Bench) -> Rows:
    """The same number of elements, in ever longer sequences."""
    max_options = {"kind": "SpikeMax", "window": WINDOW, "mode": "softmax"}
    sides = [
        OURS[0],
        Side("loss.SpikeMax, window 20", "slayerloss", "loss", max_options),
        Side("functional.exponential_filter", "slayerloss", "exponential_filter"),
        Side("functional.moving_window", "slayerloss", "moving_window"),
    ]
    shapes = [(ELEMENTS // CLASSES // num_steps, CLASSES, num_steps) for num_steps in LENGTHS]
    return [_row(bench.compare([side], shape)) for side in sides for shape in shapes]


def first(bench: Bench) -> Rows:
    """The first call of an operation in a new process, and the second; the median of some processes."""
    losses = {title: {"kind": kind, "window": window, "mode": mode} for title, kind, window, mode in LOSSES[:4]}
    sides = [
        *OURS,
        *(Side(f"loss.{title}", "slayerloss", "loss", options) for title, options in losses.items()),
        Side("functional.exponential_filter", "slayerloss", "exponential_filter"),
        Side("functional.moving_window", "slayerloss", "moving_window"),
        Side("axon.Delay", "slayerloss", "axon.Delay"),
        Side("block.cuba.Dense", "slayerloss", "block.cuba.Dense"),
    ]
    rows = []
    for side in sides:
        trials = [bench.ask("first", side, FIRST_SHAPE) for _ in range(TRIALS)]
        seconds = [median(trial[i] for trial in trials) for i in range(2)]
        rows.append({"operation": side.name.removeprefix("slayerloss "), "seconds": seconds})
    return rows


def memory(bench: Bench) -> Rows:
    """Bytes by which one call of a neuron raises the peak of a fresh process."""
    rows = []
    elements = MEMORY_SHAPE[0] * MEMORY_SHAPE[1] * MEMORY_SHAPE[2]
    for learnable in ("no", "shared"):
        sides = [_with(side, learnable=learnable) for side in OURS + OTHERS if side.library not in bench.missing]
        sizes, failed = {}, {}
        for side in sides:
            try:
                sizes[side.name] = bench.ask("rise", side, MEMORY_SHAPE) / elements
            except WorkerError as error:
                failed[side.name] = str(error)
        row = {"decays": "fixed" if learnable == "no" else "learnt", "shape": list(MEMORY_SHAPE), "bytes": sizes}
        rows.append({**row, "failed": failed} if failed else row)
    return rows


GROUPS: dict[str, Callable[[Bench], Rows]] = {
    "neuron": neuron,
    "limit": limit,
    "memory": memory,
    "loss": loss,
    "training": training,
    "pilotnet": pilotnet,
    "regularizers": regularizers,
    "linear": linear,
    "first": first,
}


def names(only: Sequence[str]) -> list[str]:
    """The groups that are asked for, all without a wish, in their order."""
    unknown = sorted(set(only) - set(GROUPS))
    if unknown:
        raise ValueError(f"no part {', '.join(unknown)}; there are {', '.join(GROUPS)}")
    return [name for name in GROUPS if not only or name in only]
