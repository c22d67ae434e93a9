# %% [markdown]
# # To the chip
#
# Loihi computes in integers. Weights have 8 bits, states 24, and a leak is a multiplication followed by a shift. A
# network that was trained in floating point and rounded afterwards is another network: it decides differently, and
# nobody can say how often. A network of this package is trained in the chip's integers from the beginning. In this
# tutorial you train one, write it into the file that Loihi's tools load, run that file without PyTorch, and count the
# spikes that differ. There will be none. Then you flip one bit, to see that the count means something.

# %%
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch

import slayerloss as slayer
from slayerloss import netx

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait

# %% [markdown]
# ## A network with a bit of everything
#
# A convolution sees the camera's image, a dense layer decides. Each output neuron has an axonal delay of its own, in
# steps, which is learned, too; delays need a larger learning rate than weights. Half of the training digits and five
# epochs are enough here.


# %%
def load(train, number):
    digits = slayer.data.Digits(train, num_steps=30, step_ms=10, indices=range(number))
    return slayer.data.collate([digits[i] for i in range(number)])


train_events, train_labels = load(train=True, number=720)
test_events, test_labels = load(train=False, number=355)

neuron = dict(
    threshold=1.25,
    current_decay=0.25,
    voltage_decay=0.1,
    tau_grad=0.03,
    scale_grad=3,
    requires_grad=True,
)
model = torch.nn.Sequential(
    slayer.block.cuba.Conv(neuron, 2, 8, kernel_size=5, stride=4, weight_norm=True),
    slayer.block.cuba.Flatten(),
    slayer.block.cuba.Dense(neuron, 8 * 8 * 8, 10, weight_norm=True, delay=True),
)
loss = slayer.loss.SpikeMax(mode="softmax", temperature=0.1, reduction="mean")
delays = [model[2].delay.delay]
others = [parameter for parameter in model.parameters() if parameter is not delays[0]]
optimizer = torch.optim.Adam([{"params": delays, "lr": 0.05}, {"params": others}], lr=5e-3)
for epoch in range(5):
    for batch in torch.randperm(len(train_labels)).split(32):
        error = loss(model(train_events[batch]), train_labels[batch])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
    model.eval()
    with torch.no_grad():
        right = slayer.classifier.Rate.predict(model(test_events)) == test_labels
    model.train()
    print(f"epoch {epoch}: test accuracy {right.float().mean():.1%}")
model.eval()

# %% [markdown]
# ## What the chip can hold
#
# The optimizer moves weights by tiny amounts; they are kept in full precision. In every forward pass each one is
# rounded to an even integer between -256 and 254, over 64. The gradient passes the rounding as if it were not there.

# %%
for weight in (0.1, 0.11, 1.0, 7.0):
    quantized = slayer.functional.quantize_weight(torch.tensor(weight))
    print(f"{weight:5} becomes {quantized:8.5f} = {int(quantized * 64):4} / 64")

# %%
weights = model[0].synapse.effective_weight().detach() * 64
ax = slayer.plot.weight_histogram(weights.numpy())

# %% [markdown]
# The neuron is rounded in the same way. A decay is a number of 4096ths, the threshold a number of 64ths. These are the
# numbers that stand in the file:

# %%
print(model[0].neuron)
print(model[0].neuron.device_params)

# %% [markdown]
# ## Export
#
# `export` writes the file and returns what it has to remark. An empty list: Lava loads this network and computes what
# the model computes.

# %%
folder = Path(tempfile.mkdtemp())
path = folder / "network.net"
findings = netx.export(model, path, input_shape=(2, 34, 34))
print(findings)
print(f"{path.stat().st_size / 1024:.0f} KiB")

# %% [markdown]
# Not every network can go. Lava cannot load a pooling layer, for instance. Then `export` writes nothing and says which
# layer it is and what to do instead.

# %%
pooled = torch.nn.Sequential(slayer.block.cuba.Pool(neuron, 2), slayer.block.cuba.Flatten())
try:
    netx.export(pooled, folder / "pooled.net", input_shape=(2, 34, 34))
except slayer.ArgumentError as refusal:
    print(refusal)

# %% [markdown]
# ## Look into the file
#
# `slayerloss inspect network.net` prints this table in a terminal. Weights, biases and delays are the file's integers;
# decays and thresholds are in natural units.

# %%
print(netx.inspect(path))

# %% [markdown]
# ## Run the file
#
# `netx.Network` reads the file and nothing else. It needs numpy and h5py, no PyTorch and no Lava, and knows nothing of
# the classes that trained the model: it is written from Lava's integer equations. `compare` runs both on the same
# events and counts.

