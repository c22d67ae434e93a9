"""The choice of kernels, and what is said where a choice cannot be kept."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

import slayerloss
from slayerloss import ArgumentError, BackendError, use_backend
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import library

built = pytest.mark.skipif(bool(library.problem()), reason=f"no C++ kernels: {library.problem()}")

NEURON = """
import torch
from slayerloss.functional import cuba
print(cuba(torch.ones(1, 1, 4), 1.0, 0.0, 1.5)[0].flatten().tolist())
"""


def in_a_process(**environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", NEURON], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )


@built
@pytest.mark.parametrize("name", ["auto", "cpu"])
def test_cpu_tensors_run_in_cpp(name):
    with use_backend(name):
        assert runs_on_cpu_kernels(torch.ones(1), None)


def test_the_reference_runs_where_it_is_asked_for_and_the_choice_ends_with_its_block():
    before = runs_on_cpu_kernels(torch.ones(1))
    with use_backend("reference"):
        assert not runs_on_cpu_kernels(torch.ones(1))
    assert runs_on_cpu_kernels(torch.ones(1)) == before


def test_impossible_choices_are_errors():
    with (
        pytest.raises(ArgumentError, match="expected one of 'auto', 'reference', 'cpu', 'triton', got 'cuda'"),
        use_backend("cuda"),
    ):
        pass
    with pytest.raises(BackendError, match="there are no Triton kernels yet"), use_backend("triton"):
        pass
    assert slayerloss.use_backend is use_backend


@built
def test_a_named_backend_does_not_pass_to_another():
    rule = r"float32 or float64 on the CPU, got torch\.float32 on meta"
    with use_backend("cpu"), pytest.raises(BackendError, match=rule):
        runs_on_cpu_kernels(torch.ones(1, device="meta"))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"SLAYERLOSS_BACKEND": "fast"}, "the environment: SLAYERLOSS_BACKEND is unknown"),
        ({"SLAYERLOSS_KERNELS": "nowhere.so"}, "nowhere.so does not exist"),
        ({"SLAYERLOSS_KERNELS": "", "SLAYERLOSS_ISA": "sse9"}, "SLAYERLOSS_ISA is 'sse9'; this processor has baseline"),
    ],
)
def test_an_environment_that_names_the_impossible_is_an_error(environment, said):
    run = in_a_process(**environment)
    assert run.returncode == 1
    assert said in run.stderr


@built
@pytest.mark.parametrize("isa", library.ISAS)
def test_every_instruction_set_of_the_processor_can_be_asked_for(isa):
    run = in_a_process(SLAYERLOSS_ISA=isa)
    if isa in ("baseline", library.isa()):
        assert run.stdout == "[0.0, 1.0, 0.0, 1.0]\n"
    else:
        assert run.stdout or "this processor has" in run.stderr or "has no kernels for" in run.stderr
