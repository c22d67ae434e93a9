"""`slayerloss data check`: say what is wrong with recordings."""

from __future__ import annotations

from collections.abc import Sequence

from slayerloss.cli._parser import Parser


def main(arguments: Sequence[str]) -> int:
    """Check; see `slayerloss data --help`."""
    text = "Say what is wrong with a folder of recordings, or with one; exit status 1 if something cannot be used."
    parser = Parser("slayerloss data", text)
    parser.add_argument("action", choices=("check",), help="what to do")
    parser.add_argument("path", metavar="DIR", help="a folder, or an event file")
    options = parser.parse_args(arguments)
    from slayerloss import data

    findings = data.check(options.path)
    for finding in findings:
        print(finding)
    if all(finding.severity == "note" for finding in findings):
        print("nothing is wrong")
    return int(any(finding.severity == "error" for finding in findings))
