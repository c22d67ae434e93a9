"""The results as text: for the terminal, and for the page of the documentation, which has nothing else in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tables import extra, fastest, limit, number, per_element, ratio, shape_text, smallest, spread, table, times

Row = Mapping[str, Any]
Results = Mapping[str, Any]

LAVA_DL = "lava-dl"
OURS = "slayerloss"
FLOATS = ("spikingjelly", "snntorch", "norse", "sinabs")

NEURON = """\
One call of a population of neurons. All libraries get the same numbers, each in its own order of axes: no copy is
counted. slayerloss and lava-dl compute a current and a voltage in the chip's integers, the others in floating point:
spikingjelly and snnTorch's Leaky a voltage, the rest a current too. The last columns say how many times as long as
slayerloss another takes, forward and backward together; times are nanoseconds per neuron and step."""

LIMIT = """\
Arrays of more than 32 MB, which no cache holds. A neuron has to move 12 bytes per element forward (input, spikes,
voltage) and 12 backward (the gradient of the spikes, the voltage, the gradient of the input). The limit is what these
take at the bandwidth that the machine shows just before and after, copying or adding a + c b, whichever is faster;
the best were"""

MEMORY = """\
By how much one call, forward and backward, raises the peak of a fresh process: spikes, what is kept for the backward,
and both gradients, 4 bytes each in float32. The input is not counted. The size is"""

LOSS = """\
A loss and its gradient. Several compositions of plain torch operations give the same value; the fastest counts. With a
window there is a label for every step, without one a label for every sample. The columns of others say how many times
as long as slayerloss they take."""

TRAINING = """\
The network of the N-MNIST tutorial, 2312-512-512-10 with weight norm, delays and learnt decays: forward, SpikeRate,
backward and a step of Adam on 32 samples of 300 steps. The peak is that of the whole process, imports included."""

PILOTNET = """\
The sigma-delta PilotNet of lava-dl's tutorial with weight norm, batch norm, dropout and learnt thresholds, forward and
backward on 8 samples of 16 frames, 33 x 100: frames of new noise, and a picture that moves. What is left of the time is
mostly the convolutions of torch, which both libraries call."""

DALE = """\
DaleLawL2 of a matrix and its gradient, and the same numbers in plain torch: the trace of a product of matrices, as
NeuroTorch has it, and element by element."""

STEP = """\
A training step of a network of dense layers, 2312-2048-2048-10, 9.0 million weights, with Adam on 32 samples of 100
steps; and the same with bounds, L2 and DaleLawL2 of all weights and a band of the rates of the hidden layers."""

NORMED = "The same step where all layers have weight norm."

LINEAR = "The same 20 million elements, in 10 channels, as ever longer sequences."

FIRST = """\
Forward and backward in a new process, after a forward and backward of a torch layer that has nothing to do with it;
medians of three processes."""


def sides(row: Row, *starts: str) -> list[str]:
    """Of a row, those whose names begin so."""
    return [side for side in row["times"] if side.startswith(starts)]


def measured(rows: Sequence[Row]) -> list[Row]:
    """Those in which ours was."""
    return [row for row in rows if sides(row, OURS)]


def _against(row: Row, side: str, starts: Sequence[str]) -> tuple[str, str]:
    """The fastest of some others, and how many times as long as `side` it takes."""
    other = fastest(row, sides(row, *starts))
    return (other, times(ratio(row, side, other))) if other else ("", "")


def neuron_summary(rows: Sequence[Row]) -> str:
    """Ours against lava-dl and the fastest of the floating-point neurons."""
    header = ["N x C x T, decays", "slayerloss", "forward, ns", "both, ns", "lava-dl", "fastest other", ""]
    cells = []
    for row in rows:
        for side in sides(row, OURS):
            case = f"{shape_text(row['shape'])}, {row['decays']}"
            own = [number(per_element(row, side, part)) for part in ("forward", "both")]
            other, factor = _against(row, side, FLOATS)
            cells.append([case, side.split()[1], *own, _against(row, side, [LAVA_DL])[1], factor, other])
    return table(header, cells)


def detail(row: Row) -> str:
    """All sides of a comparison."""
    header = ["", "forward, ms", "median", "forward and backward, ms", "median", "ns per element", "times the best"]
    best = fastest(row, list(row["times"]))
    assert best is not None
    cells = []
    for side, parts in row["times"].items():
        milliseconds = [number(1000 * seconds) for part in ("forward", "both") for seconds in parts[part]]
        cells.append([side, *milliseconds, number(per_element(row, side)), times(ratio(row, best, side))])
    return table(header, cells)


def neuron(rows: Sequence[Row]) -> str:
    """The neuron: a summary, and each case in full."""
    parts = [NEURON, neuron_summary(rows)]
    for row in rows:
        parts += [f"({shape_text(row['shape'])}), decays {row['decays']}:", detail(row)]
    return "\n\n".join(parts)


def limits(rows: Sequence[Row]) -> str:
    """Distance to the bandwidth of the memory."""
    header = ["N x C x T, memory order", "operation: decays", "forward, ns", "of limit", "backward, ns", "of limit"]
    cells = []
    for row in rows:
        for side in row["times"]:
            case = f"{shape_text(row['shape'])}, {row['memory']}"
            cells.append([case, side])
            for part in ("forward", "backward"):
                value = per_element(row, side, part)
                cells[-1] += [number(value), times(value / limit(row))]
    best = {name: max(row["bandwidth"][name] for row in rows) / 1e9 for name in ("copy", "triad")}
    text = f"{LIMIT} {best['copy']:.0f} GB/s and {best['triad']:.0f} GB/s."
    return f"{text}\n\n{table(header, cells)}"


def memory(rows: Sequence[Row]) -> str:
    """Bytes of a call."""
    names = list(dict.fromkeys(name for row in rows for name in row["bytes"]))
    header = ["bytes per neuron and step", *(f"decays {row['decays']}" for row in rows)]
    cells = [[name, *(f"{row['bytes'][name]:.1f}" if name in row["bytes"] else "" for row in rows)] for name in names]
    return f"{MEMORY} ({shape_text(rows[0]['shape'])}).\n\n{table(header, cells)}"


def loss(rows: Sequence[Row]) -> str:
    """Losses against lava-dl and against torch."""
    header = ["loss", "N x C x T", "forward, ms", "both, ms", "lava-dl", "best of torch", ""]
    cells = []
    for row in measured(rows):
        own = [number(1000 * smallest(row, OURS, part)) for part in ("forward", "both")]
        way, factor = _against(row, OURS, ["torch"])
        lava_dl = _against(row, OURS, [LAVA_DL])[1]
        cells.append([row["loss"], shape_text(row["shape"]), *own, lava_dl, factor, way.removeprefix("torch: ")])
    return f"{LOSS}\n\n{table(header, cells)}"


def training(rows: Sequence[Row]) -> str:
    """A step of training."""
    (row,) = rows
    header = ["", "step, s", "median", "lava-dl takes", "peak of the process, GB"]
    cells = []
    for side, parts in row["times"].items():
        peak = row["peaks"].get(side)
        gigabytes = f"{peak / 1e9:.2f}" if peak is not None else ""
        cells.append([side, *(f"{s:.3f}" for s in parts["both"]), _against(row, side, [LAVA_DL])[1], gigabytes])
    return f"{TRAINING}\n\n{table(header, cells)}"


def pilotnet(rows: Sequence[Row]) -> str:
    """The sigma-delta network."""
    header = ["", "frames", "forward, ms", "backward, ms", "both, ms", "median", "lava-dl takes"]
    cells = []
    for row in rows:
        for side, parts in row["times"].items():
            own = [number(1000 * parts[part][0]) for part in ("forward", "backward", "both")]
            median = number(1000 * parts["both"][1])
            cells.append([side, row["frames"], *own, median, _against(row, side, [LAVA_DL])[1]])
    return f"{PILOTNET}\n\n{table(header, cells)}"


def regularizers(rows: Sequence[Row]) -> str:
    """Dale's law, and a step with penalties."""
    parts = []
    for row in rows:
        if row["of"] == "dale":
            parts += [DALE, f"({shape_text(row['shape'])}):", detail(row)]
            continue
        cells = []
        for side, times_of in row["times"].items():
            cells.append([side, *(f"{s:.3f}" for s in times_of["both"]), f"{100 * extra(row, OURS, side):.1f} %"])
        parts += [NORMED if row.get("weight_norm") else STEP, table(["", "step, s", "median", "longer by"], cells)]
    return "\n\n".join(parts)


