"""The names of crash points: each is used in the code at one place at least, and each use is of a name there is."""

from __future__ import annotations

import ast

from quorate.crash_points import POINTS
from tests.support.checkout import ROOT, tracked

PRODUCT = ("cluster", "http", "ingest", "resp", "sinks", "src/quorate")
OWN = "src/quorate/crash_points.py"


def test_each_crash_point_is_used_and_each_use_is_named() -> None:
    paths = [path for path in tracked(*PRODUCT) if path.suffix == ".py" and str(path) != OWN]
    used = {name for path in paths for name in names_in(ast.parse((ROOT / path).read_text(encoding="utf-8")))}
    assert set(POINTS) == used
    assert len(POINTS) == len(set(POINTS)) >= 25


def names_in(tree: ast.AST) -> set[str]:
    """The names that are given to `crash_point`, also those of a choice between two."""
    return {
        part.value
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "crash_point"
        for part in ast.walk(call.args[0])
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


def test_the_names_of_a_choice_are_found() -> None:
    assert {"a", "b"} == names_in(ast.parse('crash_point("a" if offset == 0 else "b")'))
