"""The public names, as they are promised: a name that comes or goes shows here."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from typing import Any

import pytest

import slayerloss

PUBLIC = {
    "": """ArgumentError BackendError DivergedError DtypeError FileError FormatError MissingFileError
        MissingPackageError ShapeError SlayerError __version__ auto axon block bootstrap classifier data debug_checks
        dendrite filter functional io kernels loss netx neuron plot regularizer spike synapse train
        use_backend utils""",
    "auto": "SequentialNetwork",
    "axon": "Delay Delta delay",
    "block": "BlockState SpikingBlock adrf adrf_iz alif cuba reset_state rf rf_iz sigma_delta",
    "block.adrf": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.adrf_iz": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.alif": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.cuba": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.rf": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.rf_iz": "Affine Average Conv ConvT Dense Flatten Input KWTA Pool Recurrent TimeDecimation Unpool",
    "block.sigma_delta": "Average Conv ConvT Dense Flatten Input Output Pool Unpool",
    "bootstrap": "Mode ann_sampler block routine",
    "bootstrap.ann_sampler": "AnnSampler",
    "bootstrap.block": "base cuba",
    "bootstrap.block.base": "AbstractBlock Mode",
    "bootstrap.block.cuba": "Affine Conv Dense Flatten Input",
    "bootstrap.routine": "LayerMode Mode Scheduler",
    "classifier": "MovingWindow Rate",
    "cli": "main",
    "dendrite": "Sigma",
    "data": """Digits EventDataset Finding NMNIST Oxford augment check collate collate_padded stratified_split""",
    "filter": "ExponentialFilter FIR FIRBank FilterBank MovingWindow",
    "functional": """AdaptiveState CubaState DeltaState ResonatorState SigmaDeltaState WindowState adapted
        adaptive_threshold bounds_clip bounds_cost bounds_penalty causal_conv causal_corr confidence conv
        conv_transpose count cuba dale_ dale_hinge dale_law dale_law_l2 delay delta dense event_rate excitatory_ratio
        exponential_filter exponential_kernel filter_bank fire from_time_last hoyer hoyer_penalty integrate_and_fire
        l0_norm_approx l2sqr_norm latency_to_decision leaky_integrator logsoftmax lp_norm make_bounds
        membrane_excursion moving_window mse operator_norm phase_spike predict quantize quantize_weight rate
        rate_band ratio_loss recurrent_cuba resonator resonator_state shift sigma sigma_delta softmax sparsity spike
        spike_max spike_moid spike_rate spike_time sse summed_exp_boundary_loss synaptic_operations
        temporal_smoothness to_time_last total_events treves_rolls van_rossum_distance weights_distance""",
    "io": """Event SUFFIXES bins crop encode_1d_spikes encode_2d_spikes encode_np_spikes from_frames from_structured
        read read_1d_spikes read_2d_spikes read_np_spikes replacing tensor_to_event to_frames to_structured write""",
    "kernels": "reference use_backend",
    "loss": "SparsityEnforcer SpikeMax SpikeMoid SpikeRate SpikeTime",
    "netx": """Comparison Description Difference Energy Figures Finding LOIHI Layer LayerDifference LayerOperations
        Network Operations Quirks Recording State check compare describe energy export hdf5 inspect operations quirks
        read to_torch write""",
    "neuron": "Dropout adrf adrf_iz alif base cuba dynamics norm rf rf_iz sigma_delta",
    "neuron.adrf": "AdrfState Neuron neuron_params",
    "neuron.adrf_iz": "AdrfState Neuron neuron_params",
    "neuron.alif": "AlifState Neuron neuron_params",
    "neuron.cuba": "Neuron neuron_params",
    "neuron.dynamics": "adaptive_phase_th adaptive_resonator adaptive_threshold leaky_integrator resonator",
    "neuron.dynamics.adaptive_phase_th": "dynamics persistent_ref_state persistent_th_state",
    "neuron.dynamics.adaptive_resonator": "dynamics persistent_ref_state persistent_th_state",
    "neuron.dynamics.adaptive_threshold": "dynamics persistent_ref_state persistent_th_state",
    "neuron.dynamics.leaky_integrator": "dynamics persistent_state",
    "neuron.dynamics.resonator": "dynamics persistent_imag_state persistent_real_state",
    "neuron.sigma_delta": "Neuron SigmaDeltaState neuron_params",
    "neuron.norm": "MeanOnlyBatchNorm WgtScaleBatchNorm",
    "neuron.rf": "Neuron neuron_params",
    "neuron.rf_iz": "Neuron neuron_params",
    "plot": """Evaluation PALETTE Sample animate_event confidence_traces confusion_matrix decision_figure
        energy_per_layer error_figure error_traces event_frames events_per_layer filter_responses impulse_responses
        learning_curve penalty_curves raster raster_pair rate_traces read_metrics report run_figures set_caption
        show_event style weight_histogram""",
    "regularizer": """ActivityCollector ActivityPenalty BaseRegularization Bounds DaleHinge DaleLaw DaleLawL2
        ExcRatioTargetRegularization Hoyer InhRatioTargetRegularization L1 L2 LayerActivity Lp MembraneExcursion
        NotFinite OperatorNorm ParameterBoundaryRegularizer Penalty RateBand RegularizationList Regularized SignRatio
        SynapticOperations TemporalSmoothness TotalEvents TrevesRolls WeightSchedule WeightsDistance bounds_clip
        bounds_cost bounds_penalty dale_ dale_hinge dale_law dale_law_l2 excitatory_ratio hoyer hoyer_penalty
        l0_norm_approx l2sqr_norm locate_not_finite logsoftmax lp_norm make_bounds membrane_excursion mse
        operator_norm rate_band ratio_loss softmax sse summed_exp_boundary_loss synaptic_operations
        temporal_smoothness total_events treves_rolls weights_distance""",
    "spike": "Spike complex",
    "spike.complex": "Spike",
    "synapse": "Conv ConvTranspose Dense Pool Synapse Unpool complex layer",
    "synapse.complex": "ComplexSynapse Conv ConvTranspose Dense Pool Unpool",
    "synapse.layer": "Conv ConvTranspose Dense Pool Unpool",
    "train": """DataOptions EventData Learner Network NetworkOptions Recipe RegularizerCallback Run Schedule
        TrainerOptions build_data build_learner build_network fit read_recipe write_recipe""",
    "utils": """Assistant LearningStat LearningStats QUANTIZE_MODE diagonal_mask dotdict event_rate filter int_utils
        quantize quantize_hook_fx recurrent staticproperty time""",
    "utils.filter": "FIR FIRBank conv corr",
    "utils.int_utils": "right_shift_to_zero",
    "utils.recurrent": "custom_recurrent custom_recurrent_ground_truth_1 custom_recurrent_ground_truth_2",
    "utils.time": "replicate shift",
}

NO_EXAMPLE = {
    "data.EventDataset": "a base class; NMNIST, Oxford and Digits have one",
    "netx.inspect": "needs a file; the tutorials show it",
    "netx.write": "needs a file; the tutorials show it",
    "plot.read_metrics": "needs a run; the tutorials show it",
    "plot.set_caption": "works on a figure of the user's",
    "train.EventData": "needs a recipe and data; the tutorials show it",
    "train.Run": "needs a folder of a run; the tutorials show it",
    "train.build_data": "needs data; the tutorials show it",
    "train.build_learner": "needs a recipe; the tutorials show it",
    "train.fit": "trains for minutes; the tutorials show it",
    "train.write_recipe": "writes a file; read_recipe has one",
}


def module_of(name: str) -> Any:
    return importlib.import_module(f"slayerloss.{name}" if name else "slayerloss")


def public_callables() -> list[tuple[str, Any]]:
    return [
        (f"{name}.{attribute}", getattr(module_of(name), attribute))
        for name, names in PUBLIC.items()
        for attribute in names.split()
        if callable(getattr(module_of(name), attribute))
    ]


def is_record(value: Any) -> bool:
    """Whether a class only holds values: a dataclass, a NamedTuple, or an exception."""
    if not inspect.isclass(value):
        return False
    return dataclasses.is_dataclass(value) or hasattr(value, "_fields") or issubclass(value, Exception)


@pytest.mark.parametrize("name", PUBLIC)
def test_all_is_what_was_promised(name):
    module = module_of(name)
    assert sorted(module.__all__) == sorted(PUBLIC[name].split())
    assert all(hasattr(module, attribute) for attribute in module.__all__)


def test_every_subpackage_is_listed():
    packages = {info.name for info in pkgutil.iter_modules(slayerloss.__path__) if not info.name.startswith("_")}
    assert packages - {"cli"} == {name for name in PUBLIC if name and "." not in name} - {"cli"}
    assert packages - {"cli"} <= set(slayerloss.__all__)


def test_unknown_names_raise_and_dir_lists_the_public_ones():
    with pytest.raises(AttributeError, match="no attribute 'losses'"):
        _ = slayerloss.losses
    assert set(slayerloss.__all__) <= set(dir(slayerloss))


@pytest.mark.parametrize(("name", "value"), public_callables(), ids=[name for name, _ in public_callables()])
def test_public_callables_have_a_docstring_with_an_example(name, value):
    text = inspect.getdoc(value)
    assert text, name
    assert text.splitlines()[0].rstrip().endswith("."), f"{name}: the docstring starts with a sentence"
    if not is_record(value) and name not in NO_EXAMPLE:
        assert ">>>" in text, f"{name} has no example"


def test_what_needs_no_example_exists_and_has_none():
    names = dict(public_callables())
    for name in NO_EXAMPLE:
        assert ">>>" not in (inspect.getdoc(names[name]) or ""), f"{name} has an example now"
