"""The weights of a random connectome that keeps Dale's law."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import DtypeError, check_flag, check_integer, check_range, check_tensor, message


def dale_(
    tensor: Tensor,
    inh_ratio: float = 0.5,
    rho: float = 0.99,
    inh_first: bool = True,
    seed: int | None = None,
    *,
    dim: int = 0,
) -> Tensor:
    r"""Fill a tensor with random weights, each presynaptic neuron's of one sign.

    .. math::
        w_{ij} = s_i \, m_{ij} \, |x_{ij}|, \qquad x_{ij} \sim \mathcal{N}\Big(0, \frac{1}{N \rho (1 - \rho)}\Big)

    The sign s of a neuron is -1 for int(N inh_ratio) of the N presynaptic neurons and else 1; the mask m is 0 for
    int((1 - rho) n) of the n weights, drawn at random.

    Args:
        tensor: any shape of at least one dimension, float. It is changed in place, and no gradient is recorded.
        inh_ratio: the share of inhibitory neurons, in [0, 1].
        rho: the share of connections that there are, in [0, 1]. With 1, where the variance above has no value, it is
            1 / N.
        inh_first: whether the first neurons inhibit; False for neurons drawn at random.
        seed: for the same weights every time; None for others every time. torch's own generators stay as they are.
        dim: the presynaptic dimension. NeuroTorch's is 0, and so is that of transposed convolutions; all other layers
            of torch and of `slayerloss.block` have it at 1.

    Returns:
        `tensor` itself.

    Raises:
        ArgumentError, DtypeError: an argument does not fit.

    Example:
        >>> weight = torch.nn.Linear(4, 3).weight
        >>> dale_(weight, inh_ratio=0.25, rho=1.0, dim=1).sign()
        tensor([[-1.,  1.,  1.,  1.],
                [-1.,  1.,  1.,  1.],
                [-1.,  1.,  1.,  1.]], grad_fn=<SignBackward0>)

    Note:
        NeuroTorch returns another tensor and leaves its argument, takes square matrices only, gives infinite weights
        for rho = 1, and without a seed the same ones every time.

    References:
        NeuroTorch 0.0.2, ``neurotorch.init.dale_``.
    """
    check_tensor("dale_", "tensor", tensor, min_ndim=1)
    if not tensor.is_floating_point():
        raise DtypeError(
            message("dale_", "tensor is not of floats", "a float dtype", tensor.dtype, "Use tensor.float()")
        )
    inh_ratio = check_range("dale_", "inh_ratio", inh_ratio, 0.0, 1.0)
    rho = check_range("dale_", "rho", rho, 0.0, 1.0)
    inh_first = check_flag("dale_", "inh_first", inh_first)
    dim = check_integer("dale_", "dim", dim, -tensor.ndim, tensor.ndim - 1)
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(check_integer("dale_", "seed", seed))

    weights = torch.randn(tensor.shape, generator=generator).abs()
    neurons = weights.movedim(dim, 0)  # a view
    num_neurons = len(neurons)
    inhibitory = slice(_whole(num_neurons * inh_ratio))
    neurons[inhibitory if inh_first else torch.randperm(num_neurons, generator=generator)[inhibitory]] *= -1
    missing = torch.randperm(weights.numel(), generator=generator)[: _whole(weights.numel() * (1 - rho))]
    weights.view(-1)[missing] = 0
    scale = 1 / math.sqrt(max(num_neurons, 1) * (rho * (1 - rho) if 0 < rho < 1 else 1))
    with torch.no_grad():
        return tensor.copy_(weights.to(tensor.dtype) * min(scale, torch.finfo(tensor.dtype).max / 100))


def _whole(number: float) -> int:
    """The number without its fraction, where 28.999999999999996 is 29."""
    return int(number + 1e-9)
