"""What a database cannot do is told with its cause, and in the same words each time."""

from __future__ import annotations

import os
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pymongo.errors import ServerSelectionTimeoutError

from quorate.config.sections.mongo import Mongo
from quorate.processes.ports import free_ports
from quorate.sinks.mongo.causes import in_words
from quorate.sinks.mongo.sink import MongoSink
from quorate.sinks.sink import Fence, PollDocument, SinkError
from quorate.sinks.sqlite import SqliteSink
from tests.doubles.scripted_mongo import Command, ScriptedMongo
from tests.support.waiting import wait_for

MOOD = PollDocument("mood", "How are you?", ["happy", "sad"], {"happy": 3, "sad": 0}, "open", 3, 1_000)
REST = PollDocument("rest", "", ["yes"], {"yes": 0}, "open", 4, 1_000)
LOOKUPS: dict[str, Command] = {
    "find": {"ok": 1.0, "cursor": {"id": 0, "ns": "ballots.polls", "firstBatch": []}},
    "createIndexes": {"ok": 1.0},
}


def words_of(url: str, *, timeout_s: float = 5.0, database: str = "ballots", collection: str = "polls") -> str:
    """Why a write fails."""
    with closing(MongoSink(url, database=database, collection=collection)) as sink, pytest.raises(SinkError) as refused:
        sink.write([MOOD, REST], Fence(1, 1, 1), "c1", timeout_s=timeout_s)
    return str(refused.value)


def words_once_it_failed(url: str) -> str:
    """Why a write fails within half a second, when the driver has met the server before."""
    with closing(MongoSink(url, database="ballots", collection="polls")) as sink:
        for _ in range(2):
            with pytest.raises(SinkError) as refused:
                sink.write([MOOD, REST], Fence(1, 1, 1), "c1", timeout_s=0.5)
            wait_for("the driver knows why", lambda: knows_why(sink))
    return str(refused.value)


def knows_why(sink: MongoSink) -> bool:
    assert sink._client is not None
    return all(each.error for each in sink._client.topology_description.server_descriptions().values())


# ---- MongoDB: it is reached, and refuses ----------------------------------------------------------------------------


def refused(code: int, errmsg: str, **more: Any) -> Command:
    return {"ok": 0.0, "code": code, "errmsg": errmsg, **more}


def write_errors(*errors: tuple[int, str]) -> Command:
    listed = [{"index": at, "code": code, "errmsg": text} for at, (code, text) in enumerate(errors)]
    return {"ok": 1.0, "n": 2 - len(listed), "writeErrors": listed}


FULL = 'could not extend file "base/5/19090": No space left on device'
READ_ONLY = "Write operations cannot be performed because the server is currently operating in a read-only mode."
LATE = {"code": 64, "errmsg": "waiting for replication timed out", "errInfo": {"wtimeout": True}}
ANSWERS: dict[str, tuple[str, Command, str]] = {
    "the disk of FerretDB is full": (
        "insert",
        write_errors((1, FULL), (1, FULL)),
        f"MongoDB's disk is full ({FULL}); make room there, and the flush goes on",
    ),
    "the disk of mongod is full": (
        "insert",
        refused(14031, "available disk space of 90 bytes is less than required minimum"),
        "MongoDB's disk is full (available disk space of 90 bytes is less than required minimum); make room there, "
        "and the flush goes on",
    ),
    "one document is refused": (
        "insert",
        write_errors((121, "Document failed validation")),
        "MongoDB refuses the document of poll 'mood': Document failed validation",
    ),
    "read-only": (
        "insert",
        refused(10107, READ_ONLY),
        f"MongoDB takes no writes ({READ_ONLY}); the flush goes on when it does",
    ),
    "a secondary": (
        "insert",
        refused(10107, "not primary"),
        "what mongo.url names takes no writes (not primary); name the primary, or leave directConnection out",
    ),
    "no majority": (
        "insert",
        {"ok": 1.0, "n": 2, "writeConcernError": LATE},
        "a majority of MongoDB's members does not confirm the write (waiting for replication timed out); the flush "
        "goes on when it is back",
    ),
    "no user where one is needed": (
        "find",
        refused(13, "Command find requires authentication"),
        "MongoDB wants a user (Command find requires authentication); put name and password into mongo.url",
    ),
    "a user without the role": (
        "find",
        refused(13, "not authorized on ballots to execute command"),
        "MongoDB refuses this user (not authorized on ballots to execute command); give it the role readWrite",
    ),
}


