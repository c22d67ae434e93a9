"""Train rate-coded spiking networks as ordinary networks, whose activation is measured on the spiking ones.

A layer of spiking neurons that hears constant rates answers with rates: r = f(z), z being the weighted input. Now and
then the network runs with spikes and its layers collect pairs (z, r); through these a piecewise linear f is fitted, and
until the next time the network is trained with f in one step instead of spikes in many. `routine.Scheduler` says which
batch runs in which `Mode`, `block.cuba` has the blocks that can run in each.
"""

from slayerloss.bootstrap import ann_sampler, block, routine
from slayerloss.bootstrap.routine import Mode

__all__ = ["Mode", "ann_sampler", "block", "routine"]