def by_operation(rows: Sequence[Row]) -> dict[str, dict[int, float]]:
    """Nanoseconds per element by operation and number of steps."""
    found: dict[str, dict[int, float]] = {}
    for row in rows:
        for side in row["times"]:
            found.setdefault(side, {})[row["shape"][-1]] = per_element(row, side)
    return found


def linear(rows: Sequence[Row]) -> str:
    """Time per element over the number of steps."""
    found = by_operation(rows)
    steps = sorted({row["shape"][-1] for row in rows})
    header = ["ns per element, forward and backward", *(f"T = {num_steps:,}" for num_steps in steps), "worst over best"]
    cells = []
    for side, values in found.items():
        ours = side.removeprefix("slayerloss ")
        texts = [number(values[num_steps]) if num_steps in values else "" for num_steps in steps]
        cells.append([ours, *texts, times(spread(list(values.values())))])
    return f"{LINEAR}\n\n{table(header, cells)}"


def first(rows: Sequence[Row]) -> str:
    """What a first call costs."""
    header = ["", "first call, ms", "second, ms", "more, ms"]
    cells = []
    for row in rows:
        one, two = (1000 * seconds for seconds in row["seconds"])
        cells.append([row["operation"], number(one), number(two), number(one - two)])
    return f"{FIRST}\n\n{table(header, cells)}"