@pytest.mark.parametrize(("command", "answer", "words"), ANSWERS.values(), ids=ANSWERS.keys())
def test_a_refusal_names_its_cause(command: str, answer: Command, words: str) -> None:
    with ScriptedMongo(lambda asked: {**LOOKUPS, command: answer}[next(iter(asked))]) as server:
        said = {words_of(f"mongodb://{server.address}/?retryWrites=false&retryReads=false") for _ in range(2)}
    assert {words} == said


def test_a_wrong_password_is_told_as_one() -> None:
    with ScriptedMongo(lambda _: refused(18, "Authentication failed.")) as server:
        said = words_of(f"mongodb://me:secret@{server.address}/?authMechanism=SCRAM-SHA-256")
    assert "MongoDB knows no such user or password (Authentication failed.); correct mongo.url" == said


# ---- MongoDB: it is not reached -------------------------------------------------------------------------------------


def test_a_port_at_which_nobody_listens() -> None:
    where = f"127.0.0.1:{free_ports(1)[0]}"
    said = words_once_it_failed(f"mongodb://{where}")
    assert said.startswith(f"MongoDB cannot be reached ({where}: ")
    assert "refused" in said


def test_a_server_that_says_nothing_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        where = f"127.0.0.1:{silent.getsockname()[1]}"
        said = [words_of(f"mongodb://{where}{tls}", timeout_s=0.5) for tls in ("", "/?tls=true")]
    assert [f"MongoDB ({where}) did not answer within 0.5 s; "] * 2 == [
        text.partition("if it wants TLS")[0] for text in said
    ]


@pytest.mark.parametrize("said", ["Name or service not known", "nodename nor servname provided, or not known"])
def test_a_host_that_has_no_address(said: str) -> None:
    """As the driver reports it. A test that asked for a name would depend on the name service."""
    error = ServerSelectionTimeoutError(f"db:27017: [Errno -2] {said} (configured timeouts: …), Timeout: 2s")
    words = (
        f"the host name in mongo.url cannot be resolved (db:27017: [Errno -2] {said}); correct it, or the name service"
    )
    assert words == in_words(error, 2.0)


