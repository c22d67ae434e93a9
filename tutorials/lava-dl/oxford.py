# %% [markdown]
# # Oxford, as in lava-dl
#
# The network of lava-dl's Oxford tutorial: 200 spike trains go in, and the 200 that come out shall draw a picture, every
# spike at its time. Of its code only the import is another:
#
#     import slayerloss as slayer          # import lava.lib.dl.slayer as slayer
#
# As it stands the script makes 400 updates, in about half a minute. `--full` behind its name, or `FULL = True` below,
# makes the tutorial's 5000.
#
# The two files are looked for in the folder `oxford` where the script is started, or below the folder that
# `SLAYERLOSS_DATA` names; [their card](../../docs/datasets/oxford.md) says where to get them. Where there are none, noise
# goes in and rings of spikes are asked for.

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
UPDATES = 5000 if FULL else 400
NUM_NEURONS, NUM_STEPS = 200, 2000

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
root = Path(os.environ.get("SLAYERLOSS_DATA", "."), "oxford")
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The dataset
#
# One sample: an input and a target. An event of one dimension fills a tensor (C, 1, X, T).


# %%
def stand_in():
    """Noise, and rings that are drawn with spikes."""
    rng = np.random.default_rng(0)
    noise = rng.random((NUM_NEURONS, NUM_STEPS)) < 0.005
    neuron, step = np.mgrid[:NUM_NEURONS, :NUM_STEPS]
    distance = np.hypot(neuron / 100 - 1, step / 1000 - 1)
    drawn = rng.random(noise.shape) < 0.06 * (np.sin(18 * distance) > 0.2) * (distance < 1)
    events = [np.nonzero(spikes) for spikes in (noise, drawn)]
    return [slayer.io.Event(x, None, np.zeros(len(x)), t.astype(float)) for x, t in events]


class OxfordDataset(Dataset):
    def __init__(self):
        if root.is_dir():
            files = root / "input.bs1", root / "output.bs1"
            self.events = [slayer.io.read_1d_spikes(file) for file in files]
        else:
            self.events = stand_in()

    def __getitem__(self, _):
        tensors = [torch.zeros(2, 1, NUM_NEURONS, NUM_STEPS) for _ in self.events]
        filled = [
            event.fill_tensor(x) for event, x in zip(self.events, tensors, strict=True)
        ]
        return [x.amax(0).squeeze(0) for x in filled]

    def __len__(self):
        return 1


training_set = OxfordDataset()
train_loader = DataLoader(training_set, batch_size=1)
print("Oxford" if root.is_dir() else "noise and rings, as there is no Oxford here")
for name, x in zip(("input", "target"), training_set[0], strict=True):
    print(f"{name}: {tuple(x.shape)}, {int(x.sum())} spikes")

# %% [markdown]
# ## The network
#
# Two dense layers. The neurons have no memory in their current, and they learn their decays.


# %%
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        neuron_params = {
            "threshold": 0.1,
            "current_decay": 1,
            "voltage_decay": 0.1,
            "requires_grad": True,
        }
        self.blocks = torch.nn.ModuleList(
            [
                slayer.block.cuba.Dense(neuron_params, 200, 256),
                slayer.block.cuba.Dense(neuron_params, 256, 200),
            ]
        )

    def forward(self, spike):
        for block in self.blocks:
            spike = block(spike)
        return spike

    def export_hdf5(self, filename):
        with h5py.File(filename, "w") as file:
            for i, block in enumerate(self.blocks):
                block.export_hdf5(file.create_group(f"layer/{i}"))


# %% [markdown]
# ## Training
#
# `SpikeTime` compares output and target after a filter, so that a spike which comes a little late is better than none.

# %%
net = Network()
optimizer = torch.optim.Adam(net.parameters(), lr=0.001, weight_decay=1e-5)
error = slayer.loss.SpikeTime(time_constant=2, length=100, filter_order=2, reduction="sum")
stats = slayer.utils.LearningStats()
assistant = slayer.utils.Assistant(net, error, optimizer, stats)

for update in range(UPDATES):
    for input, target in train_loader:
        output = assistant.train(input, target)
    if update % (UPDATES // 10) == 0 or update == UPDATES - 1:
        print(f"update {update}: loss {stats.training.loss:.0f}")
    stats.update()
    if stats.training.best_loss:
        torch.save(net.state_dict(), folder / "network.pt")

# %%
stats.plot(figures=(1, 2), figsize=(7, 2.8))

# %% [markdown]
# ## The picture
#
# The best network's output, and what it should be.

# %% tags=["thumbnail"]
net.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
net.eval()
with torch.no_grad():
    output = net(input)
with slayer.plot.style():
    figure, axes = plt.subplots(1, 2, figsize=(7, 3), layout="constrained", sharey=True)
    for ax, spikes, title in zip(axes, (output, target), ("output", "target"), strict=True):
        event = slayer.io.tensor_to_event(spikes.numpy())
        ax.plot(event.t, event.x, ".", color=slayer.plot.PALETTE[0], markersize=1)
        ax.set(xlabel="time (ms)", title=title, xlim=(0, NUM_STEPS), ylim=(0, NUM_NEURONS))
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("neuron")

# %%
net.export_hdf5(folder / "network.net")
print(slayer.netx.inspect(folder / "network.net"))

# %%
plt.show()
