"""`slayerloss inspect`: print the layers of a network file."""

from __future__ import annotations

from collections.abc import Sequence

from slayerloss.cli._parser import Parser


def main(arguments: Sequence[str]) -> int:
    """Print; see `slayerloss inspect --help`."""
    text = "Print the layers of a network file: neurons, synapses, ranges of the weights, decays; and what is wrong."
    parser = Parser("slayerloss inspect", text)
    parser.add_argument("file", metavar="FILE", help="network file")
    options = parser.parse_args(arguments)
    from slayerloss import netx
    from slayerloss.netx.isolated import read_isolated
    from slayerloss.netx.table import table

    description = read_isolated(options.file)
    print(table(description))
    findings = netx.check(options.file)  # of the file, as a Description does not tell who wrote it
    for finding in findings:
        print(finding)
    return int(any(finding.severity == "error" for finding in findings))
