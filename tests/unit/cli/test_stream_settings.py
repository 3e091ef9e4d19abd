"""What a network's command can be told by a flag, it can be told by the settings: a file, or the environment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pytest

import quorate.ingest.social.networks.defaults as known
from quorate.cli import main
from quorate.cli.stream import ELSEWHERE, NETWORKS, stream
from quorate.cli.stream_settings import PREFIX
from quorate.config import SETTINGS
from quorate.ingest.social.networks.bluesky.network import Bluesky
from quorate.ingest.social.networks.mastodon.network import MastodonNetwork
from quorate.ingest.social.networks.nostr.network import Nostr
from quorate.ingest.social.networks.twitter.network import Twitter
from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork
from quorate.ingest.social.networks.x.network import X

KEPT = ("_urls", "_url", "_compress", "_silence_s", "_by_tags", "_contact")
KEYS = ("SP_TWITTER_KEY", "SP_TWITTER_SECRET", "SP_TWITTER_ACCESSTOKEN", "SP_TWITTER_ACCESSSECRET")

FILE = """
[stream]
silence_s = 7
twitter_url = "https://t.example/f.json"
twitter_track_max = 5
twitter_phrase_bytes_max = 50
x_url = "https://x.example"
x_posts_per_day = 77
x_dollars_per_day = 3
x_dollars_per_post = 0.01
x_reposts = false
x_rules_max = 9
x_rule_characters_max = 100
x_tag = "ours"
bluesky_urls = ["ws://b.example"]
bluesky_compress = false
nostr_urls = ["ws://n.example", "ws://n.example"]
nostr_feed = "hashtags"
wikimedia_url = "https://w.example/s"
contact = "me@example.org"
mastodon_url = "https://m.example"
mastodon_feed = "local"
mastodon_tags_max = 3
"""


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*KEYS, known.MASTODON_TOKEN, "SP_X_BEARER"):
        monkeypatch.setenv(name, "key-of-tests")


@pytest.fixture
def made(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """The network that a command makes. It is not run."""
    networks: list[Any] = []

    def run_stream(network: Any, options: object) -> int:
        networks.append(network)
        return 0

    def make(name: str, *flags: str) -> Any:
        stream.get_command(click.Context(stream), name)
        monkeypatch.setattr(f"quorate.cli.stream_networks.{name}.run_stream", run_stream)
        assert 0 == main(["stream", name, "--state", str(tmp_path), *flags])
        return networks[-1]

    return make


def told(network: Any) -> dict[str, Any]:
    """Everything that was told to it: what its constructor keeps."""
    match network:
        case Twitter():
            return {"url": network.source, "limits": network.limits, "silence_s": network.silence_s}
        case X():
            named = ("source", "budget", "rules", "tag", "reposts", "silence_s")
            return {name: getattr(network, name) for name in named}
        case MastodonNetwork():
            return {name: getattr(network, name) for name in ("source", "feed", "tags_max", "silence_s")}
        case Bluesky() | Nostr() | WikimediaNetwork():
            return {name: vars(network)[name] for name in KEPT if name in vars(network)}
    raise AssertionError(network)


GIVEN = {
    "twitter": "--url=https://t.example/f.json --track-max=5 --phrase-bytes-max=50 --silence-s=7",
    "x": "--url=https://x.example --posts-per-day=77 --dollars-per-day=3 --dollars-per-post=0.01 --no-reposts"
    " --rules-max=9 --rule-characters-max=100 --tag=ours --silence-s=7",
    "bluesky": "--url=ws://b.example --no-compress --silence-s=7",
    "nostr": "--url=ws://n.example --url=ws://n.example --feed=hashtags",
    "wikimedia": "--url=https://w.example/s --contact=me@example.org --silence-s=7",
    "mastodon": "--url=https://m.example --feed=local --tags-max=3 --silence-s=7",
}


@pytest.mark.parametrize("network", GIVEN)
def test_flags_a_file_and_the_environment_say_the_same(
    network: str, made: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    least = ["--url=https://other.example"] if network == "mastodon" else []
    by_flags, by_default = told(made(network, *GIVEN[network].split())), told(made(network, *least))
    assert all(by_flags[name] != by_default[name] for name in by_flags)
    file = tmp_path / "stream.toml"
    file.write_text(FILE)
    assert by_flags == told(made(network, "--config", str(file)))
    for line in FILE.split("\n")[2:-1]:
        key, _, value = line.partition(" = ")
        text = value.replace('"', "").strip("[]").replace(", ", ",")
        monkeypatch.setenv(f"QUORATE_STREAM_{key.upper()}", text)
    assert by_flags == told(made(network))


def test_a_flag_goes_before_the_file(made: Any, tmp_path: Path) -> None:
    file = tmp_path / "stream.toml"
    file.write_text(FILE)
    config = ("--config", str(file))
    x = made("x", *config, "--posts-per-day=88", "--dollars-per-day=400", "--tag=mine")
    assert (88, "mine", 7.0, False) == (x.budget.posts, x.tag, x.silence_s, x.reposts)
    assert vars(made("bluesky", *config, "--compress"))["_compress"]


def test_each_flag_of_a_network_has_its_setting() -> None:
    """But for those that are of one start alone: where it begins, and which file it reads."""
    flags = {
        param.name
        for name in NETWORKS
        if name not in ELSEWHERE and name != "replay"
        for param in getattr(stream.get_command(click.Context(stream), name), "params", ())
        if param.name.startswith(PREFIX) or param.name in ("silence_s", "url", "urls", "feed")
    }
    assert flags
    assert set() == {flag for flag in flags if f"stream.{flag.removeprefix(PREFIX)}" not in SETTINGS}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("x_dollars_per_day = nan", "a number from 0 to 1,000,000"),
        ("x_dollars_per_day = inf", "a number from 0 to 1,000,000"),
        ("x_posts_per_day = -1", "a whole number from 0 to"),
        ("silence_s = 0.5", "give 1 or more, or 0"),
        ('x_url = "ftp://x.example"', "is no URL such as https://"),
        ('bluesky_urls = ["https://me:secret@b.example"]', "is no URL such as wss://"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(
    setting: str, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stream.toml"
    file.write_text(f"[stream]\n{setting}\n")
    assert 2 == main(["stream", "x", "--config", str(file)])
    error = capsys.readouterr().err
    assert words in error
    assert "secret" not in error


def test_mastodon_asks_for_its_instance(capsys: pytest.CaptureFixture[str]) -> None:
    assert 2 == main(["stream", "mastodon"])
    assert "Give --url https://mastodon.example, or stream.mastodon_url" in " ".join(capsys.readouterr().err.split())
