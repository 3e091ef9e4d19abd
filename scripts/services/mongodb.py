"""A MongoDB: mongod, a container, or FerretDB 2 over PostgreSQL with DocumentDB, which answers as MongoDB 7."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import struct
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import engine
import fetch
from folder import Folder, Gives
from processes import Failed, birth, wait_for

NAME = "mongo"
GIVEN = "QUORATE_TEST_MONGO_URL"
INSTALL = (
    "put MongoDB's `mongod` (7 or later) on PATH, or run a Docker engine, or be root on Debian with Go 1.25 or later"
)
START_S = 60

POSTGRES = "/usr/lib/postgresql/18/bin"
POSTGRES_CONF = """
shared_preload_libraries = 'pg_cron,pg_documentdb_core,pg_documentdb'
cron.database_name = 'postgres'
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_buffers = '64MB'
max_connections = 60
"""
# The mounts are in a mount namespace of their own: the kernel undoes them when the last process in it ends.
ENTER = (
    'mount -t proc proc "$1/proc" && mount --rbind /dev "$1/dev" && mount --bind "$2" "$1/srv" && shift 2 && exec "$@"'
)


def gives(url: str) -> Gives:
    return Gives(tests={GIVEN: url}, node={"QUORATE_MONGO_URL": url})


def given(url: str) -> Gives:
    """A server that we did not start: it must answer, and we never stop it."""
    if not answers(address(url), b"hello"):
        raise Failed(f"no MongoDB answers at {GIVEN}={url}")
    return gives(url)


def answering(folder: Folder) -> bool:
    url, how = folder.gives(NAME).tests.get(GIVEN), folder.state(NAME).get("how")
    return url is not None and answers(address(url), b"hello" if how == "given" else b"listDatabases")


def address(url: str) -> str:
    """host:port of a MongoDB URL; the first one, if it has several."""
    hosts = re.sub(r"^mongodb(\+srv)?://", "", url).partition("/")[0].rpartition("@")[2]
    host = hosts.partition(",")[0]
    return host if ":" in host else f"{host}:27017"


def answers(where: str, command: bytes = b"listDatabases") -> bool:
    """Whether the server answers this command with ok: 1. The message is built by hand (OP_MSG, BSON): no driver here.

    FerretDB answers `hello` even without PostgreSQL, but `listDatabases` only with it. A server with accounts answers
    `hello` only.
    """
    elements = b"\x10" + command + b"\x00\x01\x00\x00\x00" + b"\x02$db\x00\x06\x00\x00\x00admin\x00"
    body = struct.pack("<IBi", 0, 0, len(elements) + 5) + elements + b"\x00"
    host, _, port = where.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=2) as connection:
            connection.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body)
            return b"\x01ok\x00" + struct.pack("<d", 1) in connection.recv(65_536)
    except (OSError, ValueError):
        return False


def from_path(folder: Folder) -> Gives | None:
    """The `mongod` on PATH."""
    if (mongod := shutil.which("mongod")) is None:
        return None
    port, data = folder.port(NAME, "mongod"), folder.path / "mongod"
    data.mkdir(exist_ok=True)
    argv = [
        mongod,
        "--dbpath",
        str(data),
        "--bind_ip",
        "127.0.0.1",
        "--port",
        str(port),
        "--unixSocketPrefix",
        str(data),
    ]
    folder.processes.start("mongod", argv, cwd=data)
    folder.processes.wait_until("mongod", lambda: answers(f"127.0.0.1:{port}"), START_S)
    return gives(f"mongodb://127.0.0.1:{port}/")


def from_docker(folder: Folder) -> Gives:
    port = folder.port(NAME, "mongod")
    engine.up(folder, ["mongo"], {"QUORATE_MONGO_PORT": port})
    wait_for("MongoDB in its container", lambda: answers(f"127.0.0.1:{port}"), START_S)
    return gives(f"mongodb://127.0.0.1:{port}/?directConnection=true")


def from_debian(folder: Folder) -> Gives:
    fetch.expect_debian_mongodb()
    with ThreadPoolExecutor() as both:  # one waits for the network while the other compiles
        fetching = [both.submit(fetch.documentdb_root), both.submit(fetch.ferretdb_binary)]
        root, ferretdb = (one.result() for one in fetching)
    postgres_port, port = folder.port(NAME, "postgres"), folder.port(NAME, "ferretdb")
    _start_postgres(folder, root, postgres_port)
    state = folder.path / "ferretdb"
    state.mkdir(exist_ok=True)
    settings = {
        "FERRETDB_POSTGRESQL_URL": f"postgres://postgres@127.0.0.1:{postgres_port}/postgres",
        "FERRETDB_LISTEN_ADDR": f"127.0.0.1:{port}",
        "FERRETDB_DEBUG_ADDR": "-",
        "FERRETDB_STATE_DIR": str(state),
        "FERRETDB_TELEMETRY": "disable",
        "FERRETDB_AUTH": "false",
    }
    folder.processes.start("ferretdb", [str(ferretdb)], cwd=state, env=settings)
    folder.processes.wait_until("ferretdb", lambda: answers(f"127.0.0.1:{port}"), START_S)
    return gives(f"mongodb://127.0.0.1:{port}/")


def _start_postgres(folder: Folder, root: Path, port: int) -> None:
    data = folder.path / "postgres"
    if not (data / "pgdata").exists():
        _initialise(root, data)
    if folder.processes.pid("postgres") is not None:
        return
    # The children of a killed postmaster soon end. A new postmaster does not start while one of them runs.
    wait_for("the last PostgreSQL's processes", lambda: not list(_left_over(data)), START_S)
    # The lock file names a pid. After a reboot another process may have that pid, so the file proves nothing.
    (data / "pgdata/postmaster.pid").unlink(missing_ok=True)
    argv = _inside(root, data, "postgres", "-D", "/srv/pgdata", "-p", str(port))
    folder.processes.start("postgres", argv, cwd=data)

    def ready() -> bool:
        return subprocess.run(_psql(root, data, port, "select 1"), capture_output=True, timeout=30).returncode == 0

    folder.processes.wait_until("postgres", ready, START_S)
    fetch.run(_psql(root, data, port, "create extension if not exists documentdb cascade"), timeout_s=START_S)


def _initialise(root: Path, data: Path) -> None:
    """Make the database in a folder aside and rename that: so an interrupted one never counts."""
    shutil.rmtree(data / "new", ignore_errors=True)
    data.mkdir(exist_ok=True)
    owner = (root / "var/lib/postgresql").stat()
    os.chown(data, owner.st_uid, owner.st_gid)
    fetch.run(
        _inside(
            root,
            data,
            "initdb",
            "-D",
            "/srv/new",
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
        ),
        timeout_s=START_S,
    )
    with (data / "new/postgresql.conf").open("a") as conf:
        conf.write(POSTGRES_CONF)
    (data / "new").rename(data / "pgdata")


def _inside(root: Path, data: Path, program: str, *arguments: str) -> list[str]:
    """The command that runs a program of PostgreSQL in its root, with `data` at /srv. Loopback is the host's."""
    enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", ENTER, "sh", str(root), str(data)]
    return [*enter, "chroot", "--userspec=postgres:postgres", str(root), f"{POSTGRES}/{program}", *arguments]


