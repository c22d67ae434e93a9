# %% [markdown]
# # The first network
#
# An event camera looks at a handwritten digit. A spiking network listens to the camera and says which digit it is. In
# this tutorial you build that network, train it, and look inside while it decides. It takes less than half a minute on
# two cores, and nothing is downloaded.

# %%
import matplotlib.pyplot as plt
import torch

import slayerloss as slayer

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait

# %% [markdown]
# ## What the camera sends
#
# An event camera has no frames. A pixel reports when its brightness has changed: ON for brighter, OFF for darker, with
# a time in microseconds. `Digits` comes with the package: 8x8 images of handwritten digits, moved in three small jumps
# of 100 ms in front of a simulated camera of 34x34 pixels. The movement matters. A pixel that sees no change says
# nothing.

# %%
recording = slayer.data.Digits(train=False).event(0)
print(recording)
figure = slayer.plot.show_event(recording, frames=6)

# %% [markdown]
# ## Events become a tensor
#
# The network works in time steps. We cut the 300 ms into 30 bins of 10 ms; a bin is 1 if the pixel sent anything in it.
# Two polarities on 34x34 pixels give 2312 inputs. Time is always the last dimension: `(C, T)` for a recording,
# `(N, C, T)` for a batch.


# %%
def load(train):
    digits = slayer.data.Digits(train, num_steps=30, step_ms=10, flatten=True)
    return slayer.data.collate([digits[i] for i in range(len(digits))])


train_events, train_labels = load(train=True)
test_events, test_labels = load(train=False)
print("training", tuple(train_events.shape), " test", tuple(test_events.shape))
print(f"{train_events.mean():.1%} of all bins hold an event")

# %% [markdown]
# ## Two layers of neurons
#
# Each neuron keeps two numbers. The *current* sums what the synapses deliver; the *voltage* sums the current. Both
# leak: a `current_decay` of 0.25 means that a quarter of the current is lost in each step. When the voltage exceeds the
# threshold, the neuron sends a spike and the voltage starts again at zero.
#
# A spike is a jump, and a jump has no useful derivative. Where training needs one, it takes that of a soft threshold;
# `tau_grad` is its width and `scale_grad` its height. With `requires_grad` the decays are learned, too.

# %%
neuron = dict(
    threshold=1.25,
    current_decay=0.25,
    voltage_decay=0.1,
    tau_grad=0.03,
    scale_grad=3,
    requires_grad=True,
)
model = torch.nn.Sequential(
    slayer.block.cuba.Dense(neuron, 2 * 34 * 34, 64, weight_norm=True),
    slayer.block.cuba.Dense(neuron, 64, 10, weight_norm=True),
)
spikes = model(test_events)
print("one output neuron for each digit:", tuple(spikes.shape))

# %% [markdown]
# This is what the untrained network answers to the first recording. Each tick is a spike.

# %%
ax = slayer.plot.raster(spikes, names=range(10), step_ms=10)

# %% [markdown]
# ## What we ask for
#
# The neuron of the true digit shall spike most. `SpikeMax` turns the spike rates into probabilities with a softmax and
# returns the negative log-likelihood of the true class, as the cross-entropy loss does for logits. Rates lie between 0
# and 1, where a plain softmax hardly tells them apart; the temperature of 0.1 spreads them.
#
# A network that guesses has a loss of log 10, which is 2.3.

# %%
loss = slayer.loss.SpikeMax(mode="softmax", temperature=0.1, reduction="mean")
predict = slayer.classifier.Rate.predict
right = (predict(spikes) == test_labels).float().mean()
print(f"loss {loss(spikes, test_labels):.2f}, {right:.1%} right")

# %% [markdown]
# ## Training
#
# From here on it is the PyTorch that you know. The blocks round their weights to the 8 bits of the chip in every
# forward pass, so that what is trained is what the chip will compute.

# %%
num_epochs = 8
optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [num_epochs - 2], gamma=0.3)
history = {"epoch": [], "train_accuracy": [], "test_accuracy": []}
for epoch in range(1, num_epochs + 1):
    model.train()
    total, right = 0.0, 0
    for batch in torch.randperm(len(train_labels)).split(32):
        spikes, labels = model(train_events[batch]), train_labels[batch]
        error = loss(spikes, labels)
        optimizer.zero_grad()
        error.backward()
        optimizer.step()
        total += error.item() * len(batch)
        right += int((predict(spikes) == labels).sum())
    scheduler.step()
    model.eval()
    with torch.no_grad():
        accuracy = float((predict(model(test_events)) == test_labels).float().mean())
    history["epoch"].append(epoch)
    history["train_accuracy"].append(right / len(train_labels))
    history["test_accuracy"].append(accuracy)
    print(
        f"epoch {epoch}: loss {total / len(train_labels):.3f}, test accuracy {accuracy:.1%}"
    )

# %%
ax = slayer.plot.learning_curve(history, "accuracy")

# %% [markdown]
# ## Where it is wrong
#
# Rows are the true digits, columns the answers. The shade is the share of the row.

# %%
with torch.no_grad():
    hidden = model[0](test_events)
    output = model[1](hidden)
answers = predict(output)
confusion = torch.zeros(10, 10, dtype=torch.int64).index_put_(
    (test_labels, answers), torch.ones_like(answers), accumulate=True
)
ax = slayer.plot.confusion_matrix(confusion, names=range(10))

# %% [markdown]
# ## How soon does it know?
#
# Nobody has to wait for the end of a recording. Take the output spikes of the last 10 steps at every step: which digit
# is ahead? From some step on the answer is right and stays right.

# %%
window = 10
rates = slayer.functional.moving_window(output, window)
latency = slayer.functional.latency_to_decision(rates, test_labels)  # 30: never
print(f"half of all decisions stand after {10 * int(latency.median())} ms of 300 ms")

# %% [markdown]
# Here is a recording that took until half way, on its way through the network. From above: what the camera saw, the
# spikes of the hidden layer, those of the output, how many of these the last 10 steps hold, and the confidence in each
# digit by them; where they are few, it says little. The true digit is blue, its strongest rival orange. The bar at the
# bottom is thick where the answer is right and thin where it is wrong.

# %% tags=["thumbnail"]
late = int((latency - 15).abs().argmin())
figure = slayer.plot.decision_figure(
    output,
    window,
    events=test_events.unflatten(1, (2, 34, 34)),
    hidden={"hidden": hidden},
    label=int(test_labels[late]),
    names=range(10),
    sample=late,
    step_ms=10,
)

# %% [markdown]
# ## What it costs
#
# On the chip, energy goes into spikes: a neuron that is silent costs next to nothing. The hidden layer sends far fewer
# spikes than the camera sends events.

# %%
sent = {"input": test_events, "hidden": hidden, "output": output}
per_recording = {name: float(x.sum()) / len(x) for name, x in sent.items()}
ax = slayer.plot.events_per_layer(per_recording)

# %% [markdown]
# ## Where to go from here
#
# - [What the losses see](02_what_the_losses_see.py) opens the loss: rates, windows, the class that never spikes, and
#   spike times.
# - [To the chip](03_to_the_chip.py) writes a network into the file that Loihi's tools load, and checks it spike by
#   spike.
# - `slayerloss demo` trains a better network on the same digits, with augmentation, checkpoints and a report.

# %%
plt.show()
