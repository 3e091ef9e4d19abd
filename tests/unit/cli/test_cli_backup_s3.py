"""`quorate backup s3://…`: into a store that speaks S3's protocol, whole or not at all."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from moto.server import ThreadedMotoServer

from quorate.backup.envelope import MAGIC
from quorate.backup.s3_store import S3Store
from quorate.config import to_toml
from quorate.errors import BackupNotWritten
from tests.support.http_node import Node
from tests.support.raw_server import raw_server
from tests.unit.cli.told import Capture, Told


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def store(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> S3Store:
    """A bucket of its own, and the variable that names the store."""
    monkeypatch.setenv("QUORATE_BACKUP_S3_ENDPOINT", endpoint)
    bucket = f"b{abs(hash(request.node.name))}"
    made = S3Store(f"s3://{bucket}/of", endpoint, tmp_path)
    made._client.create_bucket(Bucket=bucket)
    return made


def test_it_is_written_checked_and_restored(
    node: Node, store: S3Store, endpoint: str, capsys: Capture, tmp_path: Path
) -> None:
    node.vote(option="happy", id="u1")
    place = f"{store.where}/x"
    told = Told(capsys, "backup", place, "--json")
    assert (0, place, 3) == (told.code, told.json["file"], told.json["version"])
    shown = Told(capsys, "backup", place, "--check")
    assert 0 == shown.code
    assert f"{place} is whole" in shown.out
    assert told.json["digest"] in shown.out
    settings = {"node.id": "n1", "node.data": str(tmp_path / "data"), "backup.s3_endpoint": endpoint}
    (tmp_path / "quorate.toml").write_text(to_toml(settings))
    restored = Told(capsys, "restore", place, "--config", str(tmp_path / "quorate.toml"), "--yes", "--json")
    assert (0, 3) == (restored.code, restored.json["version"])


def test_a_name_that_is_taken_is_kept_unless_forced(node: Node, store: S3Store, capsys: Capture) -> None:
    store.put("x", [b"old"])
    told = Told(capsys, "backup", f"{store.where}/x")
    assert 1 == told.code
    assert "exists already; give another name, or --force" in told.err
    assert b"old" == content(store, "x")
    assert 0 == Told(capsys, "backup", f"{store.where}/x", "--force").code
    assert content(store, "x").startswith(MAGIC)


def content(store: S3Store, name: str) -> bytes:
    answer: Any = store._client.get_object(Bucket=store._bucket, Key=f"of/{name}")
    data: bytes = answer["Body"].read()
    return data


@pytest.mark.parametrize("promised", [1_000_000, len(MAGIC) + 100], ids=["broken off", "ended too early"])
def test_half_a_backup_leaves_nothing_there(store: S3Store, capsys: Capture, promised: int) -> None:
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {promised}\r\nX-Quorate-Node: n1\r\n\r\n".encode()
    with raw_server(lambda sock: sock.sendall(head + MAGIC + b"\xff\x00\x00\x00" + b" " * 96)) as server:
        url = f"http://127.0.0.1:{server.port}"
        told = Told(capsys, "backup", f"{store.where}/x", "--node", url, "--timeout", "20")
    assert told.code in (1, 3), told.err
    assert [] == store.names()


def test_what_the_store_says_is_told_in_words(node: Node, store: S3Store, capsys: Capture) -> None:
    told = Told(capsys, "backup", "s3://no-such-bucket/x")
    assert 1 == told.code
    assert BackupNotWritten.title in told.err
    assert "there is no bucket 'no-such-bucket'; make it first" in told.err
    told = Told(capsys, "backup", "s3://votes/x", "--s3-endpoint", "nonsense")
    assert 2 == told.code
    assert "s3://votes cannot be used: Invalid endpoint: nonsense" in told.err
    told = Told(capsys, "backup", "s3://only-a-bucket")
    assert 2 == told.code
    assert "give s3://BUCKET/NAME" in told.err


def test_without_the_extra_it_says_what_to_install(
    node: Node, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "quorate.backup.s3_store", raising=False)
    told = Told(capsys, "backup", "s3://votes/x")
    assert 2 == told.code
    assert "needs the extra s3: pip install 'quorate[s3]'" in told.err


def test_json_of_a_refusal(node: Node, store: S3Store, capsys: Capture) -> None:
    told = Told(capsys, "backup", "s3://no-such-bucket/x", "--json")
    assert "backup-not-written" == json.loads(told.err)["type"]
