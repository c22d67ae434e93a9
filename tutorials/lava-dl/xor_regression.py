# %% [markdown]
# # XOR as a regression, as in lava-dl
#
# The network of lava-dl's XOR tutorial: two numbers go in, an affine readout gives a real number after ten steps, and
# that shall be their exclusive or. Of its code only the import is another:
#
#     import slayerloss as slayer          # import lava.lib.dl.slayer as slayer
#
# The script has the tutorial's own length, 500 epochs, which take a few seconds.

# %%
import tempfile
from pathlib import Path

import h5py
import matplotlib.pyplot as plt
import torch
from torch.utils.data import DataLoader, TensorDataset

import slayerloss as slayer

EPOCHS = 500
NUM_STEPS = 10

torch.manual_seed(0)
torch.set_num_threads(1)  # small tensors: a second thread would mostly wait
folder = Path(tempfile.mkdtemp())

# %% [markdown]
# ## The dataset
#
# Four samples. `replicate` holds a value for all steps.

# %%
values = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
inputs = slayer.utils.time.replicate(values, NUM_STEPS)  # (4, 2, T)
targets = torch.tensor([[0.0], [1.0], [1.0], [0.0]])
loader = DataLoader(TensorDataset(inputs, targets), batch_size=4, shuffle=True)

# %% [markdown]
# ## The network
#
# `Input` turns numbers into spikes, `Affine` spikes into a number: with `dynamics=False` it is the weighted sum of the
# last layer's spikes, and no neuron stands behind it. `count_log=True` lets every block also return how often its
# neurons spike.


# %%
class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        neuron_params = {"threshold": 0.1, "current_decay": 0.9, "voltage_decay": 0.9}
        block = slayer.block.cuba
        self.blocks = torch.nn.ModuleList(
            [
                block.Input(neuron_params, weight=1, bias=0, count_log=True),
                block.Dense(neuron_params, 2, 32, count_log=True),
                block.Dense(neuron_params, 32, 32, count_log=True),
                block.Affine(neuron_params, 32, 1, dynamics=False, count_log=True),
            ]
        )

    def forward(self, x):
        count = []
        for block in self.blocks:
            x, events = block(x)
            if events is not None:
                count.append(events.item())
        return x, torch.tensor(count)

    def export_hdf5(self, filename):
        """The spiking layers; the readout is computed off the chip."""
        with h5py.File(filename, "w") as file:
            for i, block in enumerate(self.blocks[:-1]):
                block.export_hdf5(file.create_group(f"layer/{i}"))


# %% [markdown]
# ## Training
#
# The loss looks at the last step only, and so does the classifier, for which a number above one half means true.


# %%
def error(output, target):
    return torch.nn.functional.mse_loss(output[..., -1], target)


def classifier(output):
    return (output[..., -1] > 0.5).float()


net = Network()
optimizer = torch.optim.AdamW(net.parameters(), lr=0.001)
stats = slayer.utils.LearningStats(accuracy_str="accuracy")
assistant = slayer.utils.Assistant(net, error, optimizer, stats, classifier, count_log=True)

for epoch in range(EPOCHS):
    for input, target in loader:
        output, count = assistant.train(input, target)
    if epoch % 50 == 0 or epoch == EPOCHS - 1:
        print(
            f"epoch {epoch}: loss {stats.training.loss:.4f}, accuracy {stats.training.accuracy}"
        )
    stats.update()
print(
    "share of steps in which a neuron spikes, layer by layer:", [f"{x:.1%}" for x in count]
)

# %%
stats.plot(figsize=(7, 2.8))

# %% [markdown]
# ## How the answer comes about
#
# The readout after each step. The spikes take two steps through the layers, and the tenth step is
# the one that was trained.

# %% tags=["thumbnail"]
net.eval()
with torch.no_grad():
    output, _ = net(inputs)
with slayer.plot.style():
    figure, ax = plt.subplots(figsize=(5.6, 3.0), layout="constrained")
    for (a, b), trace, color in zip(
        values, output[:, 0], slayer.plot.PALETTE, strict=False
    ):
        ax.plot(
            range(1, NUM_STEPS + 1), trace, "o-", color=color, label=f"{a:.0f} xor {b:.0f}"
        )
    for level in (0, 1):
        ax.axhline(level, color="#757575", linewidth=0.7, linestyle=(0, (1, 3)))
    ax.set(xlabel="step", ylabel="readout")
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside right upper", frameon=False)
for row, answer, target in zip(values, output[:, 0, -1], targets, strict=True):
    print(f"{row.tolist()}: {answer:.3f}, should be {target.item()}")

# %%
net.export_hdf5(folder / "network.net")
print(slayer.netx.inspect(folder / "network.net"))

# %%
plt.show()
