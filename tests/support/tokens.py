"""A file of tokens for tests: a token of each role, whose secret is its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quorate.doors.access import Access
from quorate.security.roles import ROLES, RouteRole
from quorate.security.token_file import TokenFile
from quorate.security.tokens import hash_of

ONE_OF_EACH: Mapping[str, str] = {role: role for role in ROLES}


def write_tokens(
    path: Path,
    roles: Mapping[str, str] = ONE_OF_EACH,
    polls: Mapping[str, Sequence[str]] | None = None,
    bounds: Mapping[str, str] | None = None,
) -> Path:
    """`roles`: by name, which is the secret too. `polls`: by name, the polls that a token is bound to. `bounds`: by
    name, further lines."""
    tables = []
    for name, role in roles.items():
        bound = f"polls = {list(polls[name])}\n" if polls and name in polls else ""
        bound += f"{(bounds or {}).get(name, '')}\n"
        tables.append(f'[[token]]\nname = "{name}"\nrole = "{role}"\nhash = "{hash_of(name)}"\n{bound}')
    path.touch(0o600)
    path.write_text("".join(tables), encoding="utf-8")
    return path


def access_by(path: Path, anonymous: RouteRole = "public") -> Access:
    """For a node of `running`. It watches no file."""
    return Access(TokenFile(path), anonymous)


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}
