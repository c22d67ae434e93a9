# %% [markdown]
# # Bootstrap training, as in lava-dl
#
# Training with spikes computes 16 steps where training without computes one. lava-dl's bootstrap tutorial trains MNIST
# mostly without: now and then the network runs with spikes and its layers measure which rate they answer with to which
# input; a piecewise linear function is fitted through that, and until the next time it takes the neurons'
# place, in one step. Of its code only the imports are others:
#
#     import slayerloss as slayer          # import lava.lib.dl.slayer as slayer
#     from slayerloss import bootstrap     # import lava.lib.dl.bootstrap as bootstrap
#
# MNIST is not there: the images are the 1797 handwritten digits that come with the package, 8x8 pixels made 28x28. As it
# stands the script trains 21 epochs in about half a minute. `--full` behind its name, or `FULL = True` below, is the
# tutorial's 100.

# %%
import sys
import tempfile
from importlib import resources
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

import slayerloss as slayer
from slayerloss import bootstrap

FULL = "--full" in sys.argv
EPOCHS = 100 if FULL else 21
NUM_STEPS = 16

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The images

# %%
with resources.as_file(resources.files("slayerloss") / "data" / "digits.npz") as path:
    digits = np.load(path)
    images = torch.from_numpy(digits["images"] / 16.0).float()[:, None]
    labels = torch.from_numpy(digits["labels"]).long()
    is_test = torch.from_numpy(digits["test"])
images = F.interpolate(images, size=(28, 28), mode="bilinear")  # (N, C, H, W)

training_set = TensorDataset(images[~is_test], labels[~is_test])
testing_set = TensorDataset(images[is_test], labels[is_test])
train_loader = DataLoader(training_set, batch_size=32, shuffle=True)
test_loader = DataLoader(testing_set, batch_size=32)
print(f"{len(training_set)} images to train with, {len(testing_set)} to test on")

# %% [markdown]
# ## The network
#
# Every block takes its mode. In the modes with spikes an image is shown for 16 steps, in the others for one.

# %%
neuron_params = {
    "threshold": 1.25,
    "current_decay": 1,
    "voltage_decay": 0.03,
    "tau_grad": 1,
    "scale_grad": 1,
}
weights = dict(weight_norm=True, weight_scale=2)


class Network(torch.nn.Module):
    def __init__(self, num_steps=NUM_STEPS):
        super().__init__()
        self.num_steps = num_steps
        block = bootstrap.block.cuba
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(neuron_params, weight=1, bias=0),
                block.Dense(neuron_params, 28 * 28, 512, **weights),
                block.Dense(neuron_params, 512, 512, **weights),
                block.Affine(neuron_params, 512, 10, **weights),
            ]
        )

    def forward(self, x, mode):
        if mode.base_mode == bootstrap.Mode.ANN:
            x = x[..., None]
        else:
            x = slayer.utils.time.replicate(x, self.num_steps)
        x = x.reshape(len(x), -1, x.shape[-1])
        for block, block_mode in zip(self.blocks, mode, strict=False):
            x = block(x, mode=block_mode)
        return x

    def export_hdf5(self, filename):
        with h5py.File(filename, "w") as file:
            for i, block in enumerate(self.blocks):
                block.export_hdf5(file.create_group(f"layer/{i}"))


# %% [markdown]
# ## Training
#
# The scheduler says which batch runs how: every tenth epoch begins with ten batches in which the layers are sampled, and
# one in which they are fitted. These epochs are tested with spikes, the others without.

# %%
net = Network()
optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
stats = slayer.utils.LearningStats()
scheduler = bootstrap.routine.Scheduler()


def count(stat, output, label):
    """The loss, and what a LearningStat wants to know."""
    rates = output.mean(-1)
    loss = F.cross_entropy(rates, label)
    stat.num_samples += len(label)
    stat.loss_sum += loss.item() * len(label)
    stat.correct_samples += int((rates.argmax(1) == label).sum())
    return loss


for epoch in range(EPOCHS):
    net.train()
    for i, (input, label) in enumerate(train_loader):
        mode = scheduler.mode(epoch, i, net.training)
        loss = count(stats.training, net(input, mode), label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    net.eval()
    with torch.no_grad():
        for i, (input, label) in enumerate(test_loader):
            mode = scheduler.mode(epoch, i, net.training)
            count(stats.testing, net(input, mode), label)
    if mode.base_mode == bootstrap.Mode.SNN:
        scheduler.sync_snn_stat(stats.testing)
        print(f"epoch {epoch}, tested with spikes: {stats}")
        scheduler.update_snn_stat()
        if scheduler.snn_stat.best_accuracy:
            torch.save(net.state_dict(), folder / "network.pt")
    stats.update()
print(f"best accuracy with spikes: {scheduler.snn_stat.max_accuracy:.1%}")

# %%
stats.plot(figsize=(7, 2.8))

# %% [markdown]
# In epochs 0, 10 and 20 the network was sampled and tested with spikes. The jumps are the difference between the
# function and the neurons that it stands for; they shrink, since what is learned has to work with both.
#
# ## What the layers measured
#
# Each point is a neuron that saw an image: the mean of its weighted input, and the rate that it answered with. The line
# is what took its place.

# %% tags=["thumbnail"]
figure = net.blocks[2].f.plot(figsize=(5.6, 3.0))

# %% [markdown]
# ## With and without spikes
#
# The best network, in both ways.

# %%
net.load_state_dict(torch.load(folder / "network.pt", weights_only=True))
for name in ("SNN", "ANN"):
    mode = bootstrap.routine.LayerMode(0, bootstrap.Mode[name])
    with torch.no_grad():
        answers = [net(input, mode).mean(-1).argmax(1) for input, _ in test_loader]
    right = (torch.cat(answers) == labels[is_test]).float().mean()
    print(f"{name}: {right:.1%} of the test images are recognised")

# %% [markdown]
# ## On the chip
#
# The file of lava-dl's tutorial, with the readout as a layer that cannot spike:

# %%
net.export_hdf5(folder / "network.net")
print(slayer.netx.inspect(folder / "network.net"))

# %% [markdown]
# The state dict is that of plain blocks, too. With these the spiking layers can be exported and compared, spike by spike,
# with what the chip's integers give.

# %%
block = slayer.block.cuba
plain = torch.nn.Sequential(
    block.Input(neuron_params, weight=1, bias=0),
    block.Dense(neuron_params, 28 * 28, 512, **weights),
    block.Dense(neuron_params, 512, 512, **weights),
)
plain.load_state_dict(net.blocks[:-1].state_dict())
slayer.netx.export(plain, folder / "spiking.net", input_shape=(28 * 28,))
shown = slayer.utils.time.replicate(images[is_test].flatten(1), NUM_STEPS)
print(slayer.netx.compare(plain, folder / "spiking.net", shown))

# %%
plt.show()
