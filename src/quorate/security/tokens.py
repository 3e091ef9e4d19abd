"""Tokens, and the file that lists them: TOML, with a table for each token, and only a hash of the token itself.

    [[token]]
    name = "feeder"        # whose it is; the producers that it opens belong to this name
    role = "vote"          # read, vote, manage or operate
    hash = "sha256:2c26…"  # of the token, in hexadecimal
    polls = ["mood"]       # optional: the only polls that it is for
    share = 1              # optional, 1 to 8: its share of the dedup window. Its ids push out none of other shares
    rate = 100             # optional: votes a second at each node; any other request counts as one
    burst = 500            # optional, with a rate: so many at once after a quiet time

A name may stand there more than once: a token is renewed without a gap by adding the new one before the old one goes.
Tokens are random (`quorate token new` makes them of 32 bytes), so a plain SHA-256 of one tells nothing about it.
`token_file.py` reads the file and reads it again.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from quorate.errors import ConfigError, QuorateError
from quorate.security.roles import ROLES, Role
from quorate.vote import ID_BYTES_MAX, SHARES_MAX, check_text
from quorate.words import count

TOKENS_MAX = 5_000  # so that a file is read again within a fraction of a second
SECRET_BYTES_MAX = 1_024  # so that nobody has a node hash long headers
POLLS_MAX = 100  # that one token is bound to: as many as one event stream can follow
RATE_MAX = 1_000_000  # votes a second, and at once
PREFIX = "qt_"  # so that a search for leaked secrets can find tokens
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
HASH = re.compile(r"sha256:([0-9a-f]{64})")
SHARED_ROLES = ("vote", "manage")  # whose tokens get a share of the dedup window: who operates is trusted
IN_COMMON = (
    "whoever casts very many votes there, also without a token, pushes ids out early, and a vote that is sent again "
    "later may count twice. Tokens that trust each other may have one number in common (share = 1 to 8)"
)
KNOWN = ("name", "role", "hash", "polls", "share", "rate", "burst")


@dataclass(frozen=True, slots=True)
class Token:
    """One line of the file. `polls`: the only polls that it is for; None: all.

    A token with another share or rate is the same token: what it asked before goes on.
    """

    name: str
    role: Role
    digest: bytes
    polls: frozenset[str] | None = None
    share: int = field(default=0, compare=False)  # of the dedup window; 0: the common one
    rate: float | None = field(default=None, compare=False)  # votes a second; None: it has none
    burst: float = field(default=0.0, compare=False)  # 0: as `Bucket` has it


class Tokens:
    """The tokens that hold at one time. Never changed: a file that is read again makes a new one."""

    def __init__(self, tokens: Iterable[Token] = ()) -> None:
        # What a look-up compares depends on a key that only this process has, so its time tells nobody anything.
        self._key = secrets.token_bytes(32)
        self._by_mark = {self._mark(token.digest): token for token in tokens}
        self._digest: tuple[bytes, str] | None = None  # of thousands it takes a while, and each reader of settings asks

    def __len__(self) -> int:
        return len(self._by_mark)

    def __iter__(self) -> Iterator[Token]:
        return iter(self._by_mark.values())

    def find(self, secret: bytes) -> Token | None:
        """The token of a request, in a time that does not depend on how much of the secret is right."""
        if len(secret) > SECRET_BYTES_MAX:
            return None
        digest = hashlib.sha256(secret).digest()
        token = self._by_mark.get(self._mark(digest))
        return token if token is not None and hmac.compare_digest(token.digest, digest) else None

    def still_has(self, token: Token) -> bool:
        """Whether it stands there with the same name, role and polls."""
        return self._by_mark.get(self._mark(token.digest)) == token

    def digest(self, key: bytes) -> str:
        """Equal for the same tokens with the same bounds, in whatever order. Without the key it tells nothing."""
        if self._digest is None or self._digest[0] != key:
            self._digest = key, self._made_digest(key)
        return self._digest[1]

    def _made_digest(self, key: bytes) -> str:
        tables = sorted(
            (each.name, each.role, each.digest.hex(), sorted(each.polls or ()), each.share, each.rate or 0, each.burst)
            for each in self
        )
        return hashlib.blake2b(json.dumps(tables).encode(), digest_size=16, key=key).hexdigest()

    def _mark(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, digest_size=16, key=self._key).digest()


def new_secret() -> str:
    return PREFIX + secrets.token_urlsafe(32)


def hash_of(secret: str) -> str:
    """As the file has it."""
    return f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"


def table_of(name: str, role: str, secret: str, **more: Any) -> str:
    """The lines of the file for one token. Whether they make sense is for `read_tokens` to say.

    `more`: polls, share, rate and burst, as far as they are not empty.
    """
    values = {"name": name, "role": role, "hash": hash_of(secret)} | {key: each for key, each in more.items() if each}
    # TOML's strings and lists of them are JSON's, but for DEL, which no name and no poll may have.
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(["[[token]]", *lines, ""])


def share_for(tokens: Iterable[Token], name: str, role: str) -> int:
    """The share of the dedup window for a new token: that of its name, or the first that no token has. 0, the common
    one: all are taken, or the token is not for voting."""
    taken = {(token.share, token.name) for token in tokens if token.share}
    of_name = sorted(share for share, owner in taken if owner == name)
    free = sorted({*range(1, SHARES_MAX + 1)} - {share for share, _ in taken})
    return next(iter([*of_name, *free]), 0) if role in SHARED_ROLES else 0


def without_share(tokens: Iterable[Token]) -> list[str]:
    """The names of tokens for voting that are left with the common share because all others are taken."""
    known = list(tokens)
    if len({token.share for token in known if token.share}) < SHARES_MAX:
        return []
    return sorted({token.name for token in known if not token.share and token.role in SHARED_ROLES})


def read_tokens(text: str, *, may_be_empty: bool = False) -> Tokens:
    """Raises `ConfigError`, which says in words what is wrong. It quotes nothing of the file but names."""
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"it is not TOML: {error}") from None
    except RecursionError:
        raise ConfigError("it is not TOML that anybody would write: it is nested too deep") from None
    if unknown := [key for key in document if key != "token"]:
        raise ConfigError(f"it has {unknown[0][:40]!r}; it may have nothing but tables [[token]]")
    tables = document.get("token", [])
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise ConfigError("write each token as a table of its own: [[token]], and name, role and hash below it")
    if len(tables) > TOKENS_MAX:
        raise ConfigError(f"it has {count(len(tables), 'token')}; the limit is {TOKENS_MAX:,}")
    if not tables and not may_be_empty:
        # A file that was cut, or whose writing has only begun, must not take every token away.
        raise ConfigError("it has no tokens; make one: quorate token new")
    tokens = [_read_token(table, number) for number, table in enumerate(tables, 1)]
    _check_hashes(tokens)
    return Tokens(tokens)


def _check_hashes(tokens: Iterable[Token]) -> None:
    seen: dict[bytes, str] = {}
    for token in tokens:
        if token.digest in seen:
            raise ConfigError(f"{seen[token.digest]} and {token.name} have the same hash; make a token for each")
        seen[token.digest] = token.name


def _read_token(table: Mapping[str, Any], number: int) -> Token:
    name, role, told_hash = table.get("name"), table.get("role"), table.get("hash")
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ConfigError(f"token {number} needs a name of letters, digits, '.', '_' and '-', at most 32")
    if unknown := [key for key in table if key not in KNOWN]:
        raise ConfigError(f"token {number} ({name}) has {unknown[0][:40]!r}; it may have {', '.join(KNOWN)}")
    if role not in ROLES:
        raise ConfigError(f"token {number} ({name}) needs a role, one of {', '.join(ROLES)}")
    found = HASH.fullmatch(told_hash) if isinstance(told_hash, str) else None
    if found is None:
        raise ConfigError(f"token {number} ({name}) needs a hash, as `quorate token new` prints it: sha256:…")
    polls = _read_polls(table, number, name, role)
    return Token(name, role, bytes.fromhex(found[1]), polls, *_read_bounds(table, f"token {number} ({name})"))


def _read_bounds(table: Mapping[str, Any], who: str) -> tuple[int, float | None, float]:
    """Its share, rate and burst."""
    share, rate, burst = (table.get(key) for key in ("share", "rate", "burst"))
    if share is not None and (type(share) is not int or not 1 <= share <= SHARES_MAX):
        raise ConfigError(f"{who} needs as share of the dedup window 1 to {SHARES_MAX}, or none for the common one")
    if rate is not None and (type(rate) not in (int, float) or not 0.001 <= rate <= RATE_MAX):
        raise ConfigError(f"{who} needs as rate votes a second, 0.001 to {RATE_MAX:,}; leave it out for none")
    if burst is not None and (rate is None or type(burst) is not int or not 1 <= burst <= RATE_MAX):
        raise ConfigError(f"{who} needs as burst votes at once, 1 to {RATE_MAX:,}, and a rate beside it")
    return share or 0, None if rate is None else float(rate), float(burst or 0)


def _read_polls(table: Mapping[str, Any], number: int, name: str, role: Role) -> frozenset[str] | None:
    if "polls" not in table:
        return None
    polls = table["polls"]
    if not isinstance(polls, list) or not polls or not all(isinstance(poll, str) for poll in polls):
        raise ConfigError(f"token {number} ({name}) needs in polls the ids of polls; leave polls out for all of them")
    if len(polls) > POLLS_MAX:
        raise ConfigError(f"token {number} ({name}) is bound to {count(len(polls), 'poll')}; the limit is {POLLS_MAX}")
    if role == "operate":
        raise ConfigError(f"token {number} ({name}) has the role operate, which cannot be bound to polls")
    try:
        return frozenset(check_text(poll, "poll", ID_BYTES_MAX) for poll in polls)
    except QuorateError as error:
        raise ConfigError(f"token {number} ({name}): {error.detail}") from None
