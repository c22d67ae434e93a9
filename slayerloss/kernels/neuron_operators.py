"""The neuron kernels as torch operators, on (N, C, ..., T) of float32 or float64.

Each has one implementation, which takes the C++ kernel where it can and the reference elsewhere.

`keep` is 1 - decay: multiples of 1/4096 in float64, of shape (1,) or (C,). `lsb` is the number of state LSBs per unit
of the input. The results lie in memory as the input does, where that is dense with time last or first.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from slayerloss._check import check_finite
from slayerloss.kernels import reference
from slayerloss.kernels.backend import runs_on_cpu_kernels
from slayerloss.kernels.cpu import layout, memory
from slayerloss.kernels.cpu.library import Kernel
from slayerloss.kernels.operator import operator

LARGEST_INTEGER = 2**31 - 1
OUT_OF_RANGE, CLIPPED = 1, 2
"""What the C++ kernel reports: an input too large for its integers, a voltage that saturated."""
NOTHING, FOR_INPUT, FOR_DECAYS = range(3)
"""What is kept for the backward pass: nothing, the voltages, or voltages from which the currents follow."""
OF_REFERENCE = 2**23
"""The first voltage says that the reference computed, since none is -2^23: backward goes the same way."""

CURRENT, VOLTAGE, SPIKES, GRADED_SPIKES = range(4)

_integrate = Kernel("integrate", "ppiiiipipipppppdii")
_cuba_backward = Kernel("cuba_backward", "pppiiiipipippppppppdidddi")
_leaky_adjoint = Kernel("leaky_adjoint", "ppiiiipipppdp")


def _time_first(x: Tensor) -> Tensor:
    """(N, C, ..., T) -> contiguous (T, N, C, ...); no copy where the memory is in this order already."""
    return x.movedim(-1, 0).contiguous()


def _in_order(like: Tensor, time_first: Tensor) -> Tensor:
    return layout.in_order_of(like, time_first.movedim(0, -1))


def per_channel(keep: Tensor, x: Tensor) -> Tensor:
    """(1,) or (C,), shaped to broadcast over one step (N, C, ...)."""
    return keep.reshape(-1, *[1] * (x.ndim - 3))


def _per_channel(keep: Tensor | None) -> tuple[Tensor | None, int]:
    """What a state keeps, as the C++ kernels take it, and how many channels that belongs to."""
    return (None, 1) if keep is None else (keep.contiguous(), keep.numel())


def _whole_threshold(threshold: float, x: Tensor, lsb: float) -> int:
    """The largest state that does not spike, with the threshold rounded to the dtype of x as a comparison does it."""
    rounded = float(torch.tensor(threshold, dtype=x.dtype)) * lsb
    return LARGEST_INTEGER if rounded >= LARGEST_INTEGER else max(math.floor(rounded), -LARGEST_INTEGER)


def _num_words(x: Tensor, keeps: int) -> int:
    """Integers for the voltages before the reset: of four neurons 24 bits each, in three of them."""
    signal = layout.signal(x)
    rows = -(-signal.rows // layout.NARROW) * layout.NARROW if keeps and x.device.type in ("cpu", "meta") else 0
    return rows // 4 * 3 * signal.steps


def _voltages(x: Tensor, keeps: int) -> Tensor:
    """Room for them."""
    return memory.empty((_num_words(x, keeps),), torch.int32, x.device)


def _run(
    x: Tensor,
    decays: tuple[Tensor | None, Tensor | None],
    states: tuple[Tensor | None, Tensor | None],
    threshold: float,
    lsb: float,
    output: int,
    keeps: int = NOTHING,
) -> tuple[Tensor, Tensor, Tensor, Tensor] | None:
    """Output, current and voltage after the run, voltages; None where the C++ kernel does not take these values."""
    if not runs_on_cpu_kernels(x, *states) or math.frexp(lsb)[0] != 0.5:  # by which the reference rounds
        return None
    x = layout.dense(x)
    signal, y, words = layout.signal(x), memory.empty_like(x), _voltages(x, keeps)
    current, voltage = _like_state(x), _like_state(x)
    status = _integrate(
        x.dtype,
        *(x, y, *signal, *_per_channel(decays[0]), *_per_channel(decays[1])),
        *(state if state is None else state.contiguous() for state in states),
        *(current, voltage, words if keeps else None),
        *(lsb, _whole_threshold(threshold, x, lsb), output),
        blocks=signal.blocks,
        elements=x.numel(),
    )
    if status & OUT_OF_RANGE or (status & CLIPPED and keeps == FOR_DECAYS):
        return None
    return y, current, voltage, words


def _or_zero(state: Tensor | None, x: Tensor) -> Tensor:
    return x.new_zeros(x.shape[:-1]) if state is None else state


def _leaky(x: Tensor, keep: Tensor, state: Tensor | None, lsb: float, caller: str) -> Tensor:
    run = _run(x, (keep, None), (state, None), 0.0, lsb, CURRENT)
    if run is not None:
        return run[0]
    check_finite(caller, "x", x)
    return _in_order(x, reference.leaky_integrator(_time_first(x), per_channel(keep, x), _or_zero(state, x), lsb))


def _voltage(x: Tensor, keep: Tensor, threshold: float, state: Tensor | None, lsb: float, caller: str) -> Tensor:
    run = _run(x, (None, keep), (None, state), threshold, lsb, VOLTAGE)
    if run is not None:
        return run[0]
    check_finite(caller, "x", x)
    keep, state = per_channel(keep, x), _or_zero(state, x)
    return _in_order(x, reference.integrate_and_fire(_time_first(x), keep, threshold, state, lsb))


def _cuba(
    x: Tensor,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    threshold: float,
    lsb: float,
    graded: bool,
    keeps: int,
    caller: str,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Spikes, current and voltage after the run, and voltages; without `keep_current` x is the current itself."""
    output = GRADED_SPIKES if graded else SPIKES
    run = _run(x, (keep_current, keep_voltage), (current, voltage), threshold, lsb, output, keeps)
    if run is not None:
        return run
    check_finite(caller, "x", x)
    u, v = _reference_states(x, keep_current, keep_voltage, current, voltage, threshold, lsb)
    words = _voltages(x, keeps)
    words[:1] = OF_REFERENCE
    spikes = _in_order(x, reference.fired(v, threshold, graded))
    return spikes, u[-1].clone(), v[-1].masked_fill(v[-1] > threshold, 0), words


