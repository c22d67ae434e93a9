# %% [markdown]
# # Penalties
#
# A loss asks for the right answer and leaves everything else open: how many spikes the answer costs, which neurons
# excite and which inhibit, how long they remember. Penalties say what else you want. In this tutorial the same small
# network learns handwritten digits five times: without penalties, with its spike rates held in a band, with Dale's law
# on its synapses, with its decays in bounds, and with all three. Then you see what each of them did.

# %%
import matplotlib.pyplot as plt
import torch

import slayerloss as slayer
from slayerloss import regularizer

torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
num_epochs, num_hidden = 5, 64


def load(train):
    digits = slayer.data.Digits(train, num_steps=30, step_ms=10, flatten=True)
    return slayer.data.collate([digits[i] for i in range(len(digits))])


train_events, train_labels = load(train=True)
test_events, test_labels = load(train=False)

# %% [markdown]
# ## The network
#
# It is the network of the [first tutorial](01_first_network.py), with one change: `shared_param=False` gives each
# neuron decays of its own, and these learn.

# %%
neuron = dict(
    threshold=1.25,
    current_decay=0.25,
    voltage_decay=0.1,
    tau_grad=0.03,
    scale_grad=3,
    requires_grad=True,
    shared_param=False,
)


def make_model():
    torch.manual_seed(0)
    return torch.nn.Sequential(
        slayer.block.cuba.Dense(neuron, 2 * 34 * 34, num_hidden, weight_norm=True),
        slayer.block.cuba.Dense(neuron, num_hidden, 10, weight_norm=True),
    )


# %% [markdown]
# ## Three penalties
#
# **A band for the rates.** A neuron that spikes all the time costs energy, and one that never spikes is of no use.
# `RateBand` leaves a neuron alone while its mean rate, over the batch and all steps, lies between 0.02 and 0.1 spikes
# per step. It looks at the spikes of the hidden layers.

# %%
rates = regularizer.RateBand(min_rate=0.02, max_rate=0.1)

# %% [markdown]
# **Dale's law.** In the brain a neuron excites all neurons that it talks to, or inhibits all of them. We choose 48
# hidden neurons to excite and 16 to inhibit. `DaleHinge` sums up the weights that have the other sign; it says nothing
# about the size of those that are right. Rows of a weight are the neurons that listen, columns those that talk.

# %%
signs = torch.ones(10, num_hidden, 1, 1, 1)
signs[:, 48:] = -1

# %% [markdown]
# **Bounds for the decays.** A decay of 0.02 makes a memory of 50 steps, which is longer than a recording. The bounds
# are those of the decay itself, the fraction lost per step, however the neuron stores it. `scale` is the excess that
# costs 1.

# %%
bounds = [0.08, 0.12]

# %% [markdown]
# `Regularized` puts them beside the loss: it is called as the loss is, and adds the penalties while it trains. A weight
# says how much each counts, and a schedule from when on: the band begins after a tenth of the training and has its full
# weight at half of it.


# %%
def penalties_for(model):
    later = regularizer.WeightSchedule("ramp", begin=0.1, end=0.5)
    dale = regularizer.DaleHinge(model, [signs], names="1.synapse.weight")
    decays = regularizer.Bounds(
        model,
        *bounds,
        names="0.neuron.voltage_decay",
        scale=0.01,
    )
    return {
        "rates": regularizer.Penalty(rates, weight=60, schedule=later),
        "dale": regularizer.Penalty(dale, weight=0.1),
        "decays": regularizer.Penalty(decays, weight=0.01),
    }


# %% [markdown]
# ## Training five times
#
# The training loop is the one that you know, with one new line: `progress` tells the schedules how far the training is.
# The decays get a larger learning rate, so that they go somewhere.

# %%
predict = slayer.classifier.Rate.predict


