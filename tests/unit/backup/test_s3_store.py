"""Backups in a store that speaks S3's protocol: a real server in this process, over sockets."""

from __future__ import annotations

import io
import os
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from quorate.backup.s3_store import S3Store
from quorate.errors import BackupNotWritten, BackupUnusable, DataError
from tests.support.http_handler import serving

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI-secret"


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
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))


def made(endpoint: str, scratch: Path, bucket: str) -> S3Store:
    store = S3Store(f"s3://{bucket}/of/votes", endpoint, scratch)
    store._client.create_bucket(Bucket=bucket)
    return store


def test_what_is_put_is_listed_whole_and_removed(endpoint: str, tmp_path: Path) -> None:
    store = made(endpoint, tmp_path, "one")
    assert [] == store.names()
    assert 600_000 == store.put("b", iter([b"x" * 300_000] * 2))
    store.put("a", [b"small"])
    store._client.put_object(Bucket="one", Key="elsewhere", Body=b"")
    assert ["a", "b"] == store.names()
    assert b"x" * 600_000 == store._client.get_object(Bucket="one", Key="of/votes/b")["Body"].read()
    store.remove("b")
    store.remove("b")
    assert (["a"], []) == (store.names(), os.listdir(tmp_path))


def test_what_was_put_is_fetched_and_what_is_not_there_is_told(endpoint: str, tmp_path: Path) -> None:
    store = made(endpoint, tmp_path, "back")
    store.put("a", [b"x" * 3_000_000])
    store.fetch("a", file := io.BytesIO())
    assert b"x" * 3_000_000 == file.getvalue()
    with pytest.raises(BackupUnusable, match="cannot give b: nothing of that name is there"):
        store.fetch("b", io.BytesIO())


def test_more_than_a_page_of_names_is_listed(endpoint: str, tmp_path: Path) -> None:
    store = made(endpoint, tmp_path, "many")
    for number in range(5):
        store.put(f"{number}", [b""])
    listed = store._client.meta.events
    listed.register("before-parameter-build.s3.ListObjectsV2", lambda params, **_: params.update(MaxKeys=2))
    assert 5 == len(store.names())


def test_nothing_is_written_over(endpoint: str, tmp_path: Path) -> None:
    store = made(endpoint, tmp_path, "twice")
    store.put("a", [b"first"])
    with pytest.raises(BackupNotWritten, match="something of that name is there already"):
        store.put("a", [b"second"])
    assert b"first" == store._client.get_object(Bucket="twice", Key="of/votes/a")["Body"].read()
    assert (True, False) == (store.has("a"), store.has("b"))
    store.put("a", [b"second"], replace=True)
    assert b"second" == store._client.get_object(Bucket="twice", Key="of/votes/a")["Body"].read()


def test_a_backup_that_breaks_off_is_not_there(endpoint: str, tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield b"a part"
        raise DataError("deposed")

    store = made(endpoint, tmp_path, "parts")
    with pytest.raises(DataError, match="deposed"):
        store.put("a", broken())
    assert ([], []) == (store.names(), os.listdir(tmp_path))


def test_a_bucket_that_is_not_there_is_told_in_words(endpoint: str, tmp_path: Path) -> None:
    with pytest.raises(BackupNotWritten, match="there is no bucket 'none'; make it first"):
        S3Store("s3://none", endpoint, tmp_path).put("a", [b""])


def test_a_store_that_nobody_reaches_is_told_in_words(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(BackupNotWritten, match="nobody answers there"):
        S3Store("s3://one", f"http://127.0.0.1:{port}", tmp_path).names()


def test_a_store_that_hangs_is_given_up(tmp_path: Path) -> None:
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as hung,
        pytest.raises(BackupNotWritten, match="did not answer in time"),
    ):
        S3Store("s3://one", f"http://127.0.0.1:{hung.getsockname()[1]}", tmp_path, answer_s=0.2).names()


def test_without_keys_it_says_which_to_set(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(BackupNotWritten, match="set AWS_ACCESS_KEY_ID"):
        S3Store("s3://one", endpoint, tmp_path).names()


@pytest.mark.parametrize(
    ("code", "words"),
    [("AccessDenied", r"the right \(s3:PutObject\)"), ("SignatureDoesNotMatch", "does not take these keys")],
)
def test_keys_that_are_refused_are_told_apart_and_not_repeated(
    tmp_path: Path, code: str, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    with refusing(code) as endpoint, pytest.raises(BackupNotWritten, match=words) as raised:
        S3Store("s3://one", endpoint, tmp_path).put("a", [b"content"])
    assert SECRET not in caplog.text + str(raised.value)
    assert "Signature=" not in caplog.text


@contextmanager
def refusing(code: str) -> Iterator[str]:
    class Refuses(BaseHTTPRequestHandler):
        def do_PUT(self) -> None:
            body = f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(Refuses) as port:
        yield f"http://127.0.0.1:{port}"
