"""The one direction of imports, and the length of files."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

import slayerloss

PACKAGE = Path(slayerloss.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))

# From top to bottom; a module imports from layers below its own, or from its own package.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"train"},
    {"data", "plot"},
    {"netx"},
    {"block", "utils"},
    {"neuron", "synapse", "axon", "spike"},
    {"loss", "classifier", "filter"},
    {"functional"},
    {"kernels"},
    {"io", "_distributed"},
    {"_check", "_finding"},
]
HEIGHT = {name: len(LAYERS) - i for i, names in enumerate(LAYERS) for name in names}

# Outside of functions, these may be imported by these packages only; `io` and `netx` work without torch.
HEAVY = {
    "matplotlib": {"plot"},
    "lightning": {"train"},
    "torchmetrics": {"train"},
    "jsonargparse": {"cli", "train"},
    "pooch": set(),
    "yaml": {"train", "cli"},
}
WITHOUT_TORCH = {"_check", "_finding", "io", "netx"}


def package_of(path: Path) -> str:
    """The subpackage or module below slayerloss that a file belongs to."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imports(path: Path, everywhere: bool) -> set[str]:
    """Modules that a file imports: everywhere in it, or only when it is imported itself."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    skipped: set[int] = set()
    if not everywhere:
        for node in ast.walk(tree):
            typing_only = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
            if typing_only or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                skipped |= {id(inner) for inner in ast.walk(node)}
    found = set()
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_downward(path):
    own = package_of(path)
    if own == "__init__":
        return
    assert own in HEIGHT, f"{own} has no layer: give it one in this test and in the design"
    for module in imports(path, everywhere=True):
        parts = module.split(".")
        if parts[0] != "slayerloss" or len(parts) == 1:
            continue
        other = parts[1]
        if other not in HEIGHT:  # a name of slayerloss itself, which loads what it stands for
            assert other in slayerloss.__all__, module
            continue
        assert other == own or HEIGHT[other] < HEIGHT[own], f"{own} imports {module}, which is not below it"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_heavy_packages_are_imported_where_they_are_used(path):
    own = package_of(path)
    for module in imports(path, everywhere=False):
        name = module.split(".")[0]
        assert own in HEAVY.get(name, {own}), f"{own} imports {name} at once"
        assert name != "torch" or own not in WITHOUT_TORCH, f"{own} imports torch at once"


def test_time_is_the_kernels_own():
    """Nothing takes one step of a torch tensor by its number, x[..., t], outside of the kernels."""
    for path in FILES:
        if package_of(path) in ("kernels", "netx", "plot", "io", "data"):  # numpy, but for the kernels
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Subscript) and ast.unparse(node.value) not in ("Callable", "tuple"):
                assert not re.fullmatch(r"\(?\.\.\., [a-z]\w*\)?", ast.unparse(node.slice)), f"{path}:{node.lineno}"


def test_files_are_short():
    long = {str(path.relative_to(PACKAGE)): len(path.read_text(encoding="utf-8").splitlines()) for path in FILES}
    assert {name: lines for name, lines in long.items() if lines >= 400} == {}


def test_every_folder_with_code_is_a_package_and_comes_into_the_wheel():
    for path in FILES:
        assert (path.parent / "__init__.py").exists(), path


def test_importing_the_package_is_light():
    script = """
import sys
import slayerloss
assert "torch" not in sys.modules and "numpy" not in sys.modules
from slayerloss import io, netx
assert "torch" not in sys.modules
for name in slayerloss.__all__:
    if name not in ("data", "plot", "train"):
        getattr(slayerloss, name)
for heavy in ("torch._dynamo", "matplotlib", "lightning", "torchmetrics", "jsonargparse", "yaml", "pooch"):
    assert heavy not in sys.modules, heavy
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
