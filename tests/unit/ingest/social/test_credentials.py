"""Credentials come from the environment or from files, and what is missing is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.credentials import read_credentials
from quorate.ingest.social.networks.twitter.keys import NAMES, TwitterKeys


def test_all_that_are_missing_are_named_at_once() -> None:
    with pytest.raises(ConfigError) as raised:
        TwitterKeys.of({"SP_TWITTER_KEY": "k", "SP_TWITTER_ACCESSTOKEN": " "})
    assert "not set: SP_TWITTER_SECRET, SP_TWITTER_ACCESSTOKEN, SP_TWITTER_ACCESSSECRET." in raised.value.detail
    assert "SP_TWITTER_SECRET_FILE" in raised.value.detail


def test_they_may_stand_in_files(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("of a file\n")
    file.chmod(0o600)
    env = dict.fromkeys(NAMES, "k") | {"SP_TWITTER_SECRET": "", "SP_TWITTER_SECRET_FILE": str(file)}
    keys = TwitterKeys.of(env)
    assert ("k", "of a file") == (keys.key, keys.secret)


def test_they_are_not_shown() -> None:
    assert "secret-of-tests" not in repr(TwitterKeys("k", "secret-of-tests", "t", "s"))


@pytest.mark.parametrize("value", ["two\nlines", "ünicode", "nul\0"])
def test_what_no_credential_can_be_is_refused_without_showing_it(value: str) -> None:
    with pytest.raises(ConfigError, match="TOKEN holds characters") as raised:
        read_credentials({"TOKEN": value}, ["TOKEN"], purpose="a test")
    assert value not in raised.value.detail


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"TOKEN_FILE: .*/none cannot be read: No such file"):
        read_credentials({"TOKEN_FILE": str(tmp_path / "none")}, ["TOKEN"], purpose="a test")


@pytest.mark.parametrize(("mode", "said"), [(0o644, "can be read by"), (0o602, "can be changed by")])
def test_a_file_that_others_can_use_is_refused(tmp_path: Path, mode: int, said: str) -> None:
    """As those of keys and tokens are."""
    file = tmp_path / "token"
    file.write_text("s3cret")
    file.chmod(mode)
    with pytest.raises(ConfigError, match=rf"SP_TOKEN_FILE: {file} {said} .*: chmod 600 {file}") as error:
        read_credentials({"SP_TOKEN_FILE": str(file)}, ["SP_TOKEN"], purpose="it")
    assert "s3cret" not in error.value.detail
    file.chmod(0o600)
    assert {"SP_TOKEN": "s3cret"} == read_credentials({"SP_TOKEN_FILE": str(file)}, ["SP_TOKEN"], purpose="it")
