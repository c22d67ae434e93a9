"""Synapses with quantised weights, built by the same lines with lava-dl's slayer and with slayerloss.

Run by an interpreter that has lava-dl, `python lava_dl_synapses.py FILE` writes what lava-dl makes of each: its state
dict, its outputs and gradients.
"""

from __future__ import annotations

import sys

import torch

SYNAPSES = {
    # name: (arguments, keywords); a name may end in what is special
    "Dense": ((6, 5), {"weight_scale": 3}),
    "Conv": ((4, 6, 3), {"stride": (2, 1), "padding": 1, "groups": 2, "weight_scale": 2}),
    "Pool": ((2,), {"weight_scale": 0.75}),
    "ConvTranspose": ((4, 6, 3), {"weight_scale": 2}),
    "ConvTranspose in groups": (
        (4, 6, (3, 2)),
        {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2), "groups": 2, "weight_scale": 2, "weight_norm": True},
    ),
    "Unpool": ((2,), {"weight_scale": 0.75}),
    "Unpool with holes": (((2, 3),), {"stride": (2, 4), "weight_scale": 1.5, "weight_norm": True}),
}


def quantise(weight):
    """Multiples of 1/32, with the gradient of the identity."""
    return weight + (torch.round(weight * 32) / 32 - weight).detach()


def build(slayer, name: str, is_complex: bool) -> torch.nn.Module:
    """The synapse with random weights."""
    arguments, keywords = SYNAPSES[name]
    kind = getattr(slayer.synapse.complex if is_complex else slayer.synapse, name.split()[0])
    return kind(*arguments, **keywords, pre_hook_fx=quantise)


def spikes(name: str) -> torch.Tensor:
    """The synapse's input."""
    shape = (6,) if name.startswith("Dense") else (4, 6, 4)
    return (torch.rand(3, *shape, 7, generator=torch.Generator().manual_seed(1)) > 0.6).float()


def outputs(synapse: torch.nn.Module, x: torch.Tensor) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """What it answers, one tensor or two, and the gradients of a weighted sum."""
    x = x.clone().requires_grad_()
    answers = synapse(x)
    answers = list(answers) if isinstance(answers, tuple) else [answers]
    random = torch.Generator().manual_seed(2)
    sum((y * torch.randn(y.shape, generator=random)).sum() for y in answers).backward()
    grads = {name: value.grad.clone() for name, value in synapse.named_parameters() if value.grad is not None}
    return [answer.detach() for answer in answers], {"x": x.grad, **grads}


def main(path: str) -> None:
    """Write lava-dl's part."""
    from lava.lib.dl import slayer

    results = {}
    for i, name in enumerate(SYNAPSES):
        for is_complex in (False, True):
            torch.manual_seed(2 * i + is_complex)
            synapse = build(slayer, name, is_complex)
            state = {key: value.clone() for key, value in synapse.state_dict().items()}
            answers, grads = outputs(synapse, spikes(name))
            key = f"complex {name}" if is_complex else name
            results[key] = {"state": state, "answers": answers, "grads": grads, "grad norm": float(synapse.grad_norm)}
    torch.save(results, path)


if __name__ == "__main__":
    main(sys.argv[1])
