"""Penalties: on parameters and connectomes, and on the activity of a network."""

from __future__ import annotations

from slayerloss.functional.activity import membrane_excursion, synaptic_operations, temporal_smoothness, total_events
from slayerloss.functional.bounds import (
    bounds_clip,
    bounds_cost,
    bounds_penalty,
    make_bounds,
    summed_exp_boundary_loss,
)
from slayerloss.functional.connectome import (
    dale_hinge,
    dale_law,
    dale_law_l2,
    excitatory_ratio,
    ratio_loss,
    weights_distance,
)
from slayerloss.functional.dale import dale_
from slayerloss.functional.norms import l0_norm_approx, l2sqr_norm, lp_norm, mse, operator_norm, sse
from slayerloss.functional.population import hoyer, hoyer_penalty, treves_rolls
from slayerloss.functional.softmax import logsoftmax, softmax
from slayerloss.functional.sparsity import rate_band
from slayerloss.regularizer.activity import (
    ActivityPenalty,
    Hoyer,
    LayerActivity,
    MembraneExcursion,
    RateBand,
    SynapticOperations,
    TemporalSmoothness,
    TotalEvents,
    TrevesRolls,
)
from slayerloss.regularizer.base import BaseRegularization, RegularizationList
from slayerloss.regularizer.bounds import Bounds, ParameterBoundaryRegularizer
from slayerloss.regularizer.collector import ActivityCollector
from slayerloss.regularizer.connectome import (
    ExcRatioTargetRegularization,
    InhRatioTargetRegularization,
    SignRatio,
    WeightsDistance,
)
from slayerloss.regularizer.dale import DaleHinge, DaleLaw, DaleLawL2
from slayerloss.regularizer.locate import NotFinite, locate_not_finite
from slayerloss.regularizer.norms import L1, L2, Lp, OperatorNorm
from slayerloss.regularizer.penalty import Penalty
from slayerloss.regularizer.regularized import Regularized
from slayerloss.regularizer.schedule import WeightSchedule

__all__ = [
    "L1",
    "L2",
    "ActivityCollector",
    "ActivityPenalty",
    "BaseRegularization",
    "Bounds",
    "DaleHinge",
    "DaleLaw",
    "DaleLawL2",
    "ExcRatioTargetRegularization",
    "Hoyer",
    "InhRatioTargetRegularization",
    "LayerActivity",
    "Lp",
    "MembraneExcursion",
    "NotFinite",
    "OperatorNorm",
    "ParameterBoundaryRegularizer",
    "Penalty",
    "RateBand",
    "RegularizationList",
    "Regularized",
    "SignRatio",
    "SynapticOperations",
    "TemporalSmoothness",
    "TotalEvents",
    "TrevesRolls",
    "WeightSchedule",
    "WeightsDistance",
    "bounds_clip",
    "bounds_cost",
    "bounds_penalty",
    "dale_",
    "dale_hinge",
    "dale_law",
    "dale_law_l2",
    "excitatory_ratio",
    "hoyer",
    "hoyer_penalty",
    "l0_norm_approx",
    "l2sqr_norm",
    "locate_not_finite",
    "logsoftmax",
    "lp_norm",
    "make_bounds",
    "membrane_excursion",
    "mse",
    "operator_norm",
    "rate_band",
    "ratio_loss",
    "softmax",
    "sse",
    "summed_exp_boundary_loss",
    "synaptic_operations",
    "temporal_smoothness",
    "total_events",
    "treves_rolls",
    "weights_distance",
]
