# %% [markdown]
# # What the losses see
#
# A loss turns many spikes into one number, and its gradient turns that number into a wish for every spike: more here,
# less there. Which spikes it wishes for depends on what it looks at. This tutorial feeds hand-made spike trains to the
# losses and draws what they see and what they answer.

# %%
import matplotlib.pyplot as plt
import torch

import slayerloss as slayer
from slayerloss import functional

torch.manual_seed(1)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait

# %% [markdown]
# ## Three neurons, one right
#
# The recording shows a *dog*. The cat neuron is busy at first and gives up; the dog neuron wakes late; the bird neuron
# hardly says a word.

# %%
names, dog = ["cat", "dog", "bird"], torch.tensor([1])
chance = torch.zeros(3, 120)
chance[0, :50], chance[0, 50:] = 0.45, 0.05
chance[1, :60], chance[1, 60:] = 0.05, 0.45
chance[2] = 0.03
spikes = torch.bernoulli(chance)[None]  # (N, C, T) = (1, 3, 120)
ax = slayer.plot.raster(spikes, names=names, highlight=1)

# %% [markdown]
# ## One rate for everything
#
# The *rate* is the number of spikes per step, averaged over the whole recording. Here is what a rate makes of this
# recording, and the confidence that follows from it.

# %%
rate = functional.rate(spikes)
confidence = functional.confidence(rate)
for name, r, c in zip(names, rate[0], confidence[0], strict=True):
    print(f"{name:5} {r:.3f} spikes per step, confidence {c:.2f}")

# %% [markdown]
# `SpikeRate` compares each rate with a target: high for the true class, low for the others. `SpikeMax` takes the
# negative logarithm of the true class's confidence and so asks only that the dog be *ahead*.

# %%
print(f"SpikeRate {slayer.loss.SpikeRate(true_rate=0.4, false_rate=0.05)(spikes, dog):.3f}")
print(f"SpikeMax  {slayer.loss.SpikeMax()(spikes, dog):.3f}")

# %% [markdown]
# ## Rates in a moving window
#
# With `moving_window=20`, every step has a rate of its own: that of the last 20 steps. Now the loss sees *when* the
# network is wrong. In the first half, the cat is ahead and the loss is high; soon after step 60 the dog overtakes it.

# %% tags=["thumbnail"]
window = 20
loss = slayer.loss.SpikeMax(moving_window=window, reduction="none")
per_step = loss(spikes, dog)  # (N, T)

with slayer.plot.style():
    figure = plt.figure(figsize=(5.6, 4.0), layout="constrained")
    above, below = figure.subplots(2, sharex=True)
    slayer.plot.rate_traces(spikes, window, above, label=1, names=names)
    above.set_xlabel("")
    below.plot(per_step[0], color=slayer.plot.PALETTE[0])
    below.set(xlabel="time (steps)", ylabel="SpikeMax\nof this window", ylim=(0, None))
    below.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# The gradient says what the loss would change. Below is its negative for the dog neuron: above zero, the loss wants a
# spike there. Looking at the whole recording, it wants the same everywhere; a spike is a spike. With windows, it wants
# spikes where they are missing, early on, and is content with the end.


# %%
def wishes(loss, spikes, label):
    """Minus the gradient of a loss with respect to each spike, (C, T)."""
    spikes = spikes.clone().requires_grad_()
    loss(spikes, label).backward()
    return -spikes.grad[0]


whole = wishes(slayer.loss.SpikeMax(), spikes, dog)[1]
loss = slayer.loss.SpikeMax(moving_window=window, reduction="mean")
windowed = wishes(loss, spikes, dog)[1]

with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 2.4), layout="constrained")
    ax.plot(windowed, color=slayer.plot.PALETTE[0], label=f"windows of {window} steps")
    ax.plot(whole, color=slayer.plot.PALETTE[1], label="whole recording")
    ax.axhline(0, color="#BDBDBD", linewidth=0.7)
    ax.set(xlabel="time (steps)", ylabel="wish for a dog spike")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# One detail at the beginning: what is the mean of the last 20 steps when only three have passed? As in lava-dl, the
