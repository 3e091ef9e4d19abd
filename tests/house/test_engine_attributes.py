"""Every attribute of the engine exists.

To mypy the stock base classes of the engine are `Any`: it takes every misspelt attribute for one of theirs, and so the
mistake would show only when the line runs. So each attribute that cluster/raft uses of an engine is defined by our own
classes, or it is one of the stock names that `engine/stock.py` lists.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from quorate.cluster.raft.engine import stock
from tests.support.checkout import ROOT, tracked

MADE_BY_OBJECT = {"__class__"}
STOCK_METHODS, STOCK_FIELDS = set(stock.SOURCES_KNOWN), set(stock.FIELDS_KNOWN)


class Attributes:
    """What classes on one stock base define, and what the files use of their objects."""

    def __init__(self, trees: dict[Path, ast.Module], stock_base: str) -> None:
        nodes = [(path, node) for path, tree in trees.items() for node in ast.walk(tree)]
        family = {stock_base}
        for _ in nodes:  # a class may stand before its base
            found = {node.name for _, node in nodes if isinstance(node, ast.ClassDef) and family & bases(node)}
            if found <= family:
                break
            family |= found
        self.classes = [(path, node) for path, node in nodes if isinstance(node, ast.ClassDef) and node.name in family]
        self.defined = {name for _, node in self.classes for name in definitions(node)}

    def unknown_of_self(self, stock_names: Iterable[str]) -> Iterator[str]:
        known = {*self.defined, *stock_names, *MADE_BY_OBJECT}
        for path, node in self.classes:
            yield from unknown(path, node, ("self",), known)


def bases(node: ast.ClassDef) -> set[str]:
    return {ast.unparse(base) for base in node.bases}


def definitions(node: ast.ClassDef) -> Iterator[str]:
    """Methods, annotated fields and fields that `__init__` makes."""
    for part in node.body:
        match part:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]):
                yield name
    for part in (part for part in node.body if isinstance(part, ast.FunctionDef) and part.name == "__init__"):
        for target in ast.walk(part):
            if isinstance(target, ast.Attribute) and isinstance(target.ctx, ast.Store) and owner(target) == "self":
                yield target.attr


def unknown(path: Path, tree: ast.AST, owners: tuple[str, ...], known: set[str]) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and owner(node) in owners and node.attr not in known:
            yield f"{path}:{node.lineno}: {ast.unparse(node)}"


def owner(node: ast.Attribute) -> str | None:
    """The last name before the attribute: `engine` of `self.engine.tick`."""
    match node.value:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
    return None


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    paths = [path for path in tracked("cluster/raft") if path.suffix == ".py"]
    return {path: ast.parse((ROOT / path).read_text(encoding="utf-8")) for path in paths}


def test_the_engine_uses_only_what_there_is(trees: dict[Path, ast.Module]) -> None:
    assert [] == [*Attributes(trees, "SyncObj").unknown_of_self(STOCK_METHODS | STOCK_FIELDS)]


def test_its_port_uses_only_what_there_is(trees: dict[Path, ast.Module]) -> None:
    assert [] == [*Attributes(trees, "Transport").unknown_of_self(dir(stock.Transport))]


def test_others_use_only_what_the_engine_has(trees: dict[Path, ast.Module]) -> None:
    known = Attributes(trees, "SyncObj").defined
    assert [] == [
        found for path, tree in trees.items() for found in unknown(path, tree, ("engine", "_engine"), known)
    ], "only the engine's own classes may use the stock names"


def test_the_engine_replaces_only_what_there_is(trees: dict[Path, ast.Module]) -> None:
    """A misspelt override replaces nothing, and nobody calls it."""
    private = {name for name in Attributes(trees, "SyncObj").defined if name.startswith("_SyncObj__")}
    assert set() == private - STOCK_METHODS - STOCK_FIELDS


def test_the_stock_fields_are_stocks() -> None:
    source = inspect.getsource(stock.SyncObj)
    short = {name: name.removeprefix("_SyncObj") for name in STOCK_FIELDS}
    assert [] == [name for name, own in short.items() if f"self.{own}" not in source]


@pytest.mark.parametrize(
    ("source", "unknown_of_self", "unknown_elsewhere"),
    [
        ("class A(Stock):\n def __init__(self): self.x = 1\n def go(self): self.x, self.y", ["self.y"], []),
        ("class A(Stock):\n @property\n def y(self): return 1\nclass B(A):\n def go(self): self.y", [], []),
        ("class B(A):\n def go(self): self.z\nclass A(Stock):\n x: int", ["self.z"], []),
        ("class A(Stock):\n def go(self): self.listed", [], []),
        ("class A:\n def go(self): self.y", [], []),
        ("class A(Stock):\n x: int\ndef go(engine): engine.x.y, engine.y", [], ["engine.y"]),
        ("class C:\n def go(self): self._engine.x, a.engine.listed", [], ["self._engine.x", "a.engine.listed"]),
    ],
)
def test_a_misspelling_is_found(source: str, unknown_of_self: list[str], unknown_elsewhere: list[str]) -> None:
    path, tree = Path("x.py"), ast.parse(source)
    attributes = Attributes({path: tree}, "Stock")
    assert unknown_of_self == [text.split(": ")[1] for text in attributes.unknown_of_self(["listed"])]
    elsewhere = unknown(path, tree, ("engine", "_engine"), attributes.defined)
    assert unknown_elsewhere == [text.split(": ")[1] for text in elsewhere]
