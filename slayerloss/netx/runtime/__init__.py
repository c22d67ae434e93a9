"""How a network file runs in integers: `build` makes stages of its layers, and `run.Network` drives them.

build          layers -> stages, as Lava reads the file or as the file says
stage          a layer that runs: synapses, what is on its way, neurons
synapse        sums of weights; `packing` is what Lava makes of weights
neurons        what neurons share; `lif`, `sigma_delta`, `resonate` (with `arctan2`), `average`
recording      spikes, states, and the state to go on from
inputs, cores  the input as integers; samples side by side
"""
