"""Rules that no type checker knows: links stay links, no folder hides a standard module, files stay short."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from quorate.cli import quorate
from tests.support.checkout import ROOT, build_wheel, tracked

PARTS = ("cluster", "http", "ingest", "resp", "sinks")
LINES_MAX = 400
WAITING = {"wait_for", "eventually", "let_pass"}  # the functions in tests that may sleep
VAGUE = re.compile(r"(^|_)(utils?|managers?|helpers?|misc|common)(_|$)")


def python_files() -> list[Path]:
    return [path for path in tracked() if path.suffix == ".py"]


@pytest.mark.parametrize("part", PARTS)
def test_each_part_is_a_relative_link_into_the_package(part: str) -> None:
    link = ROOT / "src" / "quorate" / part
    assert link.is_symlink(), f"{link} must be a link, or a build makes a wheel without it"
    assert f"../../{part}" == os.readlink(link)
    assert (ROOT / part) == link.resolve()


def test_no_root_folder_hides_a_standard_module() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert set() == packages & set(sys.stdlib_module_names)


def test_the_libraries_import_with_the_root_as_working_directory() -> None:
    program = "import http.client, requests, flask, pymongo; print(http.client.__file__)"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert 0 == done.returncode, done.stderr
    assert str(ROOT) not in done.stdout.replace(sys.prefix, "")


def test_the_wheel_holds_what_git_tracks(tmp_path: Path) -> None:
    wheel = build_wheel(tmp_path)
    with zipfile.ZipFile(wheel) as archive:
        names = [name for name in archive.namelist() if ".dist-info/" not in name]
        packed = {name for name in names if name.startswith("quorate/")}
    assert {"quorate"} == {name.partition("/")[0] for name in names}, "no tests, and no planted bugs (tests/mutants)"
    own = {path.relative_to("src").as_posix() for path in tracked("src") if not (ROOT / path).is_symlink()}
    linked = {f"quorate/{path.as_posix()}" for path in tracked(*PARTS)}
    assert own | linked == packed


def test_files_stay_short() -> None:
    long = {str(path): lines for path in python_files() if (lines := len(read(path).splitlines())) > LINES_MAX}
    assert {} == long, "look for the second idea in it"


def test_names_say_what_is_inside() -> None:
    vague = [str(path) for path in python_files() if any(VAGUE.search(part) for part in path.with_suffix("").parts)]
    assert [] == vague


def test_a_class_name_stands_for_one_class() -> None:
    """In the product. Sections of the settings are named as users write them: `[node]`, `[flush]`."""
    places: dict[str, list[str]] = {}
    product = [path for path in python_files() if path.parts[0] in PARTS or path.parts[:2] == ("src", "quorate")]
    for path in product:
        if path.parts[:3] != ("src", "quorate", "config"):
            for node in ast.walk(ast.parse(read(path))):
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(str(path))
    assert {} == {name: found for name, found in places.items() if len(found) > 1}


def test_tests_wait_for_conditions() -> None:
    sleepers = [
        f"{path}:{line}"
        for path in python_files()
        if path.parts[0] == "tests"
        for line in sleeps(ast.parse(read(path)))
    ]
    assert [] == sleepers, "wait for a condition: tests.support.waiting.wait_for"


def sleeps(tree: ast.AST) -> Iterator[int]:
    """Lines that call time.sleep. Functions that wait for a condition may do so, and are left out."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef) and node.name in WAITING:
            continue
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "time.sleep":
            yield node.lineno
        yield from sleeps(node)


def test_commands_in_the_documents_exist() -> None:
    context = click.Context(quorate)
    wrong = []
    for path, line in shell_lines():
        for script in re.findall(r"(?<![\w/.$])(?:\./)?((?:scripts|bench|deploy|\.ci)/[\w./-]+)", line):
            if not (ROOT / script).exists():
                wrong.append(f"{path}: {script}")
        for command in re.findall(r"(?:^|[|;&(]\s*|\bbin/)quorate ([a-z-]+)", line):
            if quorate.get_command(context, command) is None:
                wrong.append(f"{path}: quorate {command}")
    assert [] == wrong


def test_links_in_the_documents_lead_somewhere() -> None:
    broken = [
        f"{path}: {target}"
        for path in documents()
        for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#\s]+)", read(path))
        if not (ROOT / path.parent / target).exists()
    ]
    assert [] == broken


def test_files_named_in_the_documents_exist() -> None:
    theirs = {"syncobj.py"}  # PySyncObj's
    known = [f"/{path}" for path in tracked()]
    missing = [
        f"{path}: {name}"
        for path in documents()
        for name in re.findall(r"`([\w./-]+\.(?:py|sh|html|css|js|toml|yml))`", read(path))
        if name not in theirs and not any(file.endswith(f"/{name}") for file in known)
    ]
    assert [] == missing


def documents() -> Iterator[Path]:
    yield from (path for path in tracked() if path.suffix == ".md" and path.parts[0] in ("docs", path.name))


def shell_lines() -> Iterator[tuple[Path, str]]:
    """All lines of the shell blocks in the documents."""
    for path in documents():
        for block in re.findall(r"^```(?:sh|bash|shell|console)\n(.*?)^```", read(path), re.S | re.M):
            for line in block.splitlines():
                yield path, line.strip().removeprefix("$ ")


def read(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")
