"""Figures: functions that take an Axes and return it, or a Figure where several Axes belong together.

Events, spikes and labels may be torch tensors or arrays, of one sample or of a batch. Without an Axes or a figure,
pyplot makes one, so that `plt.show()` and notebooks find it; nothing here calls `plt.show`.
"""

from __future__ import annotations

from slayerloss._check import check_installed

check_installed("slayerloss.plot", "matplotlib", "plot")

# Below the check, since they import matplotlib.
from slayerloss.plot.curves import events_per_layer, learning_curve, penalty_curves, read_metrics  # noqa: E402
from slayerloss.plot.decision import decision_figure  # noqa: E402
from slayerloss.plot.energy import energy_per_layer  # noqa: E402
from slayerloss.plot.errors import error_figure, error_traces  # noqa: E402
from slayerloss.plot.filters import filter_responses, impulse_responses  # noqa: E402
from slayerloss.plot.frames import animate_event, event_frames, show_event  # noqa: E402
from slayerloss.plot.report import report  # noqa: E402
from slayerloss.plot.run import Evaluation, Sample, run_figures  # noqa: E402
from slayerloss.plot.spikes import raster, raster_pair  # noqa: E402
from slayerloss.plot.style import PALETTE, set_caption, style  # noqa: E402
from slayerloss.plot.tables import confusion_matrix, weight_histogram  # noqa: E402
from slayerloss.plot.traces import confidence_traces, rate_traces  # noqa: E402

__all__ = [
    "PALETTE",
    "Evaluation",
    "Sample",
    "animate_event",
    "confidence_traces",
    "confusion_matrix",
    "decision_figure",
    "energy_per_layer",
    "error_figure",
    "error_traces",
    "event_frames",
    "events_per_layer",
    "filter_responses",
    "impulse_responses",
    "learning_curve",
    "penalty_curves",
    "raster",
    "raster_pair",
    "rate_traces",
    "read_metrics",
    "report",
    "run_figures",
    "set_caption",
    "show_event",
    "style",
    "weight_histogram",
]
