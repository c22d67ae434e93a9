"""`slayerloss plot`: the figures of a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slayerloss._check import SlayerError, check_installed
from slayerloss._path import check_folder_to_write
from slayerloss.cli._parser import Parser, add_run, open_run, print_files

if TYPE_CHECKING:
    from torch import Tensor

    from slayerloss.plot import Evaluation, Sample
    from slayerloss.train import Network, Run

_RIGHT, _WRONG = 1, 2  # decisions that are drawn


def main(arguments: Sequence[str]) -> int:
    """Draw; see `slayerloss plot --help`."""
    check_installed("slayerloss plot", "matplotlib", "plot")
    text = "Draw the figures of a run: PNG and SVG files, and one HTML page that needs nothing beside it."
    parser = Parser("slayerloss plot", text)
    add_run(parser)
    parser.add_argument("-o", "--output", metavar="DIR", help="the folder (default: RUN/plots)")
    options = parser.parse_args(arguments)
    run = open_run(options)
    folder = Path(options.output or run.folder / "plots")
    check_folder_to_write("plot", folder)
    print_files(page=draw(run, folder, options.checkpoint))
    return 0


def draw(run: Run, folder: Path, checkpoint: str = "best") -> Path:
    """Write the figures of a run; the path of the page."""
    import matplotlib

    matplotlib.use("Agg")
    from slayerloss import plot

    figures = plot.run_figures(evaluate(run, checkpoint), run.folder / "metrics.csv")
    facts = {**_measured(run.results()), **_facts(run, checkpoint)}
    return plot.report(figures, folder, title=f"Run {run.folder.name}", facts=facts)


def _measured(results: dict[str, Any]) -> dict[str, str]:
    """What the test measured, for the page; a regression has no accuracy."""
    facts = {}
    if "test_accuracy" in results:
        facts["test accuracy"] = f"{100 * results['test_accuracy']:.1f} %"
    if "test_loss" in results:
        facts["test loss"] = f"{results['test_loss']:.4g}"
    if "test_recordings" in results:
        silent = f", {int(results.get('test_silent', 0)):,} of them without an output spike"
        facts["test recordings"] = f"{int(results['test_recordings']):,}{silent}"
    return facts


def _facts(run: Run, checkpoint: str) -> dict[str, Any]:
    """What the page says of a run: the checkpoint, the network, what wrote it; the recipe.

    Of the network also which row of the network file each layer becomes, if Lava can run it.
    """
    from slayerloss.netx.export import describe_model
    from slayerloss.train.checkpoint import read_checkpoint

    network = run.network(checkpoint)
    sizes = [sum(parameter.numel() for parameter in layer.parameters()) for layer in network.children()]
    versions = json.loads((run.folder / "versions.json").read_text(encoding="utf-8"))
    facts = {
        "checkpoint": f"{checkpoint}, of epoch {read_checkpoint(run.checkpoint(checkpoint))['epoch'] + 1}",
        "parameters": f"{sum(sizes):,}, in {sum(size > 0 for size in sizes)} layers",
        "seed": run.recipe.seed,
        "trained by": f"slayerloss {versions.get('slayerloss', 'of an unknown version')}",
        "run": run.folder,
    }
    with suppress(SlayerError):
        description, names = describe_model(network, run.recipe.network.input_shape)
        types = [layer.type for layer in description.layers]
        short = [kind if kind == "flatten" else name.split()[0] for kind, name in zip(types, names, strict=True)]
        facts["layers of the network file"] = ", ".join(f"{i} {name}" for i, name in enumerate(short))
    return {**facts, "recipe": (run.folder / "recipe.yaml").read_text(encoding="utf-8")}


def evaluate(run: Run, checkpoint: str = "best") -> Evaluation:
    """What a trained network does on its test recordings, as the figures need it."""
    from slayerloss import plot
    from slayerloss.train.build import build_decision

    results = run.test(checkpoint)
    network, loss, decision = run.network(checkpoint), run.recipe.loss, build_decision(run.recipe)
    filter_options = ("time_constant", "length", "filter_order", "normalize")
    return plot.Evaluation(
        samples=list(samples(network, run.data().test, decision)),
        name=run.folder.resolve().name,
        confusion=results.get("confusion"),
        silent=int(results.get("test_silent", 0)),
        events={name.removeprefix("events_"): v for name, v in results.items() if name.startswith("events_")},
        weights={name: fields["weight"] for name, fields in _fields(network) if "weight" in fields},
        step_ms=run.recipe.data.step_ms,
        window=getattr(decision, "time_window", None),
        harder=_harder(run, network),
        spike_time={k: v for k, v in loss.items() if k in filter_options} if loss["type"] == "SpikeTime" else {},
    )


def _harder(run: Run, network: Network) -> list[str]:
    """What the training has and the validation has not."""
    from slayerloss.neuron import Dropout

    has_dropout = any(isinstance(part, Dropout) for part in network.modules())
    return ["augmentation"] * bool(run.recipe.data.augment) + ["dropout"] * has_dropout


def samples(network: Network, dataset: Any, decision: Callable[..., Any] | None) -> Iterator[Sample]:
    """The first recording that is decided right, and the first ones that are not; or the first of a regression.

    Args:
        network: what sends the spikes.
        dataset: test recordings.
        decision: spikes (N, C, T) -> classes (N,) or (N, T); None for a regression.
    """
    from slayerloss import plot
    from slayerloss.block import SpikingBlock, reset_state

    left = {True: _RIGHT, False: _WRONG}
    layers = dict(network.named_children())
    for index in range(len(dataset)):
        events, label = dataset[index]
        events = events.to_dense()
        reset_state(network)
        *hidden, (_, output) = network.outputs(events[None]).items()
        sent = {name: spikes[0] for name, spikes in hidden if isinstance(layers[name], SpikingBlock)}
        if decision is None:
            yield plot.Sample(events, output[0], sent, target=label, name=str(index))
            return
        prediction, tied = _answer(decision, output)
        if left[prediction == label]:
            left[prediction == label] -= 1
            yield plot.Sample(events, output[0], sent, int(label), prediction, tied=tied, name=str(index))
        if not any(left.values()):
            return


def _answer(decision: Callable[..., Any], output: Tensor) -> tuple[int, list[int]]:
    """What output spikes (1, C, T) are taken for as a whole, and the other classes for which as much speaks."""
    from slayerloss.classifier import Rate

    decided = decision(output).flatten()
    prediction = int(decided.mode().values)  # of a decision at every step the most frequent
    votes = decision.rate(output).flatten() if isinstance(decision, Rate) else decided.bincount()
    return prediction, [int(c) for c in (votes == votes[prediction]).nonzero() if c != prediction]


def _fields(network: Network) -> Iterator[tuple[str, dict[str, Any]]]:
    """The fields that each layer has in a network file."""
    return ((name, layer.layer_fields()) for name, layer in network.named_children())  # type: ignore[operator]
