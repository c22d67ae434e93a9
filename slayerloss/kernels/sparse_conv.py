"""2-D convolutions of lists of events, of which each reaches a few places of its image."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import differentiable_gradients, operator
from slayerloss.kernels.row_sum import offsets_of, row_sum

_forward_kernel = Kernel("sparse_conv", "pppppppp")
_backward_kernel = Kernel("sparse_conv_backward", "ppppppppi")

BLOCKS = 64
"""Sums of which the gradient of the weight is the sum, where they are not too many numbers: at most"""
SUMMED = 2**24


class Axis(NamedTuple):
    """A convolution along height or width."""

    size: int
    """Of the input."""
    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def reach(self) -> int:
        """From the first to the last place that the kernel covers."""
        return self.dilation * (self.kernel - 1) + 1

    @property
    def num_outputs(self) -> int:
        """The size of the output."""
        return (self.size + 2 * self.padding - self.reach) // self.stride + 1

    def reached(self, place: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Where events (E,) arrive, through which element of the kernel, and whether they do.

        Each (E, the most places that an event reaches).
        """
        padded = place + self.padding
        out = (padded // self.stride)[:, None] - torch.arange(-(-self.reach // self.stride), device=place.device)
        offset = padded[:, None] - self.stride * out
        fits = (out >= 0) & (out < self.num_outputs) & (offset < self.reach) & (offset % self.dilation == 0)
        return out, offset // self.dilation, fits


def sparse_conv(
    values: Tensor,
    weight: Tensor,
    places: tuple[Tensor, Tensor, Tensor],
    images: Tensor,
    num_images: int,
    axes: tuple[Axis, Axis],
    groups: int,
) -> Tensor:
    """Convolve images that are given by their events.

    y[m, o, i, j] = sum over the events of image m of value weight[o, c, row + p_h - s_h i, column + p_w - s_w j]

    with strides s and paddings p, for a dilation of 1 and one group.

    Args:
        values: (E,) float.
        weight: (O, C / groups, kernel height, kernel width), of the dtype of the values.
        places: channel, row and column (E,) of each event.
        images: (E,), the image of each event.
        num_images: M.
        axes: height and width.
        groups: of channels.

    Returns:
        (M, O, H', W'). Gradients go to `values` and `weight`, and can be derived again.

    Example:
        >>> one, axis = torch.ones(1, dtype=torch.int64), Axis(size=3, kernel=3, stride=1, padding=1, dilation=1)
        >>> weight = torch.arange(9.0).reshape(1, 1, 3, 3)
        >>> sparse_conv(torch.ones(1), weight, (0 * one, one, one), one, 2, (axis, axis), groups=1)
        tensor([[[[0., 0., 0.],
                  [0., 0., 0.],
                  [0., 0., 0.]]],
        <BLANKLINE>
        <BLANKLINE>
                [[[8., 7., 6.],
                  [5., 4., 3.],
                  [2., 1., 0.]]]])
    """
    images, order = images.sort(stable=True)
    begins = offsets_of(images, num_images)
    sorted_places = torch.stack([place[order] for place in places])
    geometry = [number for axis in axes for number in axis]
    y: Tensor = _SparseConv.apply(values[order], weight, sorted_places, images, begins, geometry, groups)
    return y


class _SparseConv(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        places: Tensor,
        images: Tensor,
        begins: Tensor,
        geometry: list[int],
        groups: int,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, places, images, begins)
        ctx.options = geometry, groups
        y: Tensor = _operator(values, weight, places, images, begins, geometry, groups)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        tensors, options = ctx.saved_tensors, ctx.options
        to_values, to_weight = ctx.needs_input_grad[0], ctx.needs_input_grad[1]
        if to_values or torch.is_grad_enabled():
            needed = [to_values, to_weight, *[False] * 5]
            return tuple(differentiable_gradients(_reference, [*tensors, *options], needed, grad))
        return None, _weight_operator(grad, *tensors, *options), None, None, None, None, None


def _axes(geometry: list[int]) -> tuple[Axis, Axis]:
    return Axis(*geometry[:5]), Axis(*geometry[5:])


def _reference(
    values: Tensor, weight: Tensor, places: Tensor, images: Tensor, begins: Tensor, geometry: list[int], groups: int
) -> Tensor:
    (channels, rows, columns), (height, width) = places, _axes(geometry)
    h_out, kernel_row, h_fits = height.reached(rows)
    w_out, kernel_column, w_fits = width.reached(columns)
    fits = h_fits[:, :, None] & w_fits[:, None, :]
    group = (images * groups + channels // weight.shape[1])[:, None]
    bags = (((group * height.num_outputs + h_out) * width.num_outputs)[:, :, None] + w_out[:, None, :])[fits]
    elements = ((channels[:, None] * height.kernel + kernel_row) * width.kernel)[:, :, None] + kernel_column[:, None, :]
    shape = (len(begins) - 1, groups, height.num_outputs, width.num_outputs)
    given = values[:, None, None].expand(fits.shape)[fits]
    y = row_sum(_table(weight, groups).flatten(0, 3), given, elements[fits], bags, torch.Size(shape).numel())
    return y.unflatten(0, shape).movedim(-1, 2).flatten(1, 2).contiguous()


def _table(weight: Tensor, groups: int) -> Tensor:
    """(groups, inputs, kernel height, kernel width, outputs), inputs and outputs of a group."""
    return weight.unflatten(0, (groups, -1)).permute(0, 2, 3, 4, 1)


def _arguments(weight: Tensor, places: Tensor, begins: Tensor, geometry: list[int], groups: int) -> tuple[Tensor, ...]:
    """What both kernels begin with."""
    sizes = [len(begins) - 1, weight.shape[1], weight.shape[0] // groups, groups]
    sizes += [number for axis in _axes(geometry) for number in (axis.num_outputs, *axis[1:])]
    return (torch.tensor(sizes), *places.contiguous(), begins)


def _convolved(
    values: Tensor, weight: Tensor, places: Tensor, images: Tensor, begins: Tensor, geometry: list[int], groups: int
) -> Tensor:
    if not runs_on_cpu_kernels(values, weight):
        return _reference(values, weight, places, images, begins, geometry, groups)
    y = _fake(values, weight, places, images, begins, geometry, groups)
    table = _table(weight, groups).contiguous()
    shared = _arguments(weight, places, begins, geometry, groups)
    _check(_forward_kernel(values.dtype, *shared, values.contiguous(), table, y, blocks=len(y), elements=y.numel()))
    return y


def _fake(
    values: Tensor, weight: Tensor, places: Tensor, images: Tensor, begins: Tensor, geometry: list[int], groups: int
) -> Tensor:
    height, width = _axes(geometry)
    return values.new_empty(begins.shape[0] - 1, weight.shape[0], height.num_outputs, width.num_outputs)


def _weight_gradient(
    grad: Tensor,
    values: Tensor,
    weight: Tensor,
    places: Tensor,
    images: Tensor,
    begins: Tensor,
    geometry: list[int],
    groups: int,
) -> Tensor:
    if not runs_on_cpu_kernels(grad, weight):
        needed = [False, True, *[False] * 5]
        arguments = [values, weight, places, images, begins, geometry, groups]
        gradient = differentiable_gradients(_reference, arguments, needed, grad)[1]
        assert gradient is not None
        return gradient.detach().contiguous()
    blocks = max(1, min(BLOCKS, len(begins) - 1, SUMMED // max(weight.numel(), 1)))
    sums = grad.new_empty(blocks, *_table(weight, groups).shape)
    shared = _arguments(weight, places, begins, geometry, groups)
    numbers = (values.contiguous(), grad.contiguous(), sums, blocks)
    _check(_backward_kernel(grad.dtype, *shared, *numbers, blocks=blocks, elements=grad.numel()))
    return sums.sum(0).permute(0, 4, 1, 2, 3).flatten(0, 1).contiguous()


def _check(status: int) -> None:
    if status:
        raise MemoryError("sparse_conv: there is no memory for an image of each thread")


_operator = operator(
    "sparse_conv(Tensor values, Tensor weight, Tensor places, Tensor images, Tensor begins, int[] geometry, int groups)"
    " -> Tensor",
    _convolved,
    _fake,
)
_weight_operator = operator(
    "sparse_conv_weight(Tensor grad, Tensor values, Tensor weight, Tensor places, Tensor images, Tensor begins,"
    " int[] geometry, int groups) -> Tensor",
    _weight_gradient,
    lambda grad, values, weight, *_: torch.empty_like(weight, memory_format=torch.contiguous_format),
)