def train(*names):
    model = make_model()
    model(train_events[:1])  # the neurons draw their decays, one for each channel
    penalties = {name: penalties_for(model)[name] for name in names}
    loss = slayer.loss.SpikeMax(mode="softmax", temperature=0.1, reduction="mean")
    regularized = regularizer.Regularized(loss, penalties, model)
    decays = [p for name, p in model.named_parameters() if name.endswith("_decay")]
    others = [p for name, p in model.named_parameters() if not name.endswith("_decay")]
    optimizer = torch.optim.Adam(
        [{"params": others, "lr": 3e-3}, {"params": decays, "lr": 3e-2}]
    )
    batches = [
        batch
        for _ in range(num_epochs)
        for batch in torch.randperm(len(train_labels)).split(32)
    ]
    terms, memory = [], []
    for step, batch in enumerate(batches):
        regularized.progress = step / len(batches)
        optimizer.zero_grad()
        regularized(model(train_events[batch]), train_labels[batch]).backward()
        optimizer.step()
        terms.append({name: float(value) for name, value in regularized.terms.items()})
        memory.append(model[0].neuron.decays[1].detach())
    regularized.close()
    return model, terms, torch.stack(memory)


runs = {
    "no penalty": train(),
    "rates": train("rates"),
    "dale": train("dale"),
    "decays": train("decays"),
    "all three": train("rates", "dale", "decays"),
}

# %% [markdown]
# ## What each of them did
#
# `accuracy` is that on the test recordings. `events` are spikes of the hidden layer per recording, and `outside` counts
# neurons whose rate lies outside of the band. `wrong sign` is the share of the synapses that break Dale's law as we
# chose it, and `excitatory` the share that excites. The last two are the lowest and the highest decay.


# %%
def summary(model):
    with torch.no_grad():
        hidden = model[0](test_events)
        answers = predict(model[1](hidden))
    rate = hidden.mean((0, 2))
    weight = model[1].synapse.weight.detach()
    decay = model[0].neuron.decays[1].detach()
    return {
        "accuracy": f"{(answers == test_labels).float().mean():.1%}",
        "events": f"{hidden.sum() / len(hidden):.0f}",
        "outside": f"{int(((rate < 0.02) | (rate > 0.1)).sum())} of {num_hidden}",
        "wrong sign": f"{(weight * signs < 0).float().mean():.1%}",
        "excitatory": f"{regularizer.excitatory_ratio(weight):.1%}",
        "decays": f"{decay.min():.3f}-{decay.max():.3f}",
    }


rows = {name: summary(model) for name, (model, _, _) in runs.items()}
print(" " * 11 + "".join(f"{key:>12}" for key in rows["rates"]))
for name, row in rows.items():
    print(f"{name:11}" + "".join(f"{value:>12}" for value in row.values()))

# %% [markdown]
# The same in a picture. Each penalty moves what it is about; the answers to a few recordings in a hundred change.

# %%
colors = dict(zip(runs, slayer.plot.PALETTE, strict=False))
seen = {"accuracy": None, "excitatory": 0.75}
with slayer.plot.style():
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 2.0), layout="constrained", sharey=True)
    for ax, (key, target) in zip(axes, seen.items(), strict=True):
        values = [float(row[key].rstrip("%")) / 100 for row in rows.values()]
        ax.scatter(values, list(rows), color=[colors[name] for name in rows])
        ax.grid(axis="x", color="#EEEEEE")
        ax.set_axisbelow(True)
        ax.xaxis.set_major_formatter("{x:.0%}")
        ax.set(title=key)
        if target is not None:
            ax.axvline(target, color="#757575", linewidth=0.8, linestyle="--")
    axes[0].invert_yaxis()

# %% [markdown]
# The dashed line is the share of the neurons that we chose to excite.
#
# ## Rates
#
# The hidden neurons in the order of their rates. Without the band a few are silent and most spike often. With it the
# network answers as well, or better, with a fraction of the spikes: on the chip, that is energy.

