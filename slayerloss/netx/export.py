"""From trained blocks to a network file that Lava loads and runs with the same spikes."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from slayerloss._check import ArgumentError, ShapeError, check_integer, check_sequence, check_type, message
from slayerloss._finding import Finding
from slayerloss._path import check_file_to_write, check_path
from slayerloss.netx.check import check
from slayerloss.netx.description import Description
from slayerloss.netx.write import describe, write

if TYPE_CHECKING:
    from torch.nn import Module

Named = tuple[str, Any]
"""A block and where it is in the model."""


def export(model: Module, path: str | os.PathLike[str], input_shape: Sequence[int] | None = None) -> list[Finding]:
    """Write a trained model as a network file, or say what Lava could not run in it.

    Args:
        model: a block, a Sequential of blocks, or a module that holds them in one attribute, such as `blocks`. It is
            written as it is in eval mode, and not changed.
        path: the file to make or replace.
        input_shape: (C, H, W) or (C,), without N and T; None for that of the last input. It lets blocks be exported
            that have not run yet. Where the first layer is a Conv, the file says it, so that Lava need not be told.

    Returns:
        What `check` notes about the file, without errors: there are none.

    Raises:
        ArgumentError: Lava cannot load a layer, or would compute something else than the model. The message names the
            layers and the way out, and no file is written.
        ShapeError: a layer does not fit `input_shape`.
        FileError: the folder is missing, or cannot be written to.

    Example:
        >>> import tempfile
        >>> import slayerloss as slayer
        >>> neuron = dict(threshold=1.25, current_decay=0.25, voltage_decay=0.03)
        >>> export(slayer.block.cuba.Dense(neuron, 20, 10), f"{tempfile.mkdtemp()}/network.net")
        []

    Note:
        lava-dl's `export_hdf5` writes what Lava drops, ignores or reads as zeros. A Dense block that reads an image
        gets a flatten layer before it, which Lava needs. A module with a `forward` of its own is taken to apply its
        blocks one after the other; whatever else it computes, `compare` sees.
    """
    check_file_to_write("export", check_path("export", "path", path))
    description, findings = checked(model, input_shape)
    write(path, description)
    return findings


def checked(model: Module, input_shape: Sequence[int] | None = None) -> tuple[Description, list[Finding]]:
    """The Description of a model that Lava runs as it is, and what `check` notes about it; see `export`."""
    description, names = describe_model(model, input_shape)
    findings = check(description)
    errors = [finding for finding in findings if finding.severity == "error"]
    if errors:
        told = "; ".join(f"layer {_name(finding, names)}: {finding.problem}" for finding in errors)
        ways_out = ". ".join(dict.fromkeys(finding.way_out for finding in errors if finding.way_out))
        count = f"{len(errors)} problem{'s' * (len(errors) > 1)}"
        raise ArgumentError(message("export", told, "a network that Lava runs as it is", count, ways_out))
    return description, findings


def _name(finding: Finding, names: list[str]) -> str:
    """The block of a finding at layer/INDEX/..., and the field."""
    _, index, *field = finding.place.split("/")
    return f"{names[int(index)]}, {'/'.join(field)}" if field else names[int(index)]


def describe_model(model: Module, input_shape: Sequence[int] | None = None) -> tuple[Description, list[str]]:
    """The Description of a model, unchecked, and the block's name for each of its layers."""
    if input_shape is not None:
        each = check_sequence("export", "input_shape", input_shape, rule="(C, H, W) or (C,)")
        input_shape = [check_integer("export", "input_shape", size, 1) for size in each]
    blocks = find_blocks(model)
    if input_shape is not None:
        blocks = find_blocks(_shaped(model, input_shape))
    layers: list[dict[str, Any]] = []
    names: list[str] = []

    def append(name: str, fields: dict[str, Any]) -> None:
        layers.append(fields)
        names.append(name)

    shape = tuple((blocks[0][1].input_shape if input_shape is None else input_shape) or ())
    for name, block in blocks:
        label = label_of(name, block)
        _refuse_block(block, label, last=block is blocks[-1][1])
        fields = block.layer_fields()
        if not layers and len(shape) == 3 and fields["type"] != "input":
            append("input", {"type": "input", "shape": shape})
        if (
            fields["type"] == "conv" and np.ndim(fields.get("bias", np.zeros((0, 0, 0)))) < 3
        ):  # Lava wants one a channel, a norm may have one for all
            fields["bias"] = np.broadcast_to(fields["bias"], fields["shape"][:1])
        if fields["type"] == "flatten" and len(shape) == 1:
            continue  # it does nothing, and Lava could not load it
        if fields["type"].startswith("dense") and len(shape) == 3 and layers[-1]["type"] != "flatten":
            append(label, {"type": "flatten", "shape": [math.prod(shape), 1, 1]})
        append(label, fields)
        if fields["type"] != "flatten":
            shape = tuple(int(size) for size in fields["shape"])
    return describe(layers, source="export"), names


