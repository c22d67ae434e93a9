# %% [markdown]
# # Learning time constants
#
# How long a neuron remembers is a parameter like its weights, and it can be learned like them. In this tutorial a
# layer of neurons has to imitate another one that remembers longer. You see what happens when its decays may learn,
# when they may not, and when they learn in the wrong direction, as they did in lava-dl.

# %%
import matplotlib.pyplot as plt
import torch

import slayerloss as slayer

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
num_updates = 300

# %% [markdown]
# ## A population to imitate
#
# Forty inputs spike at random, each in 5 % of all steps. Ten neurons listen to them. Their current loses a tenth of
# itself in each step and their voltage a fiftieth, so that a spike is felt for 10 and for 50 steps. These are the
# *teachers*.

# %%
neuron = dict(threshold=1.0, tau_grad=0.1, scale_grad=1)
wanted = dict(current_decay=0.1, voltage_decay=0.02)
given = dict(current_decay=0.4, voltage_decay=0.2)

inputs = torch.bernoulli(torch.full((8, 40, 200), 0.05))  # (N, C, T)
teacher = slayer.block.cuba.Dense({**neuron, **wanted}, 40, 10)
teacher.synapse.weight.data = 0.1 * torch.randn(10, 40, 1, 1, 1)
with torch.no_grad():
    target = teacher(inputs)

# %% [markdown]
# The student starts with decays of 0.4 and 0.2: it forgets within a few steps. Its weights are twice the teachers',
# because what fades sooner has to be louder; they may learn in any case.


# %%
def make_student(requires_grad):
    student = slayer.block.cuba.Dense(
        {**neuron, **given, "requires_grad": requires_grad}, 40, 10
    )
    student.synapse.weight.data = 2 * teacher.synapse.weight.data
    return student


ax = slayer.plot.raster_pair(make_student(False)(inputs)[0], target[0])

# %% [markdown]
# Orange marks are spikes of the teachers that the student misses, blue ones are its own.
#
# ## Three ways to train
#
# `requires_grad=True` makes parameters of the decays. They are kept as logarithms, so that a step of the optimizer
# changes a time constant by a fraction of itself; a learning rate of 0.05 is about 5 % in a step, whatever the decay.
#
# lava-dl has the same switch, and in its N-MNIST and Oxford tutorials it is on. But its gradient of a decay has the
# wrong sign: the optimizer moves the decay to where the loss is higher. We can watch it here by turning the sign of
# ours.


# %%
def train(requires_grad, sign=1):
    student = make_student(requires_grad)
    decays = [student.neuron.current_decay, student.neuron.voltage_decay]
    groups = [{"params": [student.synapse.weight], "lr": 0.005}]
    if requires_grad:
        groups.append({"params": decays, "lr": 0.05})
        for decay in decays:
            decay.register_hook(lambda gradient: sign * gradient)
    optimizer = torch.optim.Adam(groups)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, num_updates)
    loss = slayer.loss.SpikeTime(time_constant=5)
    losses, path = [], []
    for _ in range(num_updates):
        error = loss(student(inputs), target)
        losses.append(error.item())
        path.append([decay.item() for decay in student.neuron.decays])
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        scheduler.step()
    return student, losses, torch.tensor(path)


runs = {
    "frozen": train(False),
    "learned": train(True),
    "learned, wrong sign": train(True, sign=-1),
}
for name, (_, losses, path) in runs.items():
    current_decay, voltage_decay = path[-1].tolist()
    print(
        f"{name:20} loss {losses[-1]:7.0f}, decays {current_decay:.3f} and {voltage_decay:.3f}"
    )

# %% [markdown]
# ## Whoever remembers, wins
#
# Without the decays, the weights do what they can, and that is not enough: no weight makes a spike last. With them the
# loss falls on. With the sign turned it is worse than if nothing had been learned.

# %% tags=["thumbnail"]
colors = dict(zip(runs, slayer.plot.PALETTE, strict=False))
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    for name, (_, losses, _) in runs.items():
        ax.plot(losses, color=colors[name], linewidth=1.2)
        ax.text(num_updates + 5, losses[-1], name, color=colors[name], va="center")
    ax.set(xlabel="update", ylabel="loss", yscale="log", xlim=(0, num_updates))
    ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# This is where the decays went. The dashed lines are the teachers', 0.1 and 0.02. The learned ones go most of the way,
# to 0.15 and 0.04, and stop: the weights have made up for the rest on these recordings.

# %%
with slayer.plot.style():
    figure, axes = plt.subplots(1, 2, figsize=(5.6, 2.8), layout="constrained", sharey=True)
    for i, (ax, name) in enumerate(zip(axes, wanted, strict=True)):
        for run, (_, _, path) in runs.items():
            ax.plot(path[:, i], color=colors[run], linewidth=1.2, label=run)
        ax.axhline(wanted[name], color="#757575", linewidth=0.8, linestyle="--")
        ax.set(
            xlabel="update", title=name.replace("_", " "), yscale="log", ylim=(0.015, 1.2)
        )
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("fraction lost per step")
    figure.legend(
        *axes[0].get_legend_handles_labels(),
        loc="outside lower center",
        frameon=False,
        ncols=3,
    )

# %% [markdown]
# ## What they learned
#
# The teachers again, and the student whose decays have learned.

# %%
learned = runs["learned"][0]
with torch.no_grad():
    ax = slayer.plot.raster_pair(learned(inputs)[0], target[0])

# %% [markdown]
# Did it learn the teachers, or these eight recordings? New inputs tell: a part of each gain is of these recordings only,
# and the order stays.

# %%
fresh = torch.bernoulli(torch.full((8, 40, 200), 0.05))
loss = slayer.loss.SpikeTime(time_constant=5)
with torch.no_grad():
    for name, (student, losses, _) in runs.items():
        print(
            f"{name:20} loss {losses[-1]:7.0f}, on new inputs {loss(student(fresh), teacher(fresh)):7.0f}"
        )

# %% [markdown]
# The decays stay numbers of the chip, of 4096ths, in every forward pass, so that what was learned goes into a network
# file as it is:

# %%
print(learned.neuron.device_params)

# %% [markdown]
# ## In your own network
#
# - Set `requires_grad=True` in `neuron_params`. With `shared_param=False` each channel has decays of its own.
# - Give the decays a larger learning rate than the weights if they hardly move; a parameter group, as above.
# - The gradient of a decay is a true one: where no spike comes or goes, it is that of finite differences.
#
# [The numbers](../docs/numbers.md) has the equations.

# %%
plt.show()
