"""What the README shows runs as it stands."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

from slayerloss.train import read_recipe

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_python_blocks_run(tmp_path: Path) -> None:
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(blocks) == 2
    command = [sys.executable, "-c", "\n".join(blocks)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "network.net").is_file()


def test_commands_and_files_exist() -> None:
    shell = "".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))
    for command in re.findall(r"^slayerloss (\w+)", shell, re.MULTILINE):
        assert importlib.util.find_spec(f"slayerloss.cli.{command}"), command
    for target in re.findall(r"\]\(([\w./]+)\)", README):
        assert (ROOT / target).exists(), target
    for config in re.findall(r"--config (\S+)", README):
        read_recipe(config)


def test_the_speed_is_what_was_measured() -> None:
    results = json.loads((ROOT / "benchmarks" / "results.json").read_text(encoding="utf-8"))
    (training,) = results["groups"]["training"]
    ours, theirs = (training["times"][side]["both"][0] for side in ("slayerloss, sparse events", "lava-dl"))
    (said,) = re.findall(r"is (\d+) times as fast as lava-dl's", README)
    assert int(said) == int(theirs / ours)
