"""`slayerloss check`: say what Lava would refuse, change or ignore in network files."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from slayerloss._check import SlayerError
from slayerloss.cli._parser import Parser

if TYPE_CHECKING:
    from slayerloss.netx import Finding

_DESCRIPTION = """Say what Lava or Loihi would refuse, change or ignore in a network file, and the way out. A line a
problem: file, severity, path in the file, what becomes of it, what to do. The exit status is 1 if there is an error."""

_SEVERITIES = ("error", "warning", "note")


def main(arguments: Sequence[str]) -> int:
    """Check; see `slayerloss check --help`."""
    parser = Parser("slayerloss check", _DESCRIPTION)
    parser.add_argument("files", metavar="FILE", nargs="+", help="network file")
    text = "print a JSON list for other programs: of each file its findings, and the error if it cannot be read"
    parser.add_argument("--json", action="store_true", help=text)
    options = parser.parse_args(arguments)
    from slayerloss import netx
    from slayerloss.netx.isolated import read_isolated

    found: dict[str, list[Finding]] = {}
    errors: dict[str, str] = {}
    for file in options.files:
        try:
            read_isolated(file)
            found[file] = netx.check(file)  # of the file, as a Description does not tell who wrote it
        except SlayerError as error:  # the others are still worth a look
            errors[file] = str(error)
            print(f"slayerloss check: {error}", file=sys.stderr)
    if options.json:
        print(json.dumps([_entry(file, found.get(file, []), errors.get(file)) for file in options.files], indent=2))
    else:
        for file, findings in found.items():
            for finding in findings:
                print(f"{file}: {finding}")
            print(f"{file}: {summary(findings)}")
    if errors:
        return 2
    return int(any(finding.severity == "error" for findings in found.values() for finding in findings))


def _entry(file: str, findings: Sequence[Finding], error: str | None) -> dict[str, object]:
    """A file in the JSON list; `error` says why it could not be read, or is None."""
    return {"file": file, "findings": [dataclasses.asdict(finding) for finding in findings], "error": error}


def summary(findings: Sequence[Finding]) -> str:
    """How many findings of which severity.

    Example:
        >>> from slayerloss.netx import Finding
        >>> summary([Finding("note", "layer/0", "so it is")] * 2)
        '2 notes, nothing is wrong'
    """
    count = Counter(finding.severity for finding in findings)
    parts = [f"{count[kind]} {kind}{'s' * (count[kind] > 1)}" for kind in _SEVERITIES if count[kind]]
    return ", ".join(parts if count["error"] or count["warning"] else [*parts, "nothing is wrong"])
