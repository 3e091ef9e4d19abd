"""What every section of the settings is made of: its base class, and the description of one setting.

A section is a frozen struct, so a running node's settings do not change under it. Each field carries one line that says
what it is for, and its limits: the file format, the environment's names, `--set`, `quorate config show` and
docs/settings.md all follow from these.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import msgspec

from quorate.shown import without_password

PORTABLE_INT_MAX = 2**31 - 1

# For whom a setting holds. "node": for the node that has it. "alike": each node has its own, and all should have the
# same. "cluster": the log holds it, and what a node has is only what a new cluster begins with.
Scope = Literal["node", "alike", "cluster"]


def about(
    description: str,
    *,
    path: bool = False,
    secret: bool = False,
    names: Callable[[], Iterable[str]] | None = None,
    replaced_by: str = "",
    several: bool = False,
    scope: Scope = "node",
    **limits: Any,
) -> msgspec.Meta:
    """Describe a setting.

    path: its value is relative to the file that sets it.
    secret: its value is masked, and can also be read from a file, named by the setting `…_file`.
    names: the setting is a list, and these are the names that it can hold.
    replaced_by: this is the old name of another setting, and is still read for it.
    several: it is one text or several, separated by commas; a file may give them as a list.
    scope: for whom it holds.
    """
    kind = {"path": path, "secret": secret, "several": several, "scope": scope}
    return msgspec.Meta(description=description, extra={**kind, "names": names, "replaced_by": replaced_by}, **limits)


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of the sections. Printing a section does not print its secrets."""

    def problems(self) -> Iterator[str]:
        """What contradicts itself within this section: each problem is a sentence that says what to change."""
        yield from ()

    def __repr__(self) -> str:
        hints = typing.get_type_hints(type(self), include_extras=True)
        secrets = {name for name, hint in hints.items() if is_secret(hint)}
        fields = ((name, getattr(self, name)) for name in self.__struct_fields__)
        shown = (
            f"{name}=***" if name in secrets and value else f"{name}={without_passwords(value)!r}"
            for name, value in fields
        )
        return f"{type(self).__name__}({', '.join(shown)})"


def without_passwords(value: Any) -> Any:
    """A value of a setting, passwords in addresses masked."""
    if isinstance(value, list):
        return [without_passwords(each) for each in value]
    return without_password(value) if isinstance(value, str) else value


def is_secret(hint: Any) -> bool:
    """Whether the hint of a field says that its value is a secret."""
    return any(isinstance(meta, msgspec.Meta) and (meta.extra or {})["secret"] for meta in typing.get_args(hint))
