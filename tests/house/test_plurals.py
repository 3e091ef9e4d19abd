"""A number that may be 1 is followed by a word that agrees with it: `words.count` makes both."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from tests.house.test_layout import python_files

ROOT = Path(__file__).parents[2]
PLURAL = re.compile(
    r"\s+(attempts|batches|bytes|calls|changes|characters|commands|connections|copies|digits|documents|entries|errors"
    r"|files|ids|items|letters|lines|links|members|messages|names|nodes|numbers|options|others|polls|requests|results"
    r"|segments|servers|sinks|snapshots|sources|streams|threads|times|tries|values|versions|votes|words)\b(?!=)"
)
# In these the number is never 1, or its unit is a measure that is always written so ("1 bytes" in a log of sizes).
MEASURES = {"bytes", "characters"}


def test_numbers_and_words_agree() -> None:
    slips = [f"{path}:{slip}" for path in python_files() for slip in slips_in(path)]
    assert [] == slips, "say count(number, 'vote')"


def slips_in(path: Path) -> Iterator[str]:
    if (ROOT / path).relative_to(ROOT).parts[0] in ("tests", "bench"):
        return
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.JoinedStr):
            for value, text in zip(node.values, node.values[1:], strict=False):
                if isinstance(value, ast.FormattedValue) and isinstance(text, ast.Constant):
                    found = PLURAL.match(str(text.value))
                    if found and found[1] not in MEASURES and may_be_1(value.value):
                        yield f"{node.lineno}: {ast.unparse(value.value)}{found[0]}"


def may_be_1(number: ast.expr) -> bool:
    """A constant in capitals is a limit, and a call has made its words itself."""
    name = number.attr if isinstance(number, ast.Attribute) else getattr(number, "id", "")
    return not (name.isupper() or name.endswith("_max") or (isinstance(number, ast.Call) and not is_len(number)))


def is_len(call: ast.Call) -> bool:
    return isinstance(call.func, ast.Name) and call.func.id == "len"
