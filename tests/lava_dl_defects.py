"""The list of what is wrong, or only habit, in lava-dl's slayer, and the two ways of answering a fact of it.

`@deviation(name, *facts)`: it is repaired here; the check shows the right behaviour.
`@convention(name, *facts)`: it stays the default under lava-dl's name; the check shows that, and the named option with
the better form. The documentation renders the names, and the docstrings beside them.
"""

from __future__ import annotations

from collections.abc import Callable

Check = Callable[[], None]

Fact = int | str
"""A number of the list; with a letter where one number has several parts."""

ITEMS: dict[str, dict[Fact, str]] = {
    # wrong results, silently
    "B1.1": {
        29: "the gradient of CUBA's decays has the wrong sign",
        30: "and that of ALIF's",
        31: "that of a resonator's decays has the right one",
        32: "that of ALIF's threshold and refractory decay is zero",
    },
    "B1.2": {
        46: "Pool and Unpool delete the norm from the caller's neuron_params",
        47: "Recurrent and KWTA switch persistent_state on there",
    },
    "B1.3": {33: "decays per channel are broadcast along the width of an image"},
    "B1.4": {
        43: "a Recurrent drops its state silently when the batch size changes",
        "48a": "its state goes from minibatch to minibatch",
        "48b": "it cannot be reset",
    },
    "B1.5": {59: "Pool with a stride below the kernel size mixes channels"},
    "B1.6": {
        27: "a loaded delay is drawn anew",
        28: "all delays start at no step",
        52: "under weight norm, the recurrent weight is frozen and the second step of training fails",
        64: "under weight norm, a mask is ignored",
    },
    "B1.7": {
        71: "Event subtracts the smallest channel, in the caller's array",
        72: "binning by SUM does not add",
        73: "times are rounded, not cut, so that half a bin at the end is lost",
        74: "a spike's amplitude is 1 / sampling_time",
        75: "encode_1d_spikes damages ids from 256 on",
        76: "time stamps wrap at 8.39 s",
        "77a": "encode_np_spikes ignores time_unit",
        "77b": "x beyond 255 wraps there",
        "78a": "tensor to event to tensor loses the channel where only one spikes",
        80: "random_shift drops the beginning of the recording",
    },
    "B1.8": {"56a": "quantize_hook_fx has nine bits", "56b": "a saturated weight has no gradient"},
    "B1.9": {
        36: "a threshold is cut to multiples of 1/64",
        37: "tau_grad and scale_grad have hidden factors",
    },
    "B1.10": {"41a": "half precision changes spikes silently", "41b": "so does autocast"},
    "B1.11": {39: "the gradient ignores resets"},
    # losses and classifiers
    "B2.1": {1: "calling MovingWindow gives None"},
    "B2.2": {
        2: "SpikeMax is infinite where the true class is silent",
        3: "with a window it is so at every start",
        4: "and its gradient is NaN",
    },
    "B2.3": {5: "SpikeMax in softmax mode takes rates as logits, and never gets below 1.46 for ten classes"},
    "B2.4": {
        7: "SpikeRate with a window fails with one label a sample",
        8: "replicate takes neither integers nor one or five dimensions",
    },
    "B2.5": {
        6: "unknown modes are taken for another, or give None",
        9: "the documented factor of a half and the square are not in the code",
        12: "the documented default of theta is not the code's",
    },
    "B2.6": {10: "'sum' grows with batch and time"},
    "B2.7": {
        "11a": "SpikeMoid fails with integer labels and with one label a sample",
        "11b": "it saturates",
    },
    "B2.8": {
        "13a": "MovingWindow.predict gives (N, H, W, T) for images",
        "13b": "Rate.rate keeps the space",
        14: "the rate of a window that is not full yet is too low",
    },
    "B2.9": {
        "15a": "bool, integer, half and double spikes fail in losses and classifiers",
        "15b": "bool and integer spikes fail in neurons",
        16: "int32 labels fail",
    },
    "B2.10": {
        "17a": "filters of higher order are not normalised",
        "17b": "their buffers have another shape",
        18: "filters are cut at 100 steps whatever their time constant",
    },
    "B2.11": {
        "20a": "FIR has no gradient of the filter",
        "20b": "it has no torch.func",
        "20c": "it costs T times its length",
        23: "FIRBank fails with a sampling_time",
    },
    # crashes, and holes in the interface
    "B3.1": {45: "count_log fails in every spiking block"},
    "B3.2": {51: "blocks with persistent_state, and KWTA, fail in training"},
    "B3.3": {34: "ADRF-IZ's forward fails"},
    "B3.4": {35: "neuron_params of adrf and adrf_iz fail; ALIF's threshold_step is wrong there"},
    "B3.5": {53: "rf and rf_iz have an Affine that cannot be made"},
    "B3.6": {66: "Delta with cum_error fails"},
    "B3.7": {
        49: "a Recurrent's checkpoint never loads",
        "50a": "checkpoints with delays do not load into a fresh model",
        "50b": "nor do those with norms",
        "50c": "nor those with decays per channel",
    },
    "B3.8": {
        "54a": "Flatten of (N, C, T) fails",
        "54b": "the export of Average, TimeDecimation, Input() and rf.Conv fails",
    },
    "B3.9": {"55a": "export fails without pre_hook_fx", "55b": "it takes weight norm off the live model"},
    "B3.10": {58: "Pool of images that the stride does not divide fails"},
    "B3.11": {60: "models cannot be copied or pickled"},
    "B3.12": {62: "a norm without a hook has no bias"},
    "B3.13": {67: "Assistant.valid needs net.device"},
    "B3.14": {
        "69a": "LearningStats.update fails after an empty epoch",
        "69b": "its load does nothing",
        70: "SequentialNetwork has neither convolution nor pooling, and eleven classes",
    },
    "B3.15": {"78b": "empty recordings fail"},
    "B3.16": {"44a": "no torch.func and no vmap of the neurons", "44b": "and of the blocks"},
    "B3 Design": {
        25: "a shift per neuron is a loop in Python",
        42: "shapes are frozen by the first forward",
        61: "blocks share one dropout",
        63: "grad_norm fails before there is a gradient",
        68: "statistics add up the losses of batches",
        79: "reading events is slow",
    },
}
"""Item of the list, number of the fact, the fact."""

DEVIATIONS: dict[str, Check] = {}
CONVENTIONS: dict[str, Check] = {}
ANSWERED: dict[Fact, list[str]] = {}
"""What answers a fact."""


def deviation(name: str, *facts: Fact) -> Callable[[Check], Check]:
    """A check of something that is otherwise here than in lava-dl; of a defect on the list, its facts."""
    return _listed(DEVIATIONS, name, facts)


def convention(name: str, *facts: Fact) -> Callable[[Check], Check]:
    """A check of something that is as in lava-dl unless an option asks for the better form."""
    return _listed(CONVENTIONS, name, facts)


def _listed(checks: dict[str, Check], name: str, facts: tuple[Fact, ...]) -> Callable[[Check], Check]:
    def listed(check: Check) -> Check:
        assert name not in DEVIATIONS, name
        assert name not in CONVENTIONS, name
        checks[name] = check
        for fact in facts:
            ANSWERED.setdefault(fact, []).append(name)
        return check

    return listed
