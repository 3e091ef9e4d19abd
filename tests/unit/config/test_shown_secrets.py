"""Passwords in addresses are shown nowhere, and secrets do not stand in the list of processes."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.cluster.discovery.consul import connect
from quorate.config import load
from quorate.config.write import masked_config, shown
from quorate.errors import ConfigError
from quorate.host_port import read_host_port

ADDRESSES = {
    "http://user:hunter2@consul:8500": "http://***@consul:8500",
    "user:hunter2@consul:8500": "***@consul:8500",
    "https://hunter2@consul": "https://***@consul",
    "http://user:hun@ter2@consul:8500": "http://***@consul:8500",
    "http://consul:8500": "http://consul:8500",
}


@pytest.mark.parametrize(("address", "expected"), ADDRESSES.items())
def test_what_stands_before_the_at_of_an_address_is_masked(address: str, expected: str) -> None:
    loaded = load(None, env={}, flags={"consul.address": address})
    values = {setting.name: value for setting, value, _ in shown(loaded)}
    assert expected == values["consul.address"]
    assert expected == masked_config(loaded.config)["consul"]["address"]
    assert expected == loaded.config.consul.shown_address
    assert "ter2" not in repr(loaded.config.consul)


@pytest.mark.parametrize(
    "flags",
    [
        {"consul.address": "ftp://user:hunter2@consul"},
        {"consul.address": "http://user:hunter2@consul:x"},
        {"consul.address": "http://user:hunter2@consul/path"},
        {"nsq.nsqd": "user:hunter2@nsqd:4150"},
        {"nsq.lookupd": "http://user:hunter2@nsqd:4161"},
        {"raft.peers": "n1=user:hunter2@host:9001"},
        {"raft.listen": "user:hunter2@host:9001"},
        {"http.listen": "http://user:hunter2@host:9001"},
        {"http.advertise": "ftp://user:hunter2@host:9001"},
        {"http.advertise": "http://user:hunter2@host:9001"},
        {"http.hosts": "http://user:hunter2@host:9001"},
        {"http.threads": "http://user:hunter2@host"},
        {"log.level": "http://user:hunter2@host"},
    ],
)
def test_no_error_about_settings_repeats_a_password(flags: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as error:
        connect(load(None, env={}, flags=flags).config.consul)
    assert "hunter2" not in error.value.detail


def test_an_address_that_cannot_be_read_is_not_repeated_with_its_password_or_whole() -> None:
    for text in ("user:hunter2@host:1", "http://user:hunter2@host:1", "hunter2" + "x" * 1_000_000):
        with pytest.raises(ValueError, match=r"host:port|in brackets") as error:
            read_host_port(text)
        assert len(str(error.value)) < 500
        assert "user:hunter2" not in str(error.value)


SECRET = [
    "raft.key=hunter2hunter2hunter2",
    "raft.key=",
    "consul.token=hunter2",
    "nsq.auth_secret=hunter2",
    "mongo.url=mongodb://user:hunter2@db/x",
    "mongo.url=mongodb://db/?tlsCertificateKeyFilePassword=hunter2",
    "mongo.url=mongodb://db/?w=1&authMechanismProperties=AWS_SESSION_TOKEN:hunter2",
    "mongo.url=mongodb://db/?authMechanismProperties=A:b,AWS_SESSION_TOKEN:hunter2&w=1",
    "mongo.url=mongodb://db/?proxyPass%77ord=hunter2",
    "consul.address=http://user:hunter2@consul:8500",
    "consul.address=user:hunter2@consul:8500",
]


@pytest.mark.parametrize("text", SECRET)
@pytest.mark.parametrize("command", [("config", "check"), ("config", "show"), ("node",), ("dev", "--data", "none")])
def test_no_flag_takes_a_secret(
    command: tuple[str, ...],
    text: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each user of the host sees the flags of all processes."""
    from quorate.cli import main

    monkeypatch.chdir(tmp_path)
    assert 2 == main([*command, "--set", text])
    said = "".join(capsys.readouterr())
    name = text.partition("=")[0]
    assert "hunter2" not in said
    assert f"QUORATE_{name.replace('.', '_').upper()}" in said
    assert (f"{name}_file" in said) == (name != "consul.address")
    assert [] == [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["status", "--node", "http://user:hunter2@127.0.0.1:1"],
        ["status", "--consul", "http://user:hunter2@127.0.0.1:1"],
        ["status", "--consul", "user:hunter2@127.0.0.1:1"],
        ["config", "show", "--consul", "user:hunter2@127.0.0.1:1"],
    ],
    ids=" ".join,
)
def test_no_flag_takes_a_password_in_an_address(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quorate.cli import main

    assert 2 == main(arguments)
    said = "".join(capsys.readouterr())
    assert "hunter2" not in said
    assert "QUORATE_" in said


@pytest.mark.parametrize("as_json", [[], ["--json"]])
def test_a_password_in_a_variable_is_not_repeated(
    as_json: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from quorate.cli import main

    monkeypatch.setenv("QUORATE_NODES", "http://user:hunter2@127.0.0.1:1")
    assert main(["status", "--timeout", "0.2", *as_json]) not in (0, 2)
    said = "".join(capsys.readouterr())
    assert "127.0.0.1:1" in said
    assert "hunter2" not in said


@pytest.mark.parametrize(
    "text",
    [
        "mongo.url=mongodb://127.0.0.1/?w=1",
        "mongo.url=mongodb://secret-db/?tlsCAFile=/run/secrets/ca.pem&w=1",
        "raft.key_file=k",
        "log.level=debug",
    ],
)
def test_what_is_no_secret_may_be_a_flag(text: str) -> None:
    from quorate.cli.settings import pairs

    assert dict([text.split("=", 1)]) == pairs((text,))
