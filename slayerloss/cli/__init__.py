"""The command line. Each command is a module with `main(arguments) -> exit status`, imported when it is called.

Exit status: 0 it worked; 1 it ran, and what it checks is not so; 2 it was called wrongly or cannot work; 130 it was
interrupted.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from slayerloss._check import SlayerError, check_choice

__all__ = ["main"]

_COMMANDS = {
    "fit": "train by a recipe, or go on with a training",
    "test": "measure a trained run on its test recordings",
    "plot": "draw the figures of a run, as files and as one HTML page",
    "export": "write the network of a run as a file for Loihi",
    "verify": "compare a network file with what was trained, spike by spike",
    "inspect": "print the layers of a network file",
    "check": "say what Lava would refuse, change or ignore in a network file",
    "simulate": "run a network file on recordings: accuracy, operations, energy",
    "data": "say what is wrong with a folder of recordings, or with one",
    "migrate": "turn what a network of lava-dl saved into a state dict to load",
    "demo": "train, plot, export and check the export, on the embedded digits",
}

_HELP = """usage: slayerloss COMMAND ...

Train spiking networks on events and put them on Loihi.

{commands}

`slayerloss COMMAND --help` says what a command takes."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        arguments: the command and what belongs to it; None takes the process's own.

    Returns:
        The exit status.

    Example:
        >>> main(["--version"])
        slayerloss 0.1.0
        0
    """
    command, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if command in ("-h", "--help", "help"):
        print(_HELP.format(commands="\n".join(f"  {name:8} {text}" for name, text in _COMMANDS.items())))
        return 0
    if command == "--version":
        from slayerloss import __version__

        print(f"slayerloss {__version__}")
        return 0
    place = "slayerloss"
    try:
        check_choice("command line", f"command {command!r}", command, list(_COMMANDS))
        place = f"slayerloss {command}"
        status: int = importlib.import_module(f"slayerloss.cli.{command}").main(rest)
        return status
    except SlayerError as error:
        return _fail(place, str(error).removeprefix(f"{command}: "))
    except BrokenPipeError:  # the reader, such as `head`, has gone
        sys.stderr.close()
        return 0
    except OSError as error:
        return _fail(place, f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
    except KeyboardInterrupt:
        print(f"{place}: interrupted", file=sys.stderr)
        return 130


def _fail(place: str, text: str) -> int:
    print(f"{place}: {text}", file=sys.stderr)
    return 2
