"""States of neurons as nested tuples of tensors."""

from slayerloss.functional._state import detached, moved

__all__ = ["detached", "moved"]
