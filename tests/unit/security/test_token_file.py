"""The file of tokens of a running node: it is read again when it changes, and a bad one takes no token away."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from quorate.errors import ConfigError
from quorate.security.token_file import RESTLESS, TokenFile
from quorate.security.tokens import hash_of
from tests.support.on_loop import on_loop
from tests.support.waiting import until


def listing(*secrets: str) -> bytes:
    tables = (f'[[token]]\nname = "{secret}"\nrole = "read"\nhash = "{hash_of(secret)}"\n' for secret in secrets)
    return "".join(tables).encode()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.write_bytes(listing("one"))
    path.chmod(0o600)
    return path


def holding(file: TokenFile) -> list[str]:
    return [token.name for token in file.tokens]


@pytest.mark.parametrize("mode", [0o604, 0o602, 0o620, 0o660, 0o644])
def test_a_file_that_others_may_read_or_change_is_refused(path: Path, mode: int) -> None:
    path.chmod(mode)
    with pytest.raises(ConfigError, match="chmod 600"):
        TokenFile(path)


def test_a_folder_in_which_others_may_replace_it_is_refused(path: Path, tmp_path: Path) -> None:
    for mode, is_refused in ((0o777, True), (0o1777, False), (0o755, False)):
        tmp_path.chmod(mode)
        if is_refused:
            with pytest.raises(ConfigError, match="can be replaced"):
                TokenFile(path)
        else:
            TokenFile(path)


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o640, 0o440])
def test_its_group_may_read_it(path: Path, mode: int) -> None:
    path.chmod(mode)
    assert ["one"] == holding(TokenFile(path))


def test_what_is_no_file_is_refused_and_waits_for_nobody(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe", 0o600)
    for name, words in (("pipe", "it is no file"), ("none", "cannot be read"), (".", "cannot be read")):
        with pytest.raises(ConfigError, match=words):
            TokenFile(tmp_path / name)


def test_a_change_holds_when_it_was_read_twice(path: Path) -> None:
    file, told = TokenFile(path), list[int]()
    file.on_change(lambda: told.append(len(file.tokens)))
    whole = listing("one", "two")
    file.take(whole[: len(listing("one")) + 40])  # half of it is written
    file.take(whole)
    assert (["one"], [], None) == (holding(file), told, file.problem)
    file.take(whole)
    assert (["one", "two"], [2], None) == (holding(file), told, file.problem)


def test_a_file_that_never_comes_to_rest_is_told(path: Path) -> None:
    """A token that was taken out of it would hold on, and nobody knew."""
    file = TokenFile(path)
    for number in range(RESTLESS):
        assert file.problem is None
        file.take(listing("two") + b"# %d\n" % number)
    assert ["one"] == holding(file)
    assert "changes all the time" in str(file.problem)
    for _ in range(2):
        file.take(listing("one"))
    assert (["one"], None) == (holding(file), file.problem)


@pytest.mark.parametrize(
    ("found", "words"), [("it cannot be read: gone", "gone"), (b"[[token", "not TOML"), (b"\xff", "not UTF-8")]
)
def test_a_bad_file_keeps_the_tokens_until_it_is_mended(path: Path, found: bytes | str, words: str) -> None:
    file = TokenFile(path)
    file.take(found)
    file.take(found)
    assert ["one"] == holding(file)
    assert words in str(file.problem)
    for _ in range(2):
        file.take(listing("one"))
    assert (["one"], None) == (holding(file), file.problem)


@on_loop
async def test_a_running_node_reads_it_again(path: Path) -> None:
    file = TokenFile(path)
    file.start()
    changes: list[tuple[Callable[[], object], Callable[[], bool]]] = [
        (partial(path.write_bytes, listing("two")), lambda: holding(file) == ["two"]),
        (partial(path.chmod, 0o644), lambda: "chmod 600" in str(file.problem)),
        (partial(path.chmod, 0o600), lambda: file.problem is None),
        (path.unlink, lambda: "cannot be read" in str(file.problem)),
    ]
    try:
        for number, (change, is_seen) in enumerate(changes):
            change()
            await until(f"change {number} is seen", is_seen)
        assert ["two"] == holding(file)
    finally:
        await file.stop()