def wins(groups: Mapping[str, Sequence[Row]]) -> list[str]:
    """Every case in which another is faster than the slower of ours, or takes less memory."""
    found = []
    for name in ("neuron", "loss", "training", "pilotnet", "regularizers"):
        for row in groups.get(name, ()):
            case = [row.get("loss", name), f"({shape_text(row['shape'])})"]
            case += [f"decays {row['decays']}"] if "decays" in row else []
            others = [side for side in row["times"] if not side.startswith(OURS)]
            for own in sides(row, OURS):
                factors = {other: ratio(row, other, own) for other in others}
                better = [f"{times(factor)} the time of {other}" for other, factor in factors.items() if factor > 1]
                if better:
                    found.append(f"{', '.join(case)}: {own} takes {', '.join(better)}.")
    for row in groups.get("memory", ()):
        for own in (side for side in row["bytes"] if side.startswith(OURS)):
            for other, size in row["bytes"].items():
                if not other.startswith(OURS) and size < row["bytes"][own]:
                    found.append(f"memory, decays {row['decays']}: {own} takes more than {other}.")
    return found


def failures(rows: Sequence[Row]) -> list[str]:
    """A line for each side that could not be measured."""
    return [
        f"{side} at ({shape_text(row['shape'])}) was not measured: {why}."
        for row in rows
        for side, why in row.get("failed", {}).items()
    ]


TITLES: dict[str, tuple[str, Callable[[Sequence[Row]], str]]] = {
    "neuron": ("The neuron", neuron),
    "limit": ("How far from the limit", limits),
    "memory": ("Memory of a neuron", memory),
    "loss": ("Losses", loss),
    "training": ("A training step", training),
    "pilotnet": ("The sigma-delta PilotNet", pilotnet),
    "regularizers": ("Penalties", regularizers),
    "linear": ("Long sequences", linear),
    "first": ("The first call", first),
}

INTRODUCTION = """\
# Benchmarks

How fast slayerloss is on a CPU beside lava-dl and the other libraries of spiking neurons, measured in one run, in
turns: one call of each, then again one call of each, and never two at once. Each library has a process of its own that
stays alive. A time is that of the best call; the median stands beside it where there is room. Compare ratios rather
than times.

`make bench` repeats all of it and writes this page from `benchmarks/results.json`. It makes the environments that it
needs: `.venv-peers` holds the versions that `benchmarks/requirements.txt` and `benchmarks/peers.txt` pin,
`.venv-slayer` holds lava-dl. `make bench-quick` takes fewer turns and writes nothing. A part is run by
`python benchmarks/run.py --only PART`, where PART is one of """


def environment(results: Results) -> str:
    """What it was measured on."""
    machine, versions = results["machine"], results["versions"]
    peers = [f"{name} {found.get(name) or '(no number)'}" for name, found in versions.items()]
    peers[0] += f" ({versions[OURS]['kernels']})"
    torch = {found["torch"] for found in versions.values()}
    lines = [
        f"{results['date']}; {machine['processor']}, {machine['cores']} cores, {machine['threads']} threads; "
        f"{machine['system']}; torch {', '.join(sorted(torch))}; {', '.join(peers)}."
    ]
    lines += [f"{name} could not be measured: {why}." for name, why in results["missing"].items()]
    parts = [f"`{name}`" for name in TITLES if not results["groups"].get(name)]
    if parts:
        lines.append(f"Parts that were not measured, of which nothing stands here: {', '.join(parts)}.")
    return "\n\n".join(lines)


def body(results: Results, level: str = "##") -> list[str]:
    """Machine and versions, the cases in which others win, the tables."""
    groups = results["groups"]
    better = wins(groups)
    parts = [f"{level} What was measured", environment(results), f"{level} Where others win"]
    parts.append("\n".join(f"- {line}" for line in better) or "In no case, of those that were there.")
    for name, (title, render) in TITLES.items():
        if groups.get(name):
            parts += [f"{level} {title}", render(groups[name]), *failures(groups[name])]
    return parts


def page(results: Results) -> str:
    """docs/benchmarks.md."""
    names = ", ".join(f"`{name}`" for name in TITLES)
    return "\n\n".join([INTRODUCTION + names + ".", *body(results)]) + "\n"
