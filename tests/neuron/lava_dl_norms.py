"""WgtScaleBatchNorm, built by the same lines with lava-dl's slayer and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_norms.py FILE` writes what lava-dl makes of each case.
"""

from __future__ import annotations

import sys

import torch

CASES = {
    # shape of the input, its size, the norm's arguments
    "small": ((4, 3, 20), 0.02, {}),
    "usual": ((4, 3, 20), 0.7, {"momentum": 0.5}),
    "images": ((2, 3, 4, 5, 6), 3.0, {"weight_exp_bits": 1}),
    "large": ((4, 3, 20), 900.0, {}),
}


def run(norms, name: str) -> dict[str, torch.Tensor]:
    """Two batches in training and one in eval mode: outputs, gradient, running values."""
    shape, size, options = CASES[name]
    random = torch.Generator().manual_seed(0)
    norm = norms.WgtScaleBatchNorm(**options)
    x = (size * torch.randn(3, *shape, generator=random) + size).requires_grad_()
    first, second = norm(x[0]), norm(x[1])
    norm.eval()
    answers = torch.stack([first, second, norm(x[2])])
    (answers * torch.randn(answers.shape, generator=random)).sum().backward()
    state = {key: value.clone() for key, value in norm.state_dict().items()}
    return {"answers": answers.detach(), "grad": x.grad, "exponent": norm.weight_exp.clone(), **state}


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import slayer

    torch.save({name: run(slayer.neuron.norm, name) for name in CASES}, path)


if __name__ == "__main__":
    main(sys.argv[1])
