"""Files with secrets in them that other users of the host can read, change or replace are told or refused."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from quorate.config import load
from quorate.errors import ConfigError

KEY = "7c9e0b45f1d2a836"


def refused(file: Path | None = None, *, env: Mapping[str, str]) -> list[str]:
    """What is wrong with the settings; nothing, if they are taken."""
    try:
        assert () == load(file, env=env).warnings
    except ConfigError as error:
        return list(error.fields["problems"])
    return []


@pytest.mark.parametrize(
    ("mode", "said"),
    [(0o600, []), (0o400, []), (0o640, []), (0o644, ["read"]), (0o666, ["read and changed"]), (0o660, ["changed"])],
)
def test_a_key_file_that_others_can_use_is_refused(tmp_path: Path, mode: int, said: list[str]) -> None:
    key = tmp_path / "key"
    key.write_text(KEY)
    key.chmod(mode)
    whole = [f"raft.key_file: {key} can be {may} by other users of this host: chmod 600 {key}" for may in said]
    assert whole == refused(env={"QUORATE_RAFT_KEY_FILE": str(key)})


@pytest.mark.parametrize(("mode", "loose"), [(0o700, False), (0o755, False), (0o1777, False), (0o777, True)])
@pytest.mark.parametrize("linked", [False, True])
def test_a_key_file_in_a_folder_where_all_may_put_another_is_refused(
    tmp_path: Path, mode: int, loose: bool, linked: bool
) -> None:
    """Whoever may write in its folder, or in that of a link to it, may put another file in its place."""
    folder, key = tmp_path / "keys", tmp_path / "key"
    folder.mkdir()
    key.write_text(KEY)
    key.chmod(0o600)
    if linked:
        (folder / "key").symlink_to(key)
    else:
        key.rename(folder / "key")
    folder.chmod(mode)
    said = f"raft.key_file: {folder / 'key'} can be replaced by other users of this host: chmod o-w {folder}"
    assert [said] * loose == refused(env={"QUORATE_RAFT_KEY_FILE": str(folder / "key")})


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f'[raft]\nkey = "{KEY}"\n', "raft.key"),
        ('[consul]\ntoken = "t"\n[mongo]\nurl = "mongodb://me:secret@127.0.0.1"\n', "consul.token and mongo.url"),
        ('[mongo]\nurl = "mongodb://127.0.0.1"\n[raft]\nkey = ""\n', ""),
    ],
)
def test_settings_with_a_secret_in_a_file_that_others_can_read_are_told(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "quorate.toml"
    file.write_text(text)
    file.chmod(0o644)
    whole = f"{file} holds {said} and can be read by other users of this host: chmod 600 {file}"
    assert [whole] * bool(said) == list(load(file, env={}).warnings)
    file.chmod(0o640)
    assert [] == list(load(file, env={}).warnings)
