"""Limits of the chip and of Lava that reading, checking and running a network file share."""

from __future__ import annotations

STATE = 1 << 23
"""States have 24 bits: v stays below this, and u does not pass it."""

NEVER = 1 << 17
"""From this vThMant on v cannot pass the threshold: times 64 it is above all that 24 bits hold."""

LONGEST_DELAY = 62
"""Steps; Lava takes a longer delay for this one."""

MOST_GROUPS = 127
"""Groups of a convolution; Lava counts them in 8 bits, and finds none of more."""