# %%
comparison = netx.compare(model, path, test_events)
print(comparison)
print("identical:", comparison.identical)

# %% [markdown]
# ## A neuron in integers
#
# What is there to compute? For one neuron it fits into a few lines. Spikes arrive one step after they were sent, plus
# the neuron's delay. The current `u` and the voltage `v` count in units of 1/4096, and `int` cuts toward zero, as the
# chip does. We take the output neuron that starts and stops most often.

# %%
everything = netx.Network(path).run(test_events, states=True)
changes = np.abs(np.diff(everything.output)).sum(axis=-1)  # (N, 10)
sample, neuron = np.unravel_index(changes.argmax(), changes.shape)

fields = netx.read(path).layers[-1].fields
chip = {name: int(fields["neuron"][name]) for name in ("iDecay", "vDecay", "vThMant")}
sent = everything.spikes[0][sample].reshape(512, 30)  # by the convolution; order C, H, W
summed = fields["weight"][neuron].astype(int) @ sent
late = 1 + int(fields["delay"][neuron])
arriving = np.concatenate([np.zeros(late, int), summed])[:30]

u, v = 0, 0
voltage, spiked = [], []
for a in arriving.tolist():
    u = int(u * (4096 - chip["iDecay"]) / 4096) + 64 * a
    v = int(v * (4096 - chip["vDecay"]) / 4096) + u
    voltage.append(v)
    spiked.append(v > 64 * chip["vThMant"])
    if spiked[-1]:
        v = 0

for who, spikes in ("by hand", spiked), ("the run", everything.output[sample, neuron]):
    print(f"spikes, {who}: " + "".join("|" if spike else "." for spike in spikes))

# %% [markdown]
# The line is our voltage, before it is reset; the dots are the run's, after the reset. Where the line passes the
# threshold, the neuron spikes and the dot is back at zero.

# %% tags=["thumbnail"]
threshold = 64 * chip["vThMant"]
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    ax.axhline(threshold, color="#757575", linewidth=0.7, linestyle=(0, (1, 3)))
    ax.text(30, threshold, "threshold", color="#757575", va="center")
    blue, orange = slayer.plot.PALETTE[:2]
    ax.plot(voltage, color=orange, linewidth=1, label="by hand, before the reset")
    recorded = everything.states[-1]["v"][sample, neuron]
    ax.plot(recorded, "o", color=blue, markersize=4, label="the run, after the reset")
    ax.set(xlabel="time (steps)", ylabel="voltage (1/4096)", xlim=(-0.5, 29.5))
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside upper right", frameon=False, ncols=2)

# %% [markdown]
# ## Flip one bit
#
# Zero differences prove something only if a difference would be seen. We copy the file, look for the synapse of that
# neuron that carries the most spikes, and flip the last bit of its weight.

# %%
flipped = folder / "flipped.net"
flipped.write_bytes(path.read_bytes())
traffic = everything.spikes[0].reshape(len(test_labels), 512, 30).sum(axis=(0, 2))
busiest = int(np.where(fields["weight"][neuron] != 0, traffic, 0).argmax())
with h5py.File(flipped, "a") as file:
    before = int(file["layer/3/weight"][neuron, busiest])
    file["layer/3/weight"][neuron, busiest] = before ^ 1
print(f"weight {before} is now {before ^ 1}")
print(netx.compare(model, flipped, test_events))

# %% [markdown]
# The comparison counts the spikes and names the field. The file's checksum no longer fits, either, and a changed file
# does not run unasked:

# %%
try:
    netx.Network(flipped)
except slayer.FormatError as refusal:
    print(refusal)

# %% [markdown]
# We ask, and draw the recording that the bit has changed most. Pale marks are the spikes of the right file, dark ones
# those of the wrong file.

# %%
changed = netx.Network(netx.read(flipped)).run(test_events).output
worst = int((changed != everything.output).sum(axis=(1, 2)).argmax())
ax = slayer.plot.raster_pair(changed[worst], everything.output[worst])

# %% [markdown]
# ## On Loihi's own tools
#
# In an environment with lava-dl (Python 3.10), the same file loads with
#
#     from lava.lib.dl import netx
#     net = netx.hdf5.Network(net_config="network.net")
#
# and runs with the same spikes; the tests of this package do exactly that. Index `t - 1` of our arrays is Lava's time
# step `t`.
#
# [The numbers](../docs/numbers.md) has the whole arithmetic, and why it can be exact.

# %%
plt.show()
