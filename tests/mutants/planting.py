"""How a bug is planted: the source of a function of the product is changed, and compiled in its place.

A change names the text that it replaces, which must stand in the function exactly once. So a function that is gone, or
whose text is another one now, is an error in words, and never a mutant that does nothing. What replaces it may be
several lines: they are indented as the text that they replace.

The code is exchanged inside the function object, so everybody who holds the function has the wrong one.
"""

from __future__ import annotations
import __future__

import contextlib
import inspect
import textwrap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import CodeType, FunctionType
from typing import Any

FLAGS = __future__.annotations.compiler_flag  # every module of the product has it


class Unplantable(Exception):
    """The product has changed such that this mutant means nothing. Look at it again."""


@dataclass(frozen=True, slots=True)
class Change:
    """`within` is a function, a method, or a property. `text` stands in its source exactly once."""

    within: Callable[..., Any] | property | classmethod[Any, Any, Any]
    text: str
    becomes: str


@dataclass(frozen=True, slots=True)
class Mutant:
    name: str
    about: str  # what is wrong with it, one sentence
    changes: tuple[Change, ...]


def function_of(within: object) -> FunctionType:
    function: object = within
    if isinstance(function, property):
        function = function.fget
    function = inspect.unwrap(getattr(function, "__func__", function))  # type: ignore[arg-type]
    if not isinstance(function, FunctionType):
        raise Unplantable(f"{within!r} is no function of the product")
    return function


def changed_source(mutant: Mutant, change: Change) -> str:
    """The source of the function with the bug in it."""
    source = textwrap.dedent(inspect.getsource(function_of(change.within)))
    return _replaced(mutant, source, change)


def _replaced(mutant: Mutant, source: str, change: Change) -> str:
    where = function_of(change.within).__qualname__
    if source.count(change.text) != 1:
        times = source.count(change.text)
        raise Unplantable(f"{mutant.name}: this stands {times} times in {where}, not once: {change.text!r}")
    before = source[: source.index(change.text)]
    indent = before[before.rfind("\n") + 1 :]
    lines = change.becomes.split("\n")
    new = "\n".join([lines[0], *(indent + line if line else line for line in lines[1:])])
    return source.replace(change.text, new)


@contextlib.contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """The product has this bug until the block ends."""
    sound = {function: function.__code__ for function in map(function_of, (each.within for each in mutant.changes))}
    try:
        plant(mutant)
        yield
    finally:
        for function, code in sound.items():
            function.__code__ = code


def plant(mutant: Mutant) -> None:
    """For the rest of this process. Raises `Unplantable`."""
    by_function: dict[FunctionType, list[Change]] = {}
    for change in mutant.changes:
        by_function.setdefault(function_of(change.within), []).append(change)
    wrong = [(function, _compile(mutant, function, changes)) for function, changes in by_function.items()]
    for function, code in wrong:
        function.__code__ = code


def _compile(mutant: Mutant, function: FunctionType, changes: list[Change]) -> CodeType:
    source = textwrap.dedent(inspect.getsource(function))
    for change in changes:
        source = _replaced(mutant, source, change)
    # Within a function, so that the names which it has from outside (`super()` needs `__class__`) are cells again.
    outer = function.__code__.co_freevars
    wrapped = f"def outside({', '.join(outer)}):\n{textwrap.indent(source, '    ')}"
    try:
        module = compile(wrapped, f"<{mutant.name}: {function.__qualname__}>", "exec", FLAGS, dont_inherit=True)
    except SyntaxError as error:
        raise Unplantable(f"{mutant.name}: {function.__qualname__} with its change is no Python: {error}") from error
    code = next(_codes(_named(module, "outside"), function.__name__), None)
    if code is None or code.co_freevars != outer:
        raise Unplantable(f"{mutant.name}: {function.__qualname__} needs other names from outside than before")
    return code


def _named(code: CodeType, name: str) -> CodeType:
    return next(_codes(code, name))


def _codes(code: CodeType, name: str) -> Iterator[CodeType]:
    return (each for each in code.co_consts if isinstance(each, CodeType) and each.co_name == name)
