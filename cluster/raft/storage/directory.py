"""The data directory: it belongs to one node, and one process at a time may use it.

It is locked against a second process while it is open. `identity.json` says which node made it, under which
incarnation, and of which cluster the node is a member. The directory of another node is refused before anything in it
is changed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from zlib import crc32

import msgspec

from quorate.cluster.raft.storage.files import DiskFiles, OsFiles
from quorate.crash_points import crash_point
from quorate.errors import DataError
from quorate.own_files import open_own, why_shared

FORMAT = 1
IDENTITY_NAME = "identity.json"
LOCK_NAME = "lock"
RESTORING_NAME = "restoring"  # stands in a directory that a backup is being put into
_TEMPORARY_NAME = "identity.tmp"
INCARNATION_BYTES = 8


class NodeIdentity(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Whose directory it is. A node that lost its disk comes back with another `incarnation`, drawn at random."""

    format: int
    node_id: str
    incarnation: str
    cluster_id: str | None = None
    members: dict[str, str] | None = None  # the founders of the cluster: node id -> incarnation
    cluster_name: str | None = None  # `node.cluster` of the node that made it


class _Stored(msgspec.Struct):
    """The content of `identity.json`."""

    crc32: int
    identity: msgspec.Raw


class _Format(msgspec.Struct):
    format: int


class DataDirectory:
    """An open and locked data directory."""

    def __init__(self, files: DiskFiles, identity: NodeIdentity, lock: int) -> None:
        """Use `open`."""
        self.files = files
        self.identity = identity
        self._lock = lock

    @classmethod
    def open(
        cls,
        path: Path | str,
        *,
        node_id: str,
        create: bool = True,
        cluster_name: str | None = None,
        open_files: Callable[[Path], DiskFiles] = OsFiles,
    ) -> DataDirectory:
        """Lock the directory and read its identity. Raises `DataError` if this node must not use it."""
        path = Path(path)
        try:
            if create and not path.is_dir():
                path.mkdir(mode=0o700, parents=True)
            lock = _lock(path)
        except OSError as error:
            raise DataError(f"{path} cannot be used as a data directory: {error.strerror or error}") from error
        files: DiskFiles | None = None
        try:
            files = open_files(path)
            directory = cls(files, _load_or_create(files, node_id, cluster_name, create), lock)
            directory._check(node_id, cluster_name)
            if why := why_shared(path):
                raise DataError(why)
        except BaseException as error:
            if files is not None:
                files.close()
            os.close(lock)
            if isinstance(error, OSError):
                raise DataError(f"{path} cannot be used as a data directory: {error.strerror or error}") from error
            raise
        return directory

    @classmethod
    @contextlib.contextmanager
    def open_unused(
        cls,
        path: Path | str,
        *,
        node_id: str,
        cluster_name: str | None,
        open_files: Callable[[Path], DiskFiles] = OsFiles,
    ) -> Iterator[DataDirectory]:
        """Lock a directory that no node has used, to put a whole state into it.

        It is no node's until `save_identity`: until then no node starts on it, and it can be opened so again, which
        removes what was left in it. Raises `DataError` if a node has used it.
        """
        path = Path(path)
        lock, files = -1, None
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = _lock(path)
            files = open_files(path)
            _clear_unused(files)
            os.chmod(path, 0o700)
            if why := why_shared(path):
                raise DataError(why)
            files.write(RESTORING_NAME, 0, b"a backup is being restored into this folder\n", durable=True)
            incarnation = secrets.token_hex(INCARNATION_BYTES)
            yield cls(files, NodeIdentity(FORMAT, node_id, incarnation, cluster_name=cluster_name), lock)
            with contextlib.suppress(OSError):  # with an identity beside it, it says nothing any more
                files.remove(RESTORING_NAME)
        except OSError as error:
            raise DataError(f"{path} cannot be used as a data directory: {error.strerror or error}") from error
        finally:
            if files is not None:
                files.close()
            if lock >= 0:
                os.close(lock)

    def save_identity(
        self, *, cluster_id: str | None, members: dict[str, str] | None, incarnation: str | None = None
    ) -> None:
        """Remember the cluster this directory belongs to. Durable on return; may raise OSError.

        With an `incarnation`, the directory is another one from now on: see `Bootstrap.forget`.
        """
        identity = msgspec.structs.replace(
            self.identity,
            cluster_id=cluster_id,
            members=members,
            incarnation=incarnation or self.identity.incarnation,
        )
        _store(self.files, identity)
        self.identity = identity

    def close(self) -> None:
        """Idempotent."""
        self.files.close()
        if self._lock >= 0:
            os.close(self._lock)  # releases the lock; the file stays, or two processes could lock two files
            self._lock = -1

    def _check(self, node_id: str, cluster_name: str | None) -> None:
        found = self.identity
        if found.node_id != node_id:
            raise DataError(
                f"{self.files.where} belongs to node {found.node_id}, not to {node_id}: two nodes must never share "
                f"what they promised. Give {node_id} a directory of its own"
            )
        if cluster_name is not None and found.cluster_name not in (None, cluster_name):
            raise DataError(
                f"{self.files.where} is of a cluster named {found.cluster_name}, and node.cluster is {cluster_name}. "
                f"Correct node.cluster, or give {node_id} a directory of its own"
            )


