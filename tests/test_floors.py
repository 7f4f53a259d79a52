"""Imports go down only, and decisions are pure: both rules of the house, read off the syntax trees."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "proxy"

FLOORS = [
    {"errors", "messages", "__init__", "__version__"},
    {"config.model", "config.upstreams", "config.values", "config.base", "config.comparing"},
    {"core", "compare"},
    {"config"},
    {"wire", "store", "telemetry"},
    {"dataplane"},
    {"control"},
    {"web"},
    {"cli"},
    {"__main__"},
]

IMPURE = {
    "asyncio", "socket", "ssl", "selectors", "time", "random", "secrets", "logging", "os", "pathlib", "io",
    "sqlite3", "threading", "subprocess", "multiprocessing", "datetime.now", "uuid", "tempfile", "shutil", "uvloop",
}  # fmt: skip


def _module(path: Path) -> str:
    name = ".".join(path.relative_to(ROOT).with_suffix("").parts)
    return name.removesuffix(".__init__")


def _floor(module: str) -> int:
    if module in FLOORS[1]:
        return 1
    top = module.split(".", maxsplit=1)[0]
    return next(level for level, names in enumerate(FLOORS) if top in names)


def _imports(tree: ast.AST) -> list[str]:
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute, so that this test can read them"
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


MODULES = sorted(ROOT.rglob("*.py"))


@pytest.mark.parametrize("path", MODULES, ids=_module)
def test_imports_go_down_only(path: Path) -> None:
    module = _module(path)
    mine = _floor(module)
    for target in _imports(ast.parse(path.read_text())):
        if not target.startswith("proxy."):
            continue
        other = target.removeprefix("proxy.")
        if other.startswith("config."):
            other = ".".join(other.split(".")[:2])  # what is imported from it does not matter
        theirs = _floor(other)
        same_package = other.split(".")[0] == module.split(".")[0]
        assert theirs < mine or same_package, f"{module} imports {other}, which is not below it"


@pytest.mark.parametrize("path", [p for p in MODULES if _module(p).split(".")[0] in ("core", "compare")], ids=_module)
def test_decisions_are_pure(path: Path) -> None:
    tree = ast.parse(path.read_text())
    for target in _imports(tree):
        assert target.split(".")[0] not in IMPURE, f"{path} imports {target}: pass it in as an argument"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            assert node.func.id not in ("open", "print", "input"), f"{path}:{node.lineno} does I/O"
        if isinstance(node, ast.Attribute):
            assert node.attr not in ("now", "utcnow", "today"), f"{path}:{node.lineno} reads a clock"
