"""Synapses: what spikes cause in the neurons that hear them, with lava-dl's weights and names."""

from slayerloss.synapse import complex, layer
from slayerloss.synapse._weight import Synapse
from slayerloss.synapse.layer import Conv, ConvTranspose, Dense, Pool, Unpool

__all__ = ["Conv", "ConvTranspose", "Dense", "Pool", "Synapse", "Unpool", "complex", "layer"]
