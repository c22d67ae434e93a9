"""slayerloss and its peers, timed in turns on this machine.

    python benchmarks/run.py [--only PART ...] [--rounds N] [--threads N] [--save]
    python benchmarks/run.py --page

Prints the tables, the cases in which a peer wins, and the numbers that were to be reached and are not. With `--save`,
what was measured takes its place in benchmarks/results.json, and docs/benchmarks.md is written from that.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import time
from typing import Any

import cases
import goals
import report
from harness import HERE, ROOT, Bench, machine

RESULTS = HERE / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"


def measure(bench: Bench, only: list[str]) -> dict[str, Any]:
    """All that was asked for."""
    groups = {}
    for name in cases.names(only):
        start = time.monotonic()
        groups[name] = cases.GROUPS[name](bench)
        print(f"{name}: measured in {time.monotonic() - start:.0f} s", flush=True)
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(bench.threads),
        "versions": bench.versions(),
        "missing": bench.missing,
        "groups": groups,
    }


def save(results: dict[str, Any]) -> None:
    """Put the parts into the file, and write the page; the others stay, if they are of the same machine."""
    if RESULTS.exists():
        before = json.loads(RESULTS.read_text(encoding="utf-8"))
        if before["machine"] == results["machine"]:
            results = {**results, "groups": {**before["groups"], **results["groups"]}}
    RESULTS.write_text(json.dumps(rounded(results), indent=1) + "\n", encoding="utf-8")
    write_page()


def write_page() -> None:
    """From the results as they are in the file."""
    PAGE.write_text(report.page(json.loads(RESULTS.read_text(encoding="utf-8"))), encoding="utf-8")


def rounded(value: Any) -> Any:
    """Four digits are enough."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {key: rounded(each) for key, each in value.items()}
    return [rounded(each) for each in value] if isinstance(value, list | tuple) else value


def main() -> None:
    """Measure, print, save."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", default=[], choices=list(cases.GROUPS), metavar="PART")
    parser.add_argument("--rounds", type=int, default=5, help="turns of every side (default: 5)")
    parser.add_argument("--seconds", type=float, default=0.05, help="that a turn lasts, or one call (default: 0.05)")
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1, help="of torch (default: all cores)")
    parser.add_argument("--save", action="store_true", help="write benchmarks/results.json and docs/benchmarks.md")
    parser.add_argument("--page", action="store_true", help="measure nothing, write the page from the results")
    options = parser.parse_args()
    if options.rounds < 1 or options.threads < 1:
        parser.error("--rounds and --threads are at least 1")
    if options.page:
        write_page()
        return
    bench = Bench(options.threads, options.rounds, options.seconds)
    try:
        results = measure(bench, options.only)
    finally:
        bench.close()
    print("\n\n".join(["", *report.body(results), goals.text(goals.goals(results["groups"]))]))
    if options.save:
        save(results)


if __name__ == "__main__":
    main()
