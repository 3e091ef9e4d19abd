"""A node whose settings name a certificate: what it tells others of itself, and how it takes a new one."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from quorate.cli import main as quorate
from quorate.config import Config, load
from quorate.dev.folder import settings_of
from quorate.errors import ConfigError
from quorate.node import Node
from quorate.security import tls
from tests.support.certificates import Authority


def config_of(folder: Path, cert: Path | str, key: Path | str, **more: str) -> Config:
    flags = {"node.id": "n1", "node.data": str(folder / "n1"), "flush.sinks": ""}
    listen = {"http.listen": "127.0.0.1:0", "raft.listen": "127.0.0.1:0"}
    pair = {"http.tls_cert": str(cert), "http.tls_key": str(key)}
    named = {name.replace("__", "."): value for name, value in more.items()}
    return load(env={}, flags={**flags, **listen, **pair, **named}).config


async def ask(context: ssl.SSLContext, port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_a_node_tells_https_and_takes_a_new_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "LOOK_S", 0.02)
    authority = Authority(tmp_path)
    cert, key = authority.issue()
    context = authority.client_context()

    async def main() -> None:
        node = Node(config_of(tmp_path, cert, key, raft__bootstrap="true"))
        running = asyncio.create_task(node.run())
        await until(lambda: node.replica.is_leader and node.http.listening)
        port = int(node.http.listening[0].rpartition(":")[2])
        assert "https://127.0.0.1:0" == json.loads(await ask(context, port, "/leader"))["http"]
        assert "https://127.0.0.1:0" == json.loads(await ask(context, port, "/nodes"))["nodes"][0]["http"]
        await see(context, port, good=True, changes=0)
        cert.write_text("half a certificate")
        assert node.tls is not None
        await until(lambda: node.tls and node.tls.problem)
        await see(context, port, good=False, changes=0)
        authority.issue()
        await until(lambda: node.tls and node.tls.changes == 1)
        await see(context, port, good=True, changes=1)
        node.ask_to_stop()
        assert 0 == await running

    asyncio.run(main())


async def see(context: ssl.SSLContext, port: int, *, good: bool, changes: int) -> None:
    status: dict[str, Any] = json.loads(await ask(context, port, "/status"))["tls"]
    assert (good, changes) == (status["files_good"], status["changes"])
    assert 9 < status["days_left"] <= 10
    verbose = await ask(context, port, "/readyz?verbose")
    assert ("[+] certificate good until" if good else "[+] certificate ALARM: http.tls_cert cannot be taken") in verbose
    assert f'quorate_tls_files_good{{use="http"}} {float(good)}' in await ask(context, port, "/metrics")


def test_a_node_with_a_bad_certificate_does_not_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    authority = Authority(tmp_path)
    cert, key = authority.issue("one")[0], authority.issue("other")[1]
    config_of(tmp_path, cert, key)
    (tmp_path / "node.toml").write_text(f'[http]\ntls_cert = "{cert}"\ntls_key = "{key}"\n')
    assert 2 == quorate(["config", "check", str(tmp_path / "node.toml")])
    assert "other.key is not that of the certificate in" in capsys.readouterr().err

    async def main() -> None:
        with pytest.raises(ConfigError, match="is not that of the certificate"):
            Node(config_of(tmp_path, cert, key))

    asyncio.run(main())


def test_one_file_may_hold_both(tmp_path: Path) -> None:
    assert (Path("/a.pem"), Path("/a.pem")) == config_of(tmp_path, "/a.pem", "").http.tls_pair
    assert config_of(tmp_path, "", "").http.tls_pair is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"http.tls_key": "/a.key"}, "http.tls_key is a key without a certificate"),
        (
            {"http.tls_cert": "/a.pem", "http.advertise": "http://n1.example:8001"},
            "with http.tls_cert this node speaks HTTPS: give https://",
        ),
        ({"http.tls_cert": "/a.pem", "http.listen": "0.0.0.0:8001"}, "set http.advertise, as https://this-host:8001"),
    ],
)
def test_settings_that_contradict_each_other_are_refused(settings: dict[str, str], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load(env={}, flags=settings)


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    cert, key = Authority(tmp_path).issue()
    key.chmod(0o644)
    raft = {"raft.tls_cert": str(cert), "raft.tls_key": str(key), "raft.tls_ca": str(cert)}
    with pytest.raises(ConfigError, match=f"raft.tls_key: {key} can be read by other users of this host: chmod 600"):
        load(env={}, flags=raft)
    with pytest.raises(ConfigError, match=f"http.tls_key: {key} can be read by other users of this host: chmod 600"):
        load(env={}, flags={"http.tls_cert": str(cert), "http.tls_key": str(key)})


def test_dev_goes_on_without_tls(tmp_path: Path) -> None:
    assert {} == settings_of({"QUORATE_HTTP_TLS_CERT": "/a.pem", "QUORATE_HTTP_TLS_KEY": "/a.key"}, {})
    with pytest.raises(ConfigError, match=r"http\.tls_cert"):
        settings_of({}, {"http.tls_cert": "/a.pem"})
