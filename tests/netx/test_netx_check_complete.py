"""Where check finds nothing wrong, Lava does what the file says: on random networks, traps and all."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pytest
from random_networks import Case, random_network

from slayerloss import FormatError, netx

# The file does not tell whether a sum overflows, as with large messages or in a recurrent sigma-delta layer it may,
# and whether a number other than 1 comes where spikes are read, as it may where layers are skipped.
DATA = {
    *("numbers as spikes", "skip_layers"),
    *("large input", "input at the ends of 24 bits", "dense_rec SDNN", "conv SDNN", "spike_exp"),
}


def differs(case: Case, description: netx.Description) -> bool:
    """Whether Lava's arithmetic sends something else than the file says, or only the one or the other runs."""
    lava = netx.Network(description, **case.options).run(case.x)
    try:
        ideal = netx.Network(description, arithmetic="ideal", **case.options).run(case.x)
    except FormatError:
        return True
    return not all(np.array_equal(a, b) for a, b in zip(lava.spikes, ideal.spikes, strict=True))


def assert_none_is_missed(seeds: Iterable[int]) -> None:
    told = same = 0
    for seed in seeds:
        case = random_network(seed)
        if case.features & DATA:
            continue
        description = netx.describe(case.layers)
        findings = netx.check(description)
        assert not any(finding.fatal for finding in findings), case
        serious = [finding for finding in findings if finding.severity != "note" or "change by 1" in finding.problem]
        if differs(case, description):
            assert serious, case
            told += 1
        else:
            same += not serious
    assert told > 0
    assert same > 0


def test_no_trap_of_a_random_network_is_missed() -> None:
    assert_none_is_missed(range(60))


@pytest.mark.slow
def test_no_trap_of_many_random_networks_is_missed() -> None:
    assert_none_is_missed(range(60, 1000))
