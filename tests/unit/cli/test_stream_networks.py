"""The commands of networks: credentials first, and URLs that are URLs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from quorate.cli import quorate

TWITTER = dict.fromkeys(
    ("SP_TWITTER_KEY", "SP_TWITTER_SECRET", "SP_TWITTER_ACCESSTOKEN", "SP_TWITTER_ACCESSSECRET"), "key-of-tests"
)


def run(*arguments: str, env: dict[str, str | None]) -> Result:
    return CliRunner().invoke(quorate, ["stream", *arguments], env=env)


def test_missing_credentials_are_named_before_anything_else(tmp_path: Path) -> None:
    """Even before the settings, which are wrong here."""
    wrong = tmp_path / "quorate.toml"
    wrong.write_text("[stream]\nnonsense = 1\n")
    env: dict[str, str | None] = {**TWITTER, "SP_TWITTER_SECRET": None, "SP_TWITTER_ACCESSTOKEN": ""}
    done = run("twitter", "--config", str(wrong), env=env)
    assert "not set: SP_TWITTER_SECRET, SP_TWITTER_ACCESSTOKEN." in str(done.exception or done.output)
    assert "key-of-tests" not in str(done.exception) + done.output


@pytest.mark.parametrize("url", ["stream.example", "ftp://stream.example", "https://me:pw@a.example/", "http://:80"])
def test_what_is_no_url_is_refused(url: str) -> None:
    done = run("twitter", "--url", url, env={**TWITTER})
    assert "is no URL such as https://" in str(done.exception)
    assert "pw" not in str(done.exception) + done.output


def test_what_wikimedia_cannot_be_asked_is_refused() -> None:
    done = run("wikimedia", "--from", "yesterday", env={})
    assert (2, True) == (done.exit_code, "it is no time" in " ".join(done.output.replace("│", " ").split()))
    assert "is no URL" in str(run("wikimedia", "--url", "stream.wikimedia.org", env={}).exception)


def test_mastodon_needs_its_token_before_anything_else() -> None:
    done = run("mastodon", "--url", "https://mastodon.example", env={"SP_MASTODON_TOKEN": None})
    assert "not set: SP_MASTODON_TOKEN." in str(done.exception or done.output)


def test_x_needs_an_app_or_a_bearer_token() -> None:
    done = run("x", env=dict.fromkeys(("SP_X_KEY", "SP_X_SECRET", "SP_X_BEARER")))
    words = "X (unless SP_X_BEARER is set) needs credentials that are not set: SP_X_KEY, SP_X_SECRET."
    assert words in str(done.exception)


def test_a_bearer_token_is_not_sent_in_the_clear() -> None:
    done = run("x", "--url", "http://api.example", env={"SP_X_BEARER": "token-of-tests"})
    assert "in the clear" in str(done.exception)
    assert "token-of-tests" not in str(done.exception) + done.output


@pytest.mark.parametrize("network", ["bluesky", "nostr"])
@pytest.mark.parametrize("url", ["https://jetstream.example", "wss://", "wss://me@jetstream.example"])
def test_a_web_socket_has_a_url_of_its_own_kind(network: str, url: str) -> None:
    done = run(network, "--url", url, env={})
    assert "is no URL such as wss://" in str(done.exception)
