"""Objects are whole when `__init__` returns: it makes all their fields, and nobody plants a callback in them later."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.checkout import ROOT, tracked

PRODUCT = ("cluster", "http", "ingest", "resp", "sinks", "src/quorate")
MAKERS = {"__init__", "__post_init__", "__new__", "__init_subclass__"}
FOREIGN = "_SyncObj__"  # PySyncObj's private fields, which our subclass of it reads and sets

PYNSQ = "a field of pynsq's AsyncConn or Reader, which the class extends"
# (file, class) -> why its methods may set fields that its `__init__` does not make.
LATE: dict[tuple[str, str], str] = {
    ("ingest/nsq/connection.py", "NsqdConnection"): PYNSQ,
    ("ingest/nsq/subscription.py", "Subscription"): PYNSQ,
    ("cluster/fsm.py", "StateMachine"): "its __init__ and restore() share one method that makes the parts",
    ("src/quorate/dev/__init__.py", "_signals"): "a context: __enter__ keeps what __exit__ puts back",
}
# (file, attribute) -> why a callback is set on an object that was made elsewhere.
PLANTED: dict[tuple[str, str], str] = {
    ("sinks/sqlite.py", "text_factory"): "sqlite3 takes it in no other way",
    ("src/quorate/chaos/victim/wall_clock.py", "sleep"): "libfaketime breaks Python's own, in a victim's process",
}


class Classes:
    """The classes of the product, with the fields that each one makes, those of its own base classes included."""

    def __init__(self, trees: dict[Path, ast.Module]) -> None:
        self._nodes = {
            node.name: node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)
        }

    def fields(self, node: ast.ClassDef) -> set[str]:
        found = set(_class_level(node))
        for method in _methods(node):
            if method.name in MAKERS:
                found |= {target.attr for target in _assigned(method) if _is_self(target.value)}
        for base in node.bases:
            name = ast.unparse(base).split("[")[0].rpartition(".")[2]
            if name in self._nodes and name != node.name:
                found |= self.fields(self._nodes[name])
        return found


@pytest.fixture(scope="module")
def trees() -> dict[Path, ast.Module]:
    paths = [path for path in tracked(*PRODUCT) if path.suffix == ".py"]
    return {path: ast.parse((ROOT / path).read_text(encoding="utf-8")) for path in paths}


def test_only_init_makes_fields(trees: dict[Path, ast.Module]) -> None:
    classes = Classes(trees)
    late = [
        f"{path}:{target.lineno}: {node.name}.{target.attr}"
        for path, tree in trees.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef) and (str(path), node.name) not in LATE
        for target in _late_fields(node, classes.fields(node))
    ]
    assert [] == late, "make it in __init__"


def test_nobody_plants_a_callback_in_an_object_made_elsewhere(trees: dict[Path, ast.Module]) -> None:
    planted = [
        f"{path}:{target.lineno}: {ast.unparse(target)}"
        for path, tree in trees.items()
        for target in _planted_callbacks(tree)
        if (str(path), target.attr) not in PLANTED
    ]
    assert [] == planted, "make it an argument of its __init__"


# ---- what the two tests find ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "late", "planted"),
    [
        ("class A:\n def __init__(self): self.x = 1\n def go(self): self.x = 2", [], []),
        ("class A:\n def __init__(self): self.x = 1\n def go(self): self.y = self.x", ["y"], []),
        ("class A:\n x: int = 0\n def go(self): self.x += 1", [], []),
        ("class B:\n def __init__(self): self.x = 1\nclass A(B):\n def go(self): self.x = 2", [], []),
        ("class A:\n def go(self):\n  with f() as self.x: self.a, (self.b, c) = 1, (2, 3)", ["a", "b", "x"], []),
        ("class A:\n def go(self):\n  for self.i in (): pass", ["i"], []),
        ("class A:\n def f(self): pass\n def go(self): self.x.done = self.f", [], ["done"]),
        ("def go(b): b.done = lambda: None", [], ["done"]),
        ("def f(): pass\ndef go(b): b.done, b.other = f, 1", [], ["done"]),
        ("def go(b): b.done = partial(print, 1)", [], ["done"]),
        ("def go(b):\n def f(): pass\n b.done = f", [], ["done"]),
        ("def go(b): b.done = True", [], []),
        ("class A:\n def __init__(self): self.done = self.f\n def f(self): pass", [], []),
    ],
)
def test_the_rules_find_what_they_should(source: str, late: list[str], planted: list[str]) -> None:
    tree = ast.parse(source)
    classes = Classes({Path("x.py"): tree})
    nodes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    assert late == sorted(target.attr for node in nodes for target in _late_fields(node, classes.fields(node)))
    assert planted == sorted(target.attr for target in _planted_callbacks(tree))


def _late_fields(node: ast.ClassDef, fields: set[str]) -> Iterator[ast.Attribute]:
    for method in _methods(node):
        for target in _assigned(method):
            if _is_self(target.value) and target.attr not in fields and not target.attr.startswith(FOREIGN):
                yield target


def _planted_callbacks(tree: ast.Module) -> Iterator[ast.Attribute]:
    """Assignments to an attribute of an object other than self, of something that is plainly a function."""
    methods = {method.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for method in _methods(node)}
    every = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign):
            for target, value in _pairs(node):
                if (
                    isinstance(target, ast.Attribute)
                    and not _is_self(target.value)
                    and _is_function(value, every - methods, methods)
                ):
                    yield target


def _pairs(node: ast.Assign) -> Iterator[tuple[ast.expr, ast.expr]]:
    for target in node.targets:
        if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
            yield from zip(target.elts, node.value.elts, strict=False)
        else:
            yield target, node.value


def _is_function(value: ast.expr, functions: set[str], methods: set[str]) -> bool:
    match value:
        case ast.Lambda():
            return True
        case ast.Call(func=function):
            return ast.unparse(function) in ("partial", "functools.partial")
        case ast.Name(id=name):
            return name in functions
        case ast.Attribute(value=ast.Name(id="self"), attr=name):
            return name in methods
    return False


def _methods(node: ast.ClassDef) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    yield from (part for part in node.body if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef))


def _class_level(node: ast.ClassDef) -> Iterator[str]:
    """Fields of dataclasses and structs, class attributes, and properties that have a setter."""
    for part in node.body:
        match part:
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield name
            case ast.Assign(targets=targets):
                yield from (name for target in targets for name in _strings(target))
            case ast.FunctionDef(name=name, decorator_list=decorators):
                if any(ast.unparse(decorator) == f"{name}.setter" for decorator in decorators):
                    yield name


def _strings(target: ast.expr) -> Iterator[str]:
    yield from (part.id for part in ast.walk(target) if isinstance(part, ast.Name))


def _assigned(node: ast.AST) -> Iterator[ast.Attribute]:
    """Every attribute that is assigned in a function."""
    yield from (part for part in ast.walk(node) if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store))


def _is_self(value: ast.expr) -> bool:
    return isinstance(value, ast.Name) and value.id in ("self", "cls")