# default takes the missing ones as silent, so that early rates are low. `start="seen"` divides by the steps there are.

# %%
busy = torch.ones(1, 1, 5)  # a neuron that spikes in every step
for start in ("zero", "seen"):
    rates = functional.moving_window(busy, 5, start=start)
    print(f"{start}:", " ".join(f"{r:.1f}" for r in rates.flatten()))

# %% [markdown]
# ## The class that never spikes
#
# A fresh network is often silent, and minus the logarithm of nothing is infinite: with lava-dl's `SpikeMax` one silent
# class fills the network with NaN. Here the logarithm ends at one spike and continues as a straight line. The loss
# stays finite, and a silent class is pulled up harder than any other.
#
# Below, the dog sends from zero to three spikes in 100 steps, the cat two. The dots mark whole spikes.

# %%
num_steps, count = 100, torch.linspace(0, 3, 301)
samples = torch.zeros(len(count), 3, num_steps)
samples[:, 0, [20, 60]] = 1
samples[:, 1, 40] = count  # one graded spike stands for any number of spikes
labels = dog.expand(len(count))
ours = slayer.loss.SpikeMax(reduction="none")(samples, labels)
lava = -torch.log(functional.confidence(functional.rate(samples))[:, 1])

with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    ax.plot(count, lava, ":", color="#757575", label="lava-dl: infinite at 0")
    ax.plot(count, ours, color=slayer.plot.PALETTE[0], label="slayerloss")
    ax.plot(count[::100], ours[::100], "o", color=slayer.plot.PALETTE[0], markersize=4)
    ax.set(xlabel="spikes of the true class", ylabel="SpikeMax")
    ax.set(xlim=(-0.05, 3.05), ylim=(0, 5), xticks=range(4))
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)

silent = torch.zeros(1, 3, num_steps)
print(f"all silent: loss {slayer.loss.SpikeMax()(silent, dog):.2f}")
for name, wish in zip(names, wishes(slayer.loss.SpikeMax(), silent, dog), strict=True):
    print(f"{name:5} wish for a spike {wish[0]:.1f}")

# %% [markdown]
# ## Softmax needs a temperature
#
# In the mode `"softmax"` the rates are logits. But rates live between 0 and 1. Take ten classes, the right one spiking
# in every third step and all others silent: a clear answer. At temperature 1 the softmax calls it a guess.

# %%
perfect = torch.zeros(1, 10, 99)
perfect[0, 0, ::3] = 1
for temperature in (1.0, 0.3, 0.1, 0.03):
    loss = slayer.loss.SpikeMax(mode="softmax", temperature=temperature)
    error = loss(perfect, torch.tensor([0]))
    print(
        f"temperature {temperature:4}: loss {error:.4f}, confidence {error.neg().exp():.3f}"
    )

# %% [markdown]
# ## Spike times
#
# Sometimes it matters when a neuron spikes. `SpikeTime` compares spike trains step by step, but not as they are: two
# spikes one step apart would be as different as two at the ends of the recording. It first lets every spike fade
# slowly, with an exponential filter, and then takes the squared difference.
#
# A layer of four neurons listens to 100 noisy inputs. Each neuron has a target.

# %%
num_steps = 200
inputs = torch.bernoulli(torch.full((1, 100, num_steps), 0.04))
target = torch.zeros(1, 4, num_steps)
target[0, 0, 20::30] = 1  # regular
target[0, 1, [40, 50, 60, 120, 130, 140]] = 1  # two bursts
target[0, 2, (torch.arange(14) ** 2) + 10] = 1  # slower and slower
target[0, 3, 190 - (torch.arange(14) ** 2)] = 1  # faster and faster

neuron = dict(
    threshold=0.5, current_decay=1.0, voltage_decay=0.1, tau_grad=0.1, scale_grad=1
)
layer = slayer.block.cuba.Dense(neuron, 100, 4)
loss = slayer.loss.SpikeTime(time_constant=5)
print(f"before training: loss {loss(layer(inputs), target):.1f}")
figure = slayer.plot.error_figure(layer(inputs), target, time_constant=5, channels=range(4))