def _psql(root: Path, data: Path, port: int, sql: str) -> list[str]:
    return _inside(root, data, "psql", "-h", "127.0.0.1", "-p", str(port), "-U", "postgres", "-qc", sql, "postgres")


def stop(folder: Folder) -> None:
    folder.processes.stop("ferretdb")
    folder.processes.stop("mongod", timeout_s=20)
    folder.processes.stop("postgres", signal.SIGINT, timeout_s=20)  # PostgreSQL's fast shutdown
    data = folder.path / "postgres"
    for pid in _left_over(data):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGQUIT)
    wait_for("PostgreSQL's last processes", lambda: not list(_left_over(data)), 20)


def _left_over(data: Path) -> Iterator[int]:
    """The processes of PostgreSQL on this data. Some live on for a moment after the postmaster is killed."""
    try:
        here = (data / "pgdata").stat()
    except FileNotFoundError:
        return
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            where, name = (process / "cwd").stat(), (process / "comm").read_text()
            same_data = (where.st_dev, where.st_ino) == (here.st_dev, here.st_ino)
            if same_data and name.startswith("postgres") and birth(int(process.name)):
                yield int(process.name)


WAYS = {"path": from_path, "docker": from_docker, "debian": from_debian}
CONTAINERS = ("mongo",)
