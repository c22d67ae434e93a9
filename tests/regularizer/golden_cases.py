"""The golden values of the seeds' regularizers: inputs, results, gradients and errors, by the name of the case."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch

Case = dict[str, Any]


def golden_cases(shared: Path) -> dict[str, Case]:
    golden = json.loads((shared / "golden" / "regularizers.json").read_text(encoding="utf-8"))
    return {case["id"]: case for case in golden["cases"]}


def array(values: Any, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    """Nested lists of numbers as they stand in the file, with "nan" and "inf" as texts."""
    if isinstance(values, list):
        return torch.stack([array(value, dtype) for value in values]) if values else torch.zeros(0, dtype=dtype)
    return torch.tensor(float(values), dtype=dtype)


def assert_is_golden(value: torch.Tensor, expected: Any, rtol: float = 1e-6, what: str = "value") -> None:
    """Equal to the case's numbers up to `rtol` relative; what is below the least of them that counts is 0."""
    wanted = array(expected, value.dtype)
    smallest = 1e-300 if value.dtype == torch.float64 else 1e-7
    torch.testing.assert_close(value.detach(), wanted, rtol=rtol, atol=smallest, msg=lambda text: f"{what}: {text}")