def write_certificate(certificate: Path, key: Path, name: str) -> None:
    """A certificate for this name that is signed by itself."""
    secret = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), datetime.now(UTC)
    builder = x509.CertificateBuilder(subject, subject, secret.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
    certificate.write_bytes(builder.sign(secret, hashes.SHA256()).public_bytes(Encoding.PEM))
    key.write_bytes(secret.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


@contextmanager
def tls_server(folder: Path) -> Iterator[tuple[int, Path]]:
    """It has a certificate of its own for mongo.example. Its port, and the file of the certificate."""
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    write_certificate(certificate, key, "mongo.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as sealed:
                    sealed.recv(1)
            except OSError:
                connection.close()

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listener.getsockname()[1], certificate
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


def test_what_is_wrong_with_tls_is_told(tmp_path: Path) -> None:
    with tls_server(tmp_path) as (port, certificate):
        tls = f"mongodb://127.0.0.1:{port}/?tls=true"
        plain, untrusted, misnamed = (
            words_once_it_failed(url) for url in (f"mongodb://127.0.0.1:{port}", tls, f"{tls}&tlsCAFile={certificate}")
        )
        missing = words_of(f"{tls}&tlsCAFile={tmp_path / 'nowhere.pem'}")
    assert plain.startswith(f"MongoDB closes the connection (127.0.0.1:{port}: ")
    assert "put tls=true into mongo.url" in plain
    assert untrusted.startswith("MongoDB's certificate is not accepted (")
    assert misnamed.startswith("MongoDB's certificate has another name (")
    assert missing.startswith("MongoDB cannot be used: ")
    assert missing.endswith("a file that mongo.url names cannot be read")


def test_a_replica_set_of_another_name() -> None:
    with ScriptedMongo(lambda asked: LOOKUPS[next(iter(asked))]) as server:
        said = words_of(f"mongodb://{server.address}/?replicaSet=rs9", timeout_s=3)
    assert said.startswith("MongoDB is no member of the replica set that mongo.url names (")


# ---- MongoDB: its settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "names", "ends"),
    [
        ("mongodb://", {}, "; correct mongo.url"),
        ("mongodb://127.0.0.1:99999", {}, "; correct mongo.url"),
        ("mongodb://127.0.0.1:9", {"database": "a b"}, "; correct mongo.database or mongo.collection"),
        ("mongodb://127.0.0.1:9", {"collection": "a$b"}, "; correct mongo.database or mongo.collection"),
    ],
)
def test_a_wrong_setting_is_named(url: str, names: dict[str, str], ends: str) -> None:
    assert words_of(url, timeout_s=0.5, **names).endswith(ends)


@pytest.mark.parametrize(
    "url", ["mongodb://me:p@ss@host/", "mongodb://me:pa/ss@host/", "mongodb://me:p@s/s@host/x?a=b"]
)
def test_a_password_that_would_be_read_as_a_host_is_refused_before_the_start(url: str) -> None:
    (problem,) = Mongo(url=url).problems()
    assert "write @ as %40" in problem
    assert "ss" not in problem.partition("mongo.url:")[2].replace("password", "")


@pytest.mark.parametrize(
    "url", ["mongodb://me:p%40ss@a:1,b:2/db?tls=true", "mongodb://h", "mongodb+srv://u:p@h/?authSource=a@b"]
)
def test_an_address_that_is_right_is_taken(url: str) -> None:
    assert [] == list(Mongo(url=url).problems())


def test_an_option_that_the_driver_passes_over_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    with closing(MongoSink(f"mongodb://127.0.0.1:{free_ports(1)[0]}/?tsl=true&retryReads=false")) as sink:
        for _ in range(2):
            with pytest.raises(SinkError):
                sink.read(timeout_s=0.1)
    told = [record.getMessage() for record in caplog.records if "mongo.url" in record.getMessage()]
    assert 1 == len(told)
    assert "tsl" in told[0]


# ---- SQLite ---------------------------------------------------------------------------------------------------------


def sqlite_words(path: Path) -> str:
    with closing(SqliteSink(path)) as sink, pytest.raises(SinkError) as refused:
        sink.write([MOOD], Fence(1, 1, 2), "c1", timeout_s=20)
    return str(refused.value)


def test_a_path_that_is_no_file(tmp_path: Path) -> None:
    assert f"{tmp_path} cannot be used: it is a folder; give sqlite.path a file" == sqlite_words(tmp_path)
    assert "/dev/null cannot be used: it is no file; give sqlite.path a file" == sqlite_words(Path("/dev/null"))
    below = tmp_path / "file" / "ballots.db"
    below.parent.write_text("x")
    assert f"{below} cannot be used: {below.parent}: File exists" == sqlite_words(below)


def test_a_text_file_may_be_somebodys(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("buy milk\n" * 100)
    assert sqlite_words(path).endswith(
        "move it away, and the leader writes a new one, or give sqlite.path another file"
    )


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount, and can become another user")
@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("mounted", "{path} cannot be written: its file system is mounted read-only"),
        ("file", "{path} cannot be written: this user may not write {path}"),
        ("folder", "{path} cannot be written: this user may not write {folder}"),
    ],
)
def test_what_cannot_be_written_is_told_with_what_forbids_it(tmp_path: Path, place: str, words: str) -> None:
    folder = Path(f"/tmp/{tmp_path.name}-{os.getpid()}")
    folder.mkdir(mode=0o755)
    path = folder / "ballots.db"
    try:
        if place == "mounted":
            mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(folder)]
            if shutil.which("mount") is None or subprocess.run(mount, timeout=20).returncode:
                place = ""
                pytest.skip("this root may not mount")
        elif place == "file":
            folder.chmod(0o777)
            with closing(SqliteSink(path)) as sink:
                sink.write([MOOD], Fence(1, 1, 1), "c1", timeout_s=20)
        said = as_nobody(lambda: sqlite_words(path)) if place != "mounted" else sqlite_words(path)
        assert words.format(path=path, folder=folder) == said
    finally:
        if place == "mounted":
            subprocess.run(["umount", str(folder)], check=True, timeout=20)
        for left in folder.iterdir():
            left.unlink()
        folder.rmdir()


def as_nobody(call: Callable[[], str]) -> str:
    read_end, write_end = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgid(65534)
            os.setuid(65534)
            os.write(write_end, call().encode())
        finally:
            os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as said:
        text = said.read()
    os.waitpid(child, 0)
    return text
