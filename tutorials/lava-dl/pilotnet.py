# %% [markdown]
# # PilotNet with sigma-delta neurons, as in lava-dl
#
# A camera in a car sees the road, and the network says how far to turn the wheel. A sigma-delta neuron sends only what
# has changed since its last message, and where the road ahead looks as it did, that is nothing. Of lava-dl's code only
# the import is another:
#
#     import slayerloss as slayer          # import lava.lib.dl.slayer as slayer
#
# The recordings of lava-dl's tutorial are not there: the script draws its own drives, in the same format, and its
# numbers are not to be compared with those of real ones. As it stands it trains for about a minute. `--full` behind its
# name, or `FULL = True` below, is the tutorial's 200 epochs, with more drives.

# %%
import sys
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, Dataset

import slayerloss as slayer

FULL = "--full" in sys.argv
EPOCHS = 200 if FULL else 12
TRAINING, TESTING = (500, 100) if FULL else (64, 16)
NUM_STEPS = 16

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The drives
#
# A road in perspective, 33x100 pixels: sky, grass, asphalt and a dashed line. It bends, and the bend changes slowly. The
# car is not quite in the middle. The angle that is asked for follows the bend and brings the car back.


# %%
def drive(rng):
    """Images (3, 33, 100, T), of mean 0 and deviation 1, and angles (T,) in radian."""
    t = np.arange(NUM_STEPS)
    phase, pace = rng.uniform(0, 2 * np.pi), rng.uniform(0.05, 0.25)
    bend = rng.uniform(0.2, 1.0) * np.sin(phase + pace * t)
    aside = rng.uniform(-0.3, 0.3) * np.cos(pace * t)
    speed = rng.uniform(0.1, 0.6)

    row, column = np.mgrid[:33, :100]
    row, column = row[..., None], column[..., None]
    below = np.clip((row - 9) / 23, 1e-3, 1)  # 0 at the horizon, 1 at the bumper
    middle = 50 + 38 * bend * (1 - below) ** 2 - 40 * aside * below
    across = (column - middle) / (6 + 42 * below)  # -1 and 1 are the edges of the road
    dash = np.sin(2 * np.pi * (1.5 / (below + 0.15) + speed * t)) > 0

    colors = {"sky": (0.5, 0.7, 0.9), "grass": (0.2, 0.5, 0.2), "road": (0.35, 0.35, 0.35)}
    image = np.empty((3, 33, 100, NUM_STEPS))
    image[:] = np.array(colors["grass"])[:, None, None, None]
    image = np.where(
        np.abs(across) < 1, np.array(colors["road"])[:, None, None, None], image
    )
    image = np.where((np.abs(across) < 0.06) & dash, 0.95, image)
    image = np.where(row < 9, np.array(colors["sky"])[:, None, None, None], image)
    image = (image - image.mean()) / image.std()
    return image.astype(np.float32), (0.5 * bend - 0.4 * aside).astype(np.float32)


class Drives(Dataset):
    def __init__(self, number, seed):
        rng = np.random.default_rng(seed)
        self.drives = [drive(rng) for _ in range(number)]

    def __getitem__(self, i):
        return self.drives[i]

    def __len__(self):
        return len(self.drives)


training_set, testing_set = Drives(TRAINING, seed=0), Drives(TESTING, seed=1)
train_loader = DataLoader(training_set, batch_size=8, shuffle=True)
test_loader = DataLoader(testing_set, batch_size=8)

with slayer.plot.style():
    figure, axes = plt.subplots(1, 4, figsize=(7, 1.2), layout="constrained")
    images, angles = testing_set[0]
    for ax, t in zip(axes, (0, 5, 10, 15), strict=True):
        ax.imshow(np.clip(0.5 + images[..., t].transpose(1, 2, 0) / 5, 0, 1))
        ax.set_title(f"step {t}: {angles[t]:+.2f} rad", fontsize=8)
        ax.axis("off")

# %% [markdown]
# ## The network
#
# Convolutions and dense layers with lava-dl's sizes. The thresholds, below which a change is not sent, are learned. A
# loss on the size of the messages keeps them small.


