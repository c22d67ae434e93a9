"""Event datasets, their batches and augmentation, and a check of what lies on the disk."""

from __future__ import annotations

from slayerloss._finding import Finding
from slayerloss.data import augment
from slayerloss.data.collate import collate, collate_padded
from slayerloss.data.dataset import EventDataset, stratified_split
from slayerloss.data.digits import Digits
from slayerloss.data.inspection import check
from slayerloss.data.nmnist import NMNIST
from slayerloss.data.oxford import Oxford

__all__ = [
    "NMNIST",
    "Digits",
    "EventDataset",
    "Finding",
    "Oxford",
    "augment",
    "check",
    "collate",
    "collate_padded",
    "stratified_split",
]