# %% tags=["thumbnail"]
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    ax.axhspan(0.02, 0.1, color="#DDDDDD", linewidth=0)
    for name in ("no penalty", "rates", "all three"):
        with torch.no_grad():
            rate = runs[name][0][0](test_events).mean((0, 2)).sort().values
        ax.plot(rate, color=colors[name], linewidth=1.4, label=name)
    ax.text(1, 0.105, "the band", va="bottom", color="#757575")
    ax.set(xlabel="hidden neuron, by its rate", ylabel="spikes per step", ylim=(0, None))
    ax.legend(frameon=False, loc="upper left")
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## Weights
#
# The synapses from the hidden neurons, side by side, to the ten outputs, one below the other. Orange excites, purple
# inhibits. Without Dale's law every hidden neuron does both; with it the 48 on the left excite and the 16 on the right
# inhibit.

# %%
with slayer.plot.style():
    figure, axes = plt.subplots(2, 1, figsize=(5.6, 3.0), layout="constrained", sharex=True)
    for ax, name in zip(axes, ("no penalty", "dale"), strict=True):
        weight = runs[name][0][1].synapse.weight.detach()[:, :, 0, 0, 0]
        high = float(weight.abs().quantile(0.98))
        image = ax.imshow(weight, cmap="PuOr_r", vmin=-high, vmax=high, aspect="auto")
        ax.axvline(47.5, color="#222222", linewidth=0.8)
        ax.set(title=name, ylabel="output", yticks=range(0, 10, 3))
    axes[1].set_xlabel("hidden neuron")

# %% [markdown]
# ## Decays
#
# A line for each hidden neuron. Free decays wander off to where a neuron remembers more than the recording has; bounded
# ones come to the bound and stay there.

# %%
with slayer.plot.style():
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 2.6), layout="constrained", sharey=True)
    for ax, name in zip(axes, ("no penalty", "decays"), strict=True):
        ax.axhspan(*bounds, color="#DDDDDD", linewidth=0)
        ax.plot(runs[name][2], color=colors[name], linewidth=0.5, alpha=0.6)
        ax.set(xlabel="training step", title=name, yscale="log", ylim=(0.018, 0.16))
        ax.set_yticks([0.02, 0.05, 0.1], ["0.02", "0.05", "0.1"])
        ax.minorticks_off()
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("voltage decay per step")

# %% [markdown]
# ## Penalties apart
#
# `terms` has the loss and each penalty of the last call, with its weight, so that you see what a training is working
# on. Here are the means of ten steps of the run with all three. The band comes in with its schedule and is worked off;
# what breaks Dale's law falls to a ten thousandth; the bounds hardly ever cost anything, because they are kept.

# %%
terms = runs["all three"][1]
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 2.8), layout="constrained")
    for name, color in zip(terms[0], ("#222222", *slayer.plot.PALETTE[1:4]), strict=True):
        values = torch.tensor([term[name] for term in terms])
        values = values[: len(values) // 10 * 10].reshape(-1, 10).mean(1)
        ax.plot(
            range(5, 10 * len(values), 10), values, color=color, linewidth=1.2, label=name
        )
    ax.set(
        xlabel="training step", ylabel="added to the loss", yscale="log", ylim=(1e-5, None)
    )
    ax.legend(frameon=False, ncols=4, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## In your own network
#
# - Penalties on parameters take any `torch.nn.Module`; `names` chooses among the parameters by pattern, such as
#   `"*.synapse.weight"`.
# - Penalties on activity look at the spiking blocks through hooks, so that no model has to be changed for them.
# - In a recipe a penalty is a table with a name, and its value is logged as `penalty_<name>`:
#
# ```yaml
# regularizers:
#   rates: {type: RateBand, min_rate: 0.02, max_rate: 0.1, weight: 60, schedule: {type: ramp, end: 0.5}}
#   decays: {type: Bounds, lower: {"*.voltage_decay": 0.08}, weight: 0.01, scale: 0.01}
# ```
#
# - [All penalties](../docs/reference/regularizer.rst), with their formulas.

# %%
plt.show()