def _reference_states(
    x: Tensor,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    threshold: float,
    lsb: float,
) -> tuple[Tensor, Tensor]:
    """Current, and voltage before the reset, (T, N, C, ...) each."""
    u = _time_first(x)
    if keep_current is not None:
        u = reference.leaky_integrator(u, per_channel(keep_current, x), _or_zero(current, x), lsb)
    return u, reference.integrate_and_fire(u, per_channel(keep_voltage, x), threshold, _or_zero(voltage, x), lsb)


def _cuba_gradients(
    x: Tensor,
    grad: Tensor,
    grad_current: Tensor | None,
    grad_voltage: Tensor | None,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    words: Tensor,
    threshold: float,
    lsb: float,
    tau: float,
    height: float,
    graded: bool,
    learns: bool,
    time_first: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The gradients with respect to x, the states before the run, and the two keeps, (C,) or (1,) each.

    `time_first` is the memory order of x in the forward pass, in which the voltages lie: what saved x may change it.
    """
    if not words.numel() or int(words[0]) & 0xFFFFFF == OF_REFERENCE:
        return _reference_gradients(
            *(
                layout.in_order(x, time_first),
                grad,
                grad_current,
                grad_voltage,
                keep_current,
                keep_voltage,
                current,
                voltage,
            ),
            *(threshold, lsb, tau, height, graded, learns),
        )
    x = layout.in_order(x, time_first)
    signal, grad, grad_x = layout.signal(x), layout.in_order_of(x, grad), memory.empty_like(x)
    first_current, first_voltage = _like_state(x), _like_state(x)
    rows = torch.empty(2, signal.rows if learns else 0, dtype=torch.float64)
    _cuba_backward(
        x.dtype,
        *(words, grad, grad_x, *signal, *_per_channel(keep_current), *_per_channel(keep_voltage)),
        *(g if g is None else g.contiguous() for g in (current, voltage, grad_current, grad_voltage)),
        *(first_current, first_voltage, *((rows[0], rows[1]) if learns else (None, None))),
        *(lsb, _whole_threshold(threshold, x, lsb), threshold),
        *(tau, height if graded else height / (2 * tau), graded),
        blocks=signal.blocks,
        elements=2 * x.numel(),
    )
    of_current = _summed(rows[0], keep_current, x, learns)
    return grad_x, first_current, first_voltage, of_current, _summed(rows[1], keep_voltage, x, learns)


def _summed(rows: Tensor, keep: Tensor | None, x: Tensor, learns: bool) -> Tensor:
    """What belongs to one keep, of rows of samples x channels x space."""
    if keep is None or not learns:
        return torch.empty(0, dtype=torch.float64, device=x.device)
    return (
        rows.sum().reshape(1) if keep.numel() == 1 else rows.reshape(*x.shape[:2], math.prod(x.shape[2:-1])).sum((0, 2))
    )


def _reference_gradients(
    x: Tensor,
    grad: Tensor,
    grad_current: Tensor | None,
    grad_voltage: Tensor | None,
    keep_current: Tensor | None,
    keep_voltage: Tensor,
    current: Tensor | None,
    voltage: Tensor | None,
    threshold: float,
    lsb: float,
    tau: float,
    height: float,
    graded: bool,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """The same in plain torch: the states once more, then both filters backward."""
    u, v = _reference_states(x, keep_current, keep_voltage, current, voltage, threshold, lsb)
    g = reference.surrogate(v, threshold, tau, height, graded).mul_(grad.movedim(-1, 0))
    after_reset = v.masked_fill(v > threshold, 0)
    g, *of_voltage = _reference_filter(g, keep_voltage, after_reset, voltage, grad_voltage, x, learns)
    if keep_current is None:
        of_current = [_or_zero(grad_current, x).clone(), _summed(x, None, x, learns)]
    else:
        g, *of_current = _reference_filter(g, keep_current, u, current, grad_current, x, learns)
    return _in_order(x, g), of_current[0], of_voltage[0], of_current[1], of_voltage[1]


def _reference_filter(
    g: Tensor,
    keep: Tensor,
    states: Tensor,
    first: Tensor | None,
    grad_last: Tensor | None,
    x: Tensor,
    learns: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients with respect to the input of a filter (T, N, C, ...), its first state, and keep."""
    if grad_last is not None:
        g[-1] += grad_last
    kept = per_channel(keep, x).to(g.dtype)
    g = reference.leaky_adjoint(g, kept)
    if not learns:
        return g, g[0] * kept, _summed(x, None, x, learns)
    rows = (g * reference.one_step_before(_or_zero(first, x), states)).sum(0, dtype=torch.float64)
    return g, g[0] * kept, _summed(rows.reshape(-1), keep, x, learns)


def _adjoint(
    grad: Tensor, keep: Tensor, states: Tensor | None, first: Tensor | None, threshold: float
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of y[t] = keep y'[t-1] + x[t] with respect to x, y'[-1] and keep; y' is 0 after y > threshold.

    `states` are y and `first` is y'[-1]; without `states` keep does not learn.
    """
    learns = states is not None
    if not runs_on_cpu_kernels(grad) or not grad.numel():
        y = grad if states is None else states
        y = y.movedim(-1, 0)
        y = y.masked_fill(y > threshold, 0) if learns else y
        g, *others = _reference_filter(_time_first(grad), keep, y, first, None, grad, learns)
        return _in_order(grad, g), others[0], others[1]
    grad = layout.dense(grad)
    signal, grad_x, carry = layout.signal(grad), memory.empty_like(grad), _like_state(grad)
    sums = torch.empty(signal.rows, dtype=torch.float64) if learns else None
    _leaky_adjoint(
        grad.dtype,
        *(grad, grad_x, *signal, keep.to(grad.dtype).contiguous(), keep.numel(), carry),
        states if states is None else layout.in_order_of(grad, states),
        *(first if first is None else first.contiguous(), threshold, sums),
        blocks=signal.blocks,
        elements=grad.numel(),
    )
    return grad_x, carry, _summed(grad if sums is None else sums, keep, grad, learns)


def _like_state(x: Tensor) -> Tensor:
    return x.new_empty(x.shape[:-1])


def _like_keep(keep: Tensor | None, learns: bool) -> Tensor:
    assert keep is None or keep.ndim == 1
    size = 0 if keep is None or not learns else keep.numel()
    return torch.empty(size, dtype=torch.float64, device=None if keep is None else keep.device)


leaky_integrator = operator(
    "leaky_integrator(Tensor x, Tensor keep, Tensor? state, float lsb, str caller) -> Tensor",
    _leaky,
    lambda x, *_: layout.empty_like(x),
)
integrate_and_fire = operator(
    "integrate_and_fire(Tensor x, Tensor keep, float threshold, Tensor? state, float lsb, str caller) -> Tensor",
    _voltage,
    lambda x, *_: layout.empty_like(x),
)
leaky_adjoint = operator(
    "leaky_adjoint(Tensor grad, Tensor keep, Tensor? states, Tensor? first, float threshold) "
    "-> (Tensor, Tensor, Tensor)",
    _adjoint,
    lambda grad, keep, states, *_: (
        layout.empty_like(grad),
        _like_state(grad),
        _like_keep(keep, states is not None),
    ),
)
cuba = operator(
    "cuba(Tensor x, Tensor? keep_current, Tensor keep_voltage, Tensor? current, Tensor? voltage, float threshold, "
    "float lsb, bool graded, int keeps, str caller) -> (Tensor, Tensor, Tensor, Tensor)",
    _cuba,
    lambda x, *rest: (
        layout.empty_like(x),
        _like_state(x),
        _like_state(x),
        x.new_empty(_num_words(x, rest[-2]), dtype=torch.int32),
    ),
)
cuba_gradients = operator(
    "cuba_gradients(Tensor x, Tensor grad, Tensor? grad_current, Tensor? grad_voltage, Tensor? keep_current, "
    "Tensor keep_voltage, Tensor? current, Tensor? voltage, Tensor words, float threshold, float lsb, float tau, "
    "float height, bool graded, bool learns, bool time_first) -> (Tensor, Tensor, Tensor, Tensor, Tensor)",
    _cuba_gradients,
    lambda x, grad, grad_u, grad_v, keep_u, keep_v, *rest: (
        layout.empty_like(layout.in_order(x, rest[-1])),
        _like_state(x),
        _like_state(x),
        _like_keep(keep_u, rest[-2]).to(x.device),
        _like_keep(keep_v, rest[-2]),
    ),
)
