"""Helpers under lava-dl's names, in modules of lava-dl's names; a function may bear the name of its module."""

from __future__ import annotations

from slayerloss.utils import filter, int_utils, recurrent, time
from slayerloss.utils.assistant import Assistant
from slayerloss.utils.quantize import MODE as QUANTIZE_MODE
from slayerloss.utils.quantize import quantize, quantize_hook_fx
from slayerloss.utils.stats import LearningStat, LearningStats
from slayerloss.utils.utils import diagonal_mask, dotdict, event_rate, staticproperty

__all__ = [
    "QUANTIZE_MODE",
    "Assistant",
    "LearningStat",
    "LearningStats",
    "diagonal_mask",
    "dotdict",
    "event_rate",
    "filter",
    "int_utils",
    "quantize",
    "quantize_hook_fx",
    "recurrent",
    "staticproperty",
    "time",
]
