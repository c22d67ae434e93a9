# %% [markdown]
# # N-MNIST, as in lava-dl
#
# The network of lava-dl's N-MNIST tutorial, with its neurons, loss, learning rate and helpers. Of its code only the
# import is another:
#
#     import slayerloss as slayer          # import lava.lib.dl.slayer as slayer
#
# As it stands the script trains for about a minute on 480 recordings in bins of 5 ms, which is enough to see it learn:
# six in ten digits are right at the end, and those of the test more often than those of the training, which are shifted
# and turned. `--full` behind its name, or `FULL = True` below, is the tutorial's own length: all recordings, bins of 1 ms,
# 100 epochs.
#
# The recordings are looked for in the folder `NMNIST` where the script is started, or below the folder that
# `SLAYERLOSS_DATA` names; [its card](../../docs/datasets/nmnist.md) says where to get them. Where there are none, the
# simulated recordings that come with the package take their place: the same sensor, other digits.

# %%
import os
import sys
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

import slayerloss as slayer

FULL = "--full" in sys.argv
SAMPLING_TIME = 1 if FULL else 5  # ms
NUM_STEPS = 300 // SAMPLING_TIME
EPOCHS = 100 if FULL else 10
TRAINING, TESTING = (None, None) if FULL else (480, 100)

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
rng = np.random.default_rng(0)
root = Path(os.environ.get("SLAYERLOSS_DATA", "."), "NMNIST")
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The dataset
#
# `slayer.io` reads a recording, and `fill_tensor` bins it. In training each recording is turned by up to 5 degrees and
# shifted by up to 4 pixels, as in lava-dl's tutorial.


# %%
def augment(event):
    angle = np.pi / 180 * rng.uniform(-5, 5)
    x, y = event.x - 16.5, event.y - 16.5
    event.x = np.round(x * np.cos(angle) - y * np.sin(angle) + 16.5 + rng.uniform(-4, 4))
    event.y = np.round(x * np.sin(angle) + y * np.cos(angle) + 16.5 + rng.uniform(-4, 4))
    return event


class NMNISTDataset(Dataset):
    def __init__(self, train, number=None, transform=None):
        self.transform = transform
        if root.is_dir():
            files = sorted(
                root.glob(f"{'Train' if train else 'Test'}/*/*.bin"), key=lambda f: f.stem
            )
            self.labels = [int(file.parent.name) for file in files]
            self.read = lambda i: slayer.io.read_2d_spikes(files[i])
        else:
            digits = slayer.data.Digits(train)
            self.labels = digits.labels.tolist()
            self.read = digits.event
        self.chosen = torch.randperm(len(self.labels))[:number].tolist()

    def __getitem__(self, i):
        event = self.read(self.chosen[i])
        if self.transform is not None:
            event = self.transform(event)
        spike = event.fill_tensor(
            torch.zeros(2, 34, 34, NUM_STEPS),
            sampling_time=SAMPLING_TIME,
            binning_mode="OR",
        )
        return spike.reshape(-1, NUM_STEPS), self.labels[self.chosen[i]]

    def __len__(self):
        return len(self.chosen)


training_set = NMNISTDataset(True, TRAINING, augment)
testing_set = NMNISTDataset(False, TESTING)
train_loader = DataLoader(training_set, batch_size=32, shuffle=True)
test_loader = DataLoader(testing_set, batch_size=32)
print("N-MNIST" if root.is_dir() else "the package's digits, as there is no N-MNIST here")
print(f"{len(training_set)} recordings to train with, {len(testing_set)} to test on")

# %% [markdown]
# ## The network
#
# Three dense layers with weight normalization; the first two learn an axonal delay for each neuron, and their neurons
# drop out.


# %%
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        neuron_params = {
            "threshold": 1.25,
            "current_decay": 0.25,
            "voltage_decay": 0.03,
            "tau_grad": 0.03,
            "scale_grad": 3,
            "requires_grad": True,
        }
        neuron_params_drop = {**neuron_params, "dropout": slayer.neuron.Dropout(p=0.05)}
        dense = slayer.block.cuba.Dense
        self.blocks = torch.nn.ModuleList(
            [
                dense(neuron_params_drop, 34 * 34 * 2, 512, weight_norm=True, delay=True),
                dense(neuron_params_drop, 512, 512, weight_norm=True, delay=True),
                dense(neuron_params, 512, 10, weight_norm=True),
            ]
        )

    def forward(self, spike):
        for block in self.blocks:
            spike = block(spike)
        return spike

    def grad_flow(self):
        return [block.synapse.grad_norm for block in self.blocks]

    def export_hdf5(self, filename):
        with h5py.File(filename, "w") as file:
            for i, block in enumerate(self.blocks):
                block.export_hdf5(file.create_group(f"layer/{i}"))


# %% [markdown]
# ## Training
#
# The output neuron of the true digit shall spike in a fifth of all steps, the others in 3 %. `Assistant` makes the
# steps and `LearningStats` keeps the books, as there.

# %%
net = Network()
optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
error = slayer.loss.SpikeRate(true_rate=0.2, false_rate=0.03, reduction="sum")
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(
    net, error, optimizer, stats, classifier=slayer.classifier.Rate.predict
)

for epoch in range(EPOCHS):
    for input, label in train_loader:
        assistant.train(input, label)
    for input, label in test_loader:
        assistant.test(input, label)
    print(f"epoch {epoch + 1}/{EPOCHS}: {stats}")
    stats.update()
    if stats.testing.best_accuracy:
        torch.save(net.state_dict(), folder / "network.pt")
print(
    "gradient of each layer's weights:",
    ", ".join(f"{norm:.1e}" for norm in net.grad_flow()),
)

# %%
stats.plot(figsize=(7, 2.8))

# %% [markdown]
# ## The trained network
#
# The best one of all epochs answers to the test recordings, and is written to a file.

# %%
net.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
net.eval()
input, label = next(iter(test_loader))
with torch.no_grad():
    output = net(input)
answer = slayer.classifier.Rate.predict(output)
print("labels ", label[:20].tolist())
print("answers", answer[:20].tolist())

# %% [markdown]
# The output to a recording that it knows, the true digit in colour.

# %% tags=["thumbnail"]
known = int((answer == label).nonzero()[0])
ax = slayer.plot.raster(
    output[known], names=range(10), highlight=int(label[known]), step_ms=SAMPLING_TIME
)
print("as an event:", slayer.io.tensor_to_event(output[known][None].numpy()))

# %%
net.export_hdf5(folder / "network.net")
print(slayer.netx.inspect(folder / "network.net"))

# %%
plt.show()
