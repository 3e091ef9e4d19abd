"""Commands ask nodes that speak HTTPS, and trust whom `--ca` or QUORATE_CA names."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click
import pytest

from quorate.cli import main, quorate
from quorate.security.tls import server_tls
from tests.support.certificates import DAY, Authority
from tests.support.http_node import MOOD, Node, running


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def node(authority: Authority) -> Iterator[Node]:
    pair = authority.issue()
    with running(tls=partial(server_tls, *pair), trusts=authority.client_context()) as node:
        node.ask("POST", "/polls", MOOD)
        yield node


@pytest.fixture(autouse=True)
def environment(node: Node, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("QUORATE_NODES", f"https://localhost:{node.port}")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))


COMMANDS = [
    ["leader"],
    ["nodes"],
    ["status"],
    ["results", "mood"],
    ["polls"],
    ["vote", "happy"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_command_trusts_the_authority_that_is_named(
    authority: Authority, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    assert 3 == main([*command, "--timeout", "20"])
    assert 0 == main([*command, "--ca", str(authority.file)])
    monkeypatch.setenv("QUORATE_CA", str(authority.file))
    assert 0 == main(command)


def test_feed_does_too(authority: Authority, tmp_path: Path) -> None:
    (tmp_path / "votes").write_text("happy\nsad\n")
    assert 0 == main(["feed", str(tmp_path / "votes"), "--ca", str(authority.file)])


def test_every_command_that_asks_a_node_has_the_flag() -> None:
    def all_of(command: click.Command) -> Iterator[click.Command]:
        yield command
        if isinstance(command, click.Group):
            context = click.Context(command)
            for name in command.list_commands(context):
                below = command.get_command(context, name)
                assert below is not None
                yield from all_of(below)

    options = [{option for param in command.params for option in param.opts} for command in all_of(quorate)]
    asking = [names for names in options if "--node" in names]
    assert len(asking) > 10
    assert all("--ca" in names for names in asking)


def complaint(capsys: pytest.CaptureFixture[str], code: int, *arguments: str) -> str:
    assert code == main(["leader", "--timeout", "20", *arguments])
    return capsys.readouterr().err


def test_an_unknown_authority_is_told_with_what_to_do(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for more in ([], ["--ca", str(Authority(tmp_path, "foreign").file)]):
        told = complaint(capsys, 3, *more)
        assert "its certificate is not trusted" in told
        assert "name the authority that signed it by --ca (QUORATE_CA)" in told


def test_a_certificate_for_another_name_is_told(
    capsys: pytest.CaptureFixture[str], authority: Authority, node: Node
) -> None:
    pair = authority.issue("elsewhere", ["elsewhere.example"])
    with running(tls=partial(server_tls, *pair), trusts=authority.client_context()) as other:
        told = complaint(capsys, 3, "--ca", str(authority.file), "--node", f"https://localhost:{other.port}")
    assert "not trusted: Hostname mismatch" in told


def test_an_ended_certificate_is_told(capsys: pytest.CaptureFixture[str], authority: Authority) -> None:
    pair = authority.issue("ended", lasts=-DAY)
    with running(tls=partial(server_tls, *pair), trusts=authority.client_context()) as other:
        told = complaint(capsys, 3, "--ca", str(authority.file), "--node", f"https://localhost:{other.port}")
    assert "not trusted: certificate has expired" in told


def test_http_instead_of_https_is_told(capsys: pytest.CaptureFixture[str], node: Node) -> None:
    told = complaint(capsys, 3, "--node", f"http://localhost:{node.port}")
    assert "it speaks TLS; is its address https:// instead of http://?" in told


def test_https_instead_of_http_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with running() as plain:
        told = complaint(capsys, 3, "--node", f"https://localhost:{plain.port}")
    assert "is its address http:// instead of https://?" in told


@pytest.mark.parametrize(
    ("content", "words"), [(None, "No such file"), ("no certificate", "holds no certificate in PEM")]
)
def test_a_file_of_no_authority_is_wrong_usage(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, content: str | None, words: str
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    assert words in complaint(capsys, 2, "--ca", str(path))


def test_an_empty_flag_is_wrong_usage_and_an_empty_variable_none(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "empty" in complaint(capsys, 2, "--ca", "")
    monkeypatch.setenv("QUORATE_CA", "")
    assert "not trusted" in complaint(capsys, 3)
