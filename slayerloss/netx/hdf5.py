"""lava-dl's name for the module of `netx.Network`."""

from slayerloss.netx.run import Network

__all__ = ["Network"]