# %% [markdown]
# The uppermost panel shows the filtered output over the filtered target, summed over the neurons, and their difference.
# The second shows where the loss comes from. The small panels show one neuron each; the ticks under the traces are the
# spikes themselves, targets above outputs.
#
# Now let the layer learn.

# %%
num_updates = 300
optimizer = torch.optim.Adam(layer.parameters(), lr=0.05)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_updates)
for update in range(num_updates):
    error = loss(layer(inputs), target)
    optimizer.zero_grad()
    error.backward()
    optimizer.step()
    scheduler.step()
    if update % 50 == 0:
        print(f"update {update:3}: loss {error:.1f}")
print(f"after training: loss {loss(layer(inputs), target):.1f}")

# %%
figure = slayer.plot.error_figure(layer(inputs), target, time_constant=5, channels=range(4))

# %% [markdown]
# And spike by spike: pale marks are targets, dark marks are spikes. A dark mark in a pale one is where it should be.

# %%
ax = slayer.plot.raster_pair(layer(inputs), target)

# %% [markdown]
# ## How far is far?
#
# The time constant decides what counts as near. The van Rossum distance is the same idea with a fixed scale: a missing
# spike costs one half, two spikes too far apart to know each other cost one. Here a single spike moves away from its
# target.

# %%
lag = torch.arange(31)
moved = torch.zeros(31, 1, 100)
moved[lag, 0, 40 + lag] = 1
wanted = torch.zeros(31, 1, 100)
wanted[:, 0, 40] = 1

with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
    for time_constant, color in zip((2.0, 5.0, 20.0), slayer.plot.PALETTE, strict=False):
        distance = functional.van_rossum_distance(
            moved, wanted, time_constant, squared=True
        )
        ax.plot(lag, distance, color=color, label=f"{time_constant:g} steps")
    ax.axhline(0.5, color="#757575", linewidth=0.7, linestyle=(0, (1, 3)))
    ax.text(
        29.8, 0.49, "a spike missing", color="#757575", fontsize=9, ha="right", va="top"
    )
    ax.set(xlabel="shift (steps)", ylabel="squared distance", ylim=(0, 1.05), xlim=(0, 30))
    ax.legend(frameon=False, title="time constant", loc="lower right", ncols=3)
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Filter banks
#
# Why choose one time constant? A filter bank applies several at once. Fast filters keep the time of each spike, slow
# ones count. With `normalize="area"` every filter keeps the rate, so that their outputs can be compared.

# %%
time_constants = [2.0, 8.0, 30.0]
ax = slayer.plot.filter_responses(time_constants, normalize="area")

# %% [markdown]
# The dog neuron of the beginning through this bank. The outputs come filter by filter as channels, ready for the next
# layer, or with `stack=True` in a dimension of their own, `(N, F, C, T)`.

# %%
bank = functional.filter_bank(spikes, time_constants, normalize="area", stack=True)
print("(N, F, C, T) =", tuple(bank.shape))
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
    for trace, time_constant, color in zip(
        bank[0, :, 1], time_constants, slayer.plot.PALETTE, strict=False
    ):
        ax.plot(trace, color=color, label=f"{time_constant:g} steps")
    ax.vlines(spikes[0, 1].nonzero().flatten(), -0.08, -0.03, color="#222222", linewidth=1)
    ax.set(xlabel="time (steps)", ylabel="spikes per step")
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Which one?
#
# | you want | take |
# |---|---|
# | the right class, on a chip with few spikes | `SpikeRate` with low rates |
# | the right class, with what you know of cross-entropy | `SpikeMax`, with `mode="softmax"` and a temperature |
# | the right class early, or labels that change over time | either, with `moving_window` |
# | several classes at once, or none | `SpikeMoid` |
# | spikes at given times | `SpikeTime` |
# | fewer spikes inside the network | `SparsityEnforcer`, beside any of them |
#
# All of them take `lengths` for padded batches, `reduction="none"` to look at single samples, and labels `(N,)` or
# `(N, T)`. Next: [to the chip](03_to_the_chip.py).

# %%
plt.show()
