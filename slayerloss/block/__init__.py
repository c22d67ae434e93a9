"""Blocks: synapse, delay and neuron in one, as lava-dl's; one namespace for each neuron."""

from slayerloss.block import cuba
from slayerloss.block._block import BlockState, SpikingBlock, reset_state

__all__ = ["BlockState", "SpikingBlock", "cuba", "reset_state"]