def _lock(path: Path) -> int:
    lock = open_own(path / LOCK_NAME, os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 32, 0).decode("ascii", "replace").strip()
        os.close(lock)
        who = f"process {holder}" if holder else "another process"
        raise DataError(
            f"{path} is in use by {who}: stop that one first, or give this node another directory"
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def _load_or_create(files: DiskFiles, node_id: str, cluster_name: str | None, create: bool) -> NodeIdentity:
    names = files.names()
    if IDENTITY_NAME in names:
        return read_identity(files)
    if RESTORING_NAME in names:
        raise DataError(
            f"a backup was being restored into {files.where}, and not to the end: run quorate restore again"
        )
    if strays := _strays(names):
        raise DataError(
            f"{files.where} has {strays[0]} and no {IDENTITY_NAME}, so nobody knows whose it is. Bring "
            f"the file back, or give {node_id} an empty directory and replace it: quorate members replace {node_id}"
        )
    if not create:
        raise DataError(f"{files.where} has no {IDENTITY_NAME}: no node has ever used it")
    os.chmod(files.where, 0o700)
    identity = NodeIdentity(FORMAT, node_id, secrets.token_hex(INCARNATION_BYTES), cluster_name=cluster_name)
    _store(files, identity)
    return identity


def _strays(names: list[str]) -> list[str]:
    """Files of a node, beside its identity."""
    return sorted(name for name in names if name.startswith(("log-", "log.", "snapshot-")))


def check_unused(path: Path | str) -> None:
    """Raises `DataError` if a node uses this directory, or has used it. Nothing in it is changed."""
    path = Path(path)
    try:
        if (path / LOCK_NAME).exists():
            os.close(_lock(path))
        if path.exists():
            with contextlib.closing(OsFiles(path)) as files:
                _strays_of_restore(files)
    except OSError as error:
        raise DataError(f"{path} cannot be used as a data directory: {error.strerror or error}") from error


def _clear_unused(files: DiskFiles) -> None:
    """Remove what an interrupted restore has left. Raises `DataError` if it is anything else than that."""
    for name in _strays_of_restore(files):
        files.remove(name)


def _strays_of_restore(files: DiskFiles) -> list[str]:
    """What an interrupted restore has left. Raises `DataError` if there is anything else of a node."""
    names = files.names()
    if IDENTITY_NAME in names:
        raise DataError(
            f"{files.where} is in use by node {read_identity(files).node_id} already, and a backup is restored into a "
            "folder that no node has used. Move that one away, or name another one in node.data"
        )
    if (strays := _strays(names)) and RESTORING_NAME not in names:
        raise DataError(f"{files.where} has {strays[0]}, which is some node's: move it away. Nothing was changed")
    return strays


def read_identity(files: DiskFiles) -> NodeIdentity:
    """Raises `DataError` if it is damaged, and `FileNotFoundError` if there is none."""
    where = f"{files.where}/{IDENTITY_NAME}"
    try:
        stored = msgspec.json.decode(files.read(IDENTITY_NAME), type=_Stored)
        sound = crc32(stored.identity) == stored.crc32
        format = msgspec.json.decode(stored.identity, type=_Format).format if sound else FORMAT
    except (msgspec.DecodeError, UnicodeDecodeError):
        sound, format = False, FORMAT
    if format != FORMAT:
        raise DataError(
            f"{where} has format {format}, this version of Quorate reads {FORMAT}: run the one that wrote it"
        )
    if sound:
        with contextlib.suppress(msgspec.DecodeError):
            return msgspec.json.decode(stored.identity, type=NodeIdentity)
    raise DataError(
        f"{where} is damaged. If the other nodes are well, give this node an empty directory: "
        f"quorate members replace NODE"
    )


def _store(files: DiskFiles, identity: NodeIdentity) -> None:
    body = msgspec.json.encode(identity)
    if _TEMPORARY_NAME in files.names():
        files.remove(_TEMPORARY_NAME)
    files.write(_TEMPORARY_NAME, 0, b'{"crc32":%d,"identity":%s}\n' % (crc32(body), body))
    files.sync(_TEMPORARY_NAME)
    crash_point("identity-before-rename")
    files.replace(_TEMPORARY_NAME, IDENTITY_NAME)
    crash_point("identity-after-rename")