def _shaped(model: Module, input_shape: Sequence[int]) -> Module:
    """A copy of the model that has seen one silent sample and so knows its shapes."""
    import torch

    from slayerloss.block import reset_state

    model = copy.deepcopy(model).eval()
    blocks, reached = find_blocks(model), list[str]()
    for named in blocks:
        named[1].register_forward_pre_hook(lambda *_, named=named: reached.append(label_of(*named)))
    reset_state(model)
    try:
        with torch.no_grad():
            model(torch.zeros(1, *input_shape, 1, device=device_of(model)))
    except ShapeError as error:
        problem, got = f"input_shape does not fit layer {reached[-1] if reached else 0}", tuple(input_shape)
        raise ShapeError(message("export", problem, "a shape that every layer fits", got, str(error))) from error
    order = [label_of(*named) for named in blocks]
    if reached != [label for label in order if label in reached]:  # a forward that uses `run` reaches some, or none
        raise _unclear("the blocks do not run once each in the order in which the model holds them", reached)
    return model


def device_of(model: Module) -> Any:
    """Where a model's parameters are; None if it has none."""
    return next((parameter.device for parameter in model.parameters()), None)


def label_of(name: str, block: Any) -> str:
    """A block by its place in the model and its type."""
    return f"{name} ({type(block).__name__})" if name else type(block).__name__


def _refuse_block(block: Any, label: str, last: bool) -> None:
    """Raise ArgumentError for what the fields of a layer would not show."""
    from slayerloss.block._ends import Affine, Input
    from slayerloss.block.sigma_delta import SigmaDeltaBlock
    from slayerloss.neuron.norm import MeanOnlyBatchNorm

    def refused(problem: str, expected: str, got: object, way_out: str) -> ArgumentError:
        return ArgumentError(message("export", f"layer {label}: {problem}", expected, got, way_out))

    if isinstance(block, Affine) and not (block.dynamics and block.delay_shift is True):
        rule, way_out = "one with delay_shift=True and dynamics", "Build it so, or export the blocks before it"
        got = f"delay_shift={block.delay_shift!r}, dynamics={block.dynamics}"
        raise refused("Lava has no such readout", rule, got, way_out)
    if isinstance(block, Affine) and not last:
        rule, way_out = "an Affine block at the end", "Use a Dense block"
        raise refused("it sends no spikes to the next layer", rule, "one before others", way_out)
    if block.shape is None:
        raise refused(
            "its shape is not known", "a block that has run", "one that has not", "Pass input_shape=(C, H, W)"
        )
    shift = getattr(block, "delay_shift", True)
    if isinstance(block, SigmaDeltaBlock):
        for problem, rule, given, way_out in _sigma_delta_problems(block):
            raise refused(problem, rule, given, way_out)
    elif shift is not True and not (isinstance(block, Input) and shift is False):
        way_out = "Build the block with delay_shift=True"
        raise refused("on the chip the step of delay sits at the input", "delay_shift=True", repr(shift), way_out)
    neuron = getattr(block, "neuron", None)
    if isinstance(block, Input) and neuron is not None and neuron.scale != 64:
        way_out = "Build the Input block with scale=64"
        raise refused("a network file's input has 64 weight LSBs per unit", "scale=64", neuron.scale, way_out)
    norm = getattr(neuron, "norm", None)
    if norm is not None and not isinstance(norm, MeanOnlyBatchNorm):
        way_out = "Use norm=slayerloss.neuron.norm.MeanOnlyBatchNorm"
        raise refused("Lava would ignore its norm", "a mean-only norm or none", type(norm).__name__, way_out)


