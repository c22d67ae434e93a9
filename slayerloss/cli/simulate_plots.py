"""The figures of `slayerloss simulate`, as files and as one HTML page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from slayerloss.cli._recordings import Recordings
    from slayerloss.cli._simulation import Result
    from slayerloss.netx import Finding, Network
    from slayerloss.plot import Sample

_RIGHT, _WRONG = 1, 2  # decisions that are drawn


def draw(
    folder: Path,
    network: Network,
    recordings: Recordings,
    result: Result,
    name: str,
    findings: Sequence[Finding] = (),
) -> Path:
    """Write the figures; the path of the page, which also says what was found in the file."""
    import matplotlib

    matplotlib.use("Agg")
    from slayerloss import plot

    layers = result.operations.layers
    sent = {layer.name: float(layer.spikes.mean()) for layer in layers}
    classes = recordings.classes
    if classes is not None:  # outputs beyond the folders have no name
        classes = [*classes, *map(str, range(len(classes), result.outputs))]
    evaluation = plot.Evaluation(
        list(samples(network, recordings, result)),
        name=name,
        class_names=classes,
        confusion=result.confusion,
        silent=int(result.silent.sum()),
        events={"input": float(result.operations.events.mean()), **sent},
        step_ms=recordings.step_ms,
    )
    figures = {**plot.run_figures(evaluation), "energy": _energy(result, name)}
    order = ["confusion", "energy", "spikes"]
    figures = {key: figures[key] for key in [*order, *figures] if key in figures}
    return plot.report(
        figures, folder, title=f"{name} in simulation", facts=facts(network, recordings, result, findings)
    )


def _energy(result: Result, name: str) -> Figure:
    from slayerloss import netx, plot
    from slayerloss.netx.energy import NOT_COUNTED
    from slayerloss.plot.style import heading, without_pyplot

    energy = netx.energy(result.operations)
    with without_pyplot():
        figure = cast("Figure", plot.energy_per_layer(energy).figure)
    heading(figure, f"{name}: energy per recording")
    caption = (
        "What each layer takes: its synaptic operations with the spikes that bring them, and the updates of its "
        "neurons, which take least if all neurons are inactive and most if all are active. "
        f"{NOT_COUNTED} Figures: {energy.figures.source}: {energy.figures.basis}."
    )
    plot.set_caption(figure, caption)
    return figure


def samples(network: Network, recordings: Recordings, result: Result) -> Iterator[Sample]:
    """The first recording that is decided right, and the first ones that are not; without classes the first."""
    from slayerloss import plot
    from slayerloss.cli._simulation import run

    for i in chosen(result):
        x, recording = run(network, recordings, [i])
        names = [layer.name for layer in result.operations.layers]
        hidden = {name: spikes[0] for name, spikes in zip(names[:-1], recording.spikes[:-1], strict=True)}
        output = recording.output[0].reshape(-1, x.shape[-1])
        known = result.labels is not None and result.predicted is not None
        prediction = int(result.predicted[i]) if known else None  # type: ignore[index]
        yield plot.Sample(
            recordings.frames(i),
            output,
            hidden,
            label=int(result.labels[i]) if known else None,  # type: ignore[index]
            prediction=prediction,
            tied=[] if result.readout else _tied(output, prediction),
            target=None if recordings.target is None else recordings.target(i),
            name=recordings.names[i],
        )


def chosen(result: Result) -> list[int]:
    """Positions of the recordings to draw."""
    if result.labels is None or result.predicted is None:
        return [0]
    right = result.labels == result.predicted
    return sorted([*np.flatnonzero(right)[:_RIGHT].tolist(), *np.flatnonzero(~right)[:_WRONG].tolist()])


def _tied(output: NDArray[Any], prediction: int | None) -> list[int]:
    """The other outputs with as many spikes as the one that was taken."""
    if prediction is None:
        return []
    counts = output.sum(-1, dtype=np.int64)
    return [int(c) for c in np.flatnonzero(counts == counts[prediction]) if c != prediction]


def facts(
    network: Network, recordings: Recordings, result: Result, findings: Sequence[Finding] = ()
) -> dict[str, object]:
    """What the page says beside the figures."""
    from slayerloss import netx
    from slayerloss.netx.energy import span

    decisions = list(result.decisions())
    energy = netx.energy(result.operations)
    whole = span(float(energy.low.sum()), float(energy.high.sum()))
    found: dict[str, object] = {}
    for finding in findings:
        head, text = f"{finding.severity} in {finding.place}", str(finding).split(": ", 2)[2]
        found[head] = f"{found[head]} {text}" if head in found else text
    return {
        **found,
        "recordings": "; ".join([f"{len(recordings):,} of {recordings.source}", *recordings.notes]),
        "steps": f"{recordings.num_steps:,} of {recordings.step_ms:g} ms",
        "decisions": "; ".join(decisions),
        f"energy per recording on {energy.figures.chip}": f"{whole}, estimated",
        "operations": str(result.operations),
        "energy": str(energy),
        "network": str(network),
    }
