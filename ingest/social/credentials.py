"""Credentials of people's accounts: from the environment, or from files that it names. Never from flags, which other
people on the machine can see. What is missing is named, all at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from quorate.errors import ConfigError
from quorate.security.open_files import why_open

FILE = "_FILE"  # SP_MASTODON_TOKEN_FILE is the path of a file that holds SP_MASTODON_TOKEN


def read_credentials(env: Mapping[str, str], names: Sequence[str], *, purpose: str) -> dict[str, str]:
    """All of `names`. Raises `ConfigError` that says which are not set, for what `purpose`."""
    found = {name: value for name in names if (value := credential(env, name))}
    missing = [name for name in names if name not in found]
    if missing:
        raise ConfigError(
            f"{purpose} needs credentials that are not set: {', '.join(missing)}. Set them in the environment, or"
            f" {missing[0]}{FILE} and so on to the paths of files that hold them"
        )
    return found


def credential(env: Mapping[str, str], name: str) -> str:
    """ "" if it is not set. White space around it is no part of it."""
    value = env.get(name, "").strip()
    path = env.get(name + FILE, "")
    if not value and path:
        value = _read(name, Path(path))
    if not value.isascii() or not value.isprintable():
        raise ConfigError(f"{name} holds characters that no credential has; was it copied whole?")
    return value


def _read(name: str, path: Path) -> str:
    try:
        if reasons := [*why_open(path)]:
            raise ConfigError(f"{name}{FILE}: {path} {' and '.join(reasons)}")
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ConfigError(f"{name}{FILE}: {path} cannot be read: {why}") from None
