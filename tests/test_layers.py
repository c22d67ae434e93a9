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
    {"bootstrap"},
    {"utils"},
    {"data", "plot", "auto"},
    {"netx"},
    {"regularizer"},
    {"block"},
    {"neuron"},
    {"synapse", "axon", "dendrite", "spike"},
    {"loss", "classifier", "filter"},
    {"functional"},
    {"kernels"},
    {"io", "_distributed"},
    {"_path"},
    {"_check", "_finding"},
]
HEIGHT = {name: len(LAYERS) - i for i, names in enumerate(LAYERS) for name in names}

# What is imported upward, inside of functions only, and why.
UPWARD = {
    ("io/event.py", "slayerloss.plot.animate_event"): "lava-dl's Event draws itself, and drawing is plot's",
}

# Outside of functions, these may be imported by these packages only; `io` and `netx` work without torch.
HEAVY = {
    "matplotlib": {"plot"},
    "lightning": {"train"},
    "torchmetrics": {"train"},
    "jsonargparse": {"cli", "train"},
    "yaml": {"train", "cli"},
}
WITHOUT_TORCH = {"_check", "_finding", "_path", "io", "netx"}


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
    at_once = imports(path, everywhere=False)
    for module in imports(path, everywhere=True):
        parts = module.split(".")
        if (path.relative_to(PACKAGE).as_posix(), module) in UPWARD and module not in at_once:
            continue
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


def test_every_package_that_is_imported_is_declared():
    declared = set(re.findall(r'"([\w-]+)[>=\[]', (PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8")))
    modules = {module.split(".")[0] for path in FILES for module in imports(path, everywhere=True)}
    foreign = modules - set(sys.stdlib_module_names) - {"slayerloss"}
    assert {"torch", "yaml", "tqdm"} <= foreign
    assert {"pyyaml" if name == "yaml" else name for name in foreign} <= declared


# The kernels may, and the others work on numpy or files.
TORCH = [path for path in FILES if package_of(path) not in ("kernels", "netx", "plot", "io", "data", "cli")]
STEPS = re.compile(r"\b(num_steps|steps|time|T)\b|shape\[(-1|0)\]|\b(len|size)\(")
"""What a loop over single steps of a tensor is over."""


def time_loops(source: str) -> list[int]:
    """The lines that take single steps of a tensor by number, or in a loop.

    x[..., t] with a name; x.select(-1, t) with anything but a number; x.unbind(-1); for t in range(steps) and its like
    where t is then an index.
    """
    found = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) not in ("Callable", "tuple"):
            if re.fullmatch(r"\(?\.\.\., [a-z]\w*\)?", ast.unparse(node.slice)):
                found.append(node.lineno)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            arguments = [ast.unparse(argument) for argument in [*node.args, *(word.value for word in node.keywords)]]
            if node.func.attr in ("select", "index_select"):
                taken = "-1" in arguments[:2] and not re.fullmatch(r"-?\d+", arguments[-1])
            elif node.func.attr == "unbind":  # the last dimension of a filter's state is no time
                taken = arguments[-1:] == ["-1"] and ast.unparse(node.func.value) != "before"
            else:
                taken = node.func.attr == "split" and arguments[-2:] == ["1", "-1"]
            if taken:
                found.append(node.lineno)
        loops = [node] if isinstance(node, ast.For) else getattr(node, "generators", [])
        for loop in loops:
            ranged = isinstance(loop.iter, ast.Call) and ast.unparse(loop.iter.func) == "range"
            counter = loop.target.id if isinstance(loop.target, ast.Name) else ""
            if ranged and STEPS.search(ast.unparse(loop.iter)) and indexed_by(node, counter):
                found.append(loop.iter.lineno)
    return found


def indexed_by(loop: ast.AST, counter: str) -> bool:
    """Whether something is indexed, or selected, by a loop's counter."""
    for node in ast.walk(loop):
        parts: list[ast.expr] = []
        if isinstance(node, ast.Subscript):
            parts = [node.slice]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            parts = list(node.args) if node.func.attr in ("select", "narrow", "index_select") else []
        if any(isinstance(name, ast.Name) and name.id == counter for part in parts for name in ast.walk(part)):
            return True
    return False


@pytest.mark.parametrize("path", TORCH, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_time_is_the_kernels_own(path):
    """Nothing goes through the steps of a torch tensor one by one outside of the kernels."""
    assert time_loops(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "y = x[..., t]",
        "x[..., step] = 1",
        "y = x.select(-1, t)",
        "y = torch.select(x, -1, t)",
        "y = x.select(dim=-1, index=t)",
        "for row in x.unbind(-1): pass",
        "for row in torch.unbind(x, dim=-1): pass",
        "for row in x.split(1, -1): pass",
        "for t in range(x.shape[-1]):\n    y = x[t]",
        "for t in range(num_steps):\n    y = rows.select(0, t)",
        "for t in reversed(range(3)):\n    y = x[..., t]",
        "y = [x[:, :, t] for t in range(steps)]",
        "for i in range(len(x)):\n    y = x.narrow(-1, i, 1)",
    ],
)
def test_a_loop_over_time_is_seen(source):
    assert time_loops(source)


@pytest.mark.parametrize(
    "source",
    [
        "y = x[..., -1]",
        "y = x[..., 0, 0]",
        "f: Callable[..., t]",
        "y = x.select(-1, -1)",
        "y = x.select(1, c)",
        "rows = x.unbind()",
        "u, v = x.unbind(0)",
        "for i in range(1, order):\n    y = y * (steps + i)",
        "for i in range(2):\n    y = stride[i]",
        "for _ in range(num_steps):\n    y = y + x[0]",
        "for initial in before.unbind(-1): pass",
        "words = text.split(',')",
    ],
)
def test_what_is_no_loop_over_time_is_not_seen(source):
    assert not time_loops(source)


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
for heavy in ("torch._dynamo", "matplotlib", "lightning", "torchmetrics", "jsonargparse", "yaml"):
    assert heavy not in sys.modules, heavy
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert run.returncode == 0, run.stderr
