"""Blocks: synapse, delay and neuron in one, as lava-dl's; one namespace for each neuron.

`neuron_params` is a dictionary of the arguments of the neuron, such as `neuron.cuba.Neuron`. Weights are quantised to
the chip's 8 bits at every use (`pre_hook_fx`); with `weight_norm` they are held as direction and length. `delay` learns
an axonal delay for each neuron, `delay_shift` is the one step from layer to layer (`block.SpikingBlock`), `count_log`
also returns the events per neuron and step. Every block maps (N, C, ..., T) to (N, C', ..., T). Blocks with a synapse
also take sparse events, `torch.sparse_coo_tensor`, at a cost that follows their number.
"""

from slayerloss.block import adrf, adrf_iz, alif, cuba, rf, rf_iz, sigma_delta
from slayerloss.block._block import BlockState, SpikingBlock, reset_state

__all__ = ["BlockState", "SpikingBlock", "adrf", "adrf_iz", "alif", "cuba", "reset_state", "rf", "rf_iz", "sigma_delta"]