# %%
def event_rate_loss(x, max_rate=0.01):
    return F.relu(x.abs().mean() - max_rate) ** 2


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        sdnn_params = {
            "threshold": 0.1,
            "tau_grad": 0.5,
            "scale_grad": 1,
            "requires_grad": True,
            "shared_param": True,
            "activation": F.relu,
        }
        cnn_params = {**sdnn_params, "norm": slayer.neuron.norm.MeanOnlyBatchNorm}
        dense_params = {**cnn_params, "dropout": slayer.neuron.Dropout(p=0.2)}
        block = slayer.block.sigma_delta
        weights = dict(weight_scale=2, weight_norm=True)
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(sdnn_params),
                block.Conv(cnn_params, 3, 24, 3, padding=0, stride=2, **weights),
                block.Conv(cnn_params, 24, 36, 3, padding=0, stride=2, **weights),
                block.Conv(cnn_params, 36, 64, 3, padding=(1, 0), stride=(2, 1), **weights),
                block.Conv(cnn_params, 64, 64, 3, padding=0, stride=1, **weights),
                block.Flatten(),
                block.Dense(dense_params, 64 * 40, 100, **weights),
                block.Dense(dense_params, 100, 50, **weights),
                block.Dense(dense_params, 50, 10, **weights),
                block.Output(dense_params, 10, 1, **weights),
            ]
        )

    def forward(self, x):
        count, event_cost = [], 0
        for block in self.blocks:
            x = block(x)
            if hasattr(block, "neuron"):
                event_cost = event_cost + event_rate_loss(x)
                count.append((x[..., 1:] != 0).float().mean().item())
        return x, event_cost, torch.tensor(count)

    def export_hdf5(self, filename):
        with h5py.File(filename, "w") as file:
            for i, block in enumerate(self.blocks):
                block.export_hdf5(file.create_group(f"layer/{i}"))


# %% [markdown]
# ## Training


# %%
def error(output, target):
    return F.mse_loss(output.flatten(), target.flatten())


net = Network()
optimizer = torch.optim.RAdam(net.parameters(), lr=0.001, weight_decay=1e-5)
stats = slayer.utils.LearningStats(loss_unit="(rad²)")
assistant = slayer.utils.Assistant(net, error, optimizer, stats, count_log=True, lam=0.01)

for epoch in range(EPOCHS):
    if epoch in (60, 120, 160):
        assistant.reduce_lr(factor=10 / 3)
    for input, target in train_loader:
        assistant.train(input, target)
    for input, target in test_loader:
        output, count = assistant.test(input, target)
    print(f"epoch {epoch + 1}/{EPOCHS}: {stats}")
    stats.update()
    if stats.testing.best_loss:
        torch.save(net.state_dict(), folder / "network.pt")

# %%
stats.plot(figures=(2, 3), figsize=(7, 2.8))

# %% [markdown]
# ## What it says
#
# All test images on the left, one drive on the right: the angle that was asked for, and what the best network says.

# %% tags=["thumbnail"]
net.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
net.eval()
with torch.no_grad():
    outputs, _, counts = zip(*(net(input) for input, _ in test_loader), strict=True)
said = torch.cat(outputs)[:, 0]
asked = torch.cat([target for _, target in test_loader])
widest = int((asked.amax(1) - asked.amin(1)).argmax())
with slayer.plot.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7, 3), layout="constrained")
    left.plot(
        asked.flatten(), said.flatten(), "o", color=slayer.plot.PALETTE[0], markersize=2
    )
    left.plot([-0.5, 0.5], [-0.5, 0.5], color="#757575", linestyle="--", linewidth=0.8)
    left.set(xlabel="target (rad)", ylabel="output (rad)", aspect="equal")
    right.plot(asked[widest], color="#757575", linestyle="--", label="target")
    right.plot(said[widest], color=slayer.plot.PALETTE[0], label="output")
    right.set(xlabel="step", ylabel="angle (rad)")
    right.legend(frameon=False)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)

# %% [markdown]
# ## What is sent
#
# A network that works with values would send all of them in every step. This is the share that this one sends.

# %%
share = torch.stack(counts).mean(0)[:-1]
layers = ["input", "conv 1", "conv 2", "conv 3", "conv 4", "dense 1", "dense 2", "dense 3"]
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 2.4), layout="constrained")
    ax.barh(layers[::-1], 100 * share.flip(0), color=slayer.plot.PALETTE[0], height=0.6)
    ax.set(xlabel="messages per neuron and step (%)")
    ax.spines[["top", "right"]].set_visible(False)

# %%
net.export_hdf5(folder / "network.net")
print(slayer.netx.inspect(folder / "network.net"))

# %%
plt.show()