def _sigma_delta_problems(block: Any) -> Iterator[tuple[str, str, object, str]]:
    """What Lava would do otherwise than a block of sigma-delta neurons: problem, rule, what is there, way out."""
    if block.neuron is None:
        return
    if block.neuron.scale != 64:
        yield "a network file has 64 weight LSBs per unit", "scale=64", block.neuron.scale, "Build it with scale=64"
    if block.neuron.delta.cum_error:
        yield "Lava holds each change against the threshold", "cum_error=False", True, "Train without cum_error"
    if not block.neuron.shared_param:
        problem, rule = "a network file has one threshold for all neurons", "shared_param=True"
        yield problem, rule, False, "Train with shared_param=True"
    if block.delay is not None and not block.is_shifted:
        way_out = "Build the block with delay_shift=True"
        yield "its delay would be a step longer on the chip", "delay_shift=True", repr(block.delay_shift), way_out
    if block.is_biased and not block.is_shifted:
        problem = "its bias begins a step before its input does on the chip, and so its messages differ"
        way_out = "Set delay_shift=True, at best before training"
        yield problem, "delay_shift=True beside a norm or a bias", repr(block.delay_shift), way_out


def find_blocks(model: Module) -> list[Named]:
    """The blocks of a model in their order, with their names.

    Args:
        model: a block; a Sequential or ModuleList of blocks or of more such lists; or a module with one attribute that
            holds them all.

    Raises:
        DtypeError: it is no torch module.
        ArgumentError: there are no blocks, or their order is not clear.
    """
    from torch.nn import Module

    check_type("export", "model", model, Module, "a torch.nn.Module")
    blocks = _collect(model, "")
    if not blocks:
        raise ArgumentError(message("export", "model has no blocks", "slayerloss.block", type(model).__name__))
    names: dict[int, str] = {}
    for name, block in blocks:
        if id(block) in names:
            raise _unclear(f"layer {name} is layer {names[id(block)]} once more", "the same block", "Use a deep copy")
        names[id(block)] = name
    return blocks


def _collect(module: Any, name: str) -> list[Named]:
    from torch.nn import Dropout, Flatten, Identity, ModuleList, Sequential

    if hasattr(module, "layer_fields"):
        return [(name, module)]
    # named_children would leave out a module that comes twice
    children = [
        (f"{name}.{key}" if name else key, child) for key, child in module._modules.items() if child is not None
    ]
    if isinstance(module, (Sequential, ModuleList)):
        for key, child in children:
            if not _holds_blocks(child) and not isinstance(child, (Identity, Dropout, Flatten)):
                way_out = "Leave it out, or use a block of slayerloss.block.cuba"
                raise _unclear(f"layer {key} is not a block of slayerloss", type(child).__name__, way_out)
        return [block for key, child in children for block in _collect(child, key)]
    holders = [(key, child) for key, child in children if _holds_blocks(child)]
    if len(holders) > 1:
        raise _unclear(f"the order of the blocks in {type(module).__name__} is not clear", [key for key, _ in holders])
    return [block for key, child in holders for block in _collect(child, key)]


def _holds_blocks(module: Any) -> bool:
    return any(hasattr(child, "layer_fields") for child in module.modules())


def _unclear(problem: str, got: object, way_out: str = "Pass the blocks in a torch.nn.Sequential") -> ArgumentError:
    return ArgumentError(message("export", problem, "one block after the other", got, way_out))
