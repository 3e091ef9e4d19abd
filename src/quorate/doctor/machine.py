"""What a node needs of this machine, looked at with its settings. Files that are made are removed again."""

from __future__ import annotations

import contextlib
import os
import platform
import socket
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from quorate import descriptors, pidfile
from quorate.config import Config
from quorate.config.address import Address
from quorate.doctor.finding import Finding
from quorate.words import count

MB = 1024 * 1024
SYNCS, SYNCED_BYTES, SYNCING_MAX_S = 50, 4096, 5.0
SLOW_SYNC_S = 0.02  # more, and single votes wait for the disk most of the time
LEAST_FREE_BYTES, FEW_FREE_BYTES = 256 * MB, 2048 * MB
IN_MEMORY = frozenset({"tmpfs", "ramfs"})  # of them nothing is left after a loss of power


def look_at_machine(config: Config) -> Iterator[Finding]:
    folder = Path(config.node.data)
    yield Finding("python", "good", f"Python {platform.python_version()} on {platform.system()} {platform.machine()}")
    runs = pidfile.running(folder) if folder.is_dir() else None
    yield _folder(folder, runs)
    there = _nearest(folder)
    if os.access(there, os.W_OK):
        yield _file_system(there)
        yield _space(there, config.raft.snapshot_bytes)
        yield _sync(there, config.raft.election_timeout_ms / 1000)
    yield _descriptors(config.http.connections_max)
    if runs is None:
        for name, addresses in (("http.listen", config.http.addresses), ("raft.listen", config.raft.addresses)):
            yield from (_port(name, address) for address in addresses)


def _nearest(folder: Path) -> Path:
    """The folder, or the one in which it would be made."""
    while not folder.is_dir() and folder != folder.parent:
        folder = folder.parent
    return folder


def _folder(folder: Path, runs: int | None) -> Finding:
    there, what = _nearest(folder), "data folder"
    if not os.access(there, os.W_OK | os.X_OK):
        return Finding(what, "bad", f"{there} may not be written", f"give it to the user that runs the node: {folder}")
    if runs is not None:
        return Finding(what, "good", f"{folder}, where process {runs} runs the node")
    words = f"{folder}" if folder.is_dir() else f"{folder}, which the node will make"
    return Finding(what, "good", words)


def _file_system(there: Path) -> Finding:
    kind = _kind_of_file_system(there)
    if kind in IN_MEMORY:
        todo = "set node.data to a folder on a disk"
        return Finding("file system", "bad", f"{there} is on {kind}: all votes are lost with the power", todo)
    return Finding("file system", "good", kind or "not known on this system")


def _kind_of_file_system(there: Path) -> str:
    """By the longest mount point that the folder is below (Linux: proc(5), /proc/mounts)."""
    found, kind = "", ""
    with contextlib.suppress(OSError):
        for line in Path("/proc/mounts").read_text().splitlines():
            _, point, its_kind, *_ = line.split(" ")
            point = point.encode().decode("unicode_escape")
            if there.resolve().is_relative_to(point) and len(point) >= len(found):
                found, kind = point, its_kind
    return kind


def _space(there: Path, snapshot_bytes: int) -> Finding:
    disk = os.statvfs(there)
    free = disk.f_bavail * disk.f_frsize
    words = f"{free / MB:,.0f} MB are free"
    todo = "make room, or move node.data: a node that cannot write its log stops"
    if free < LEAST_FREE_BYTES + 2 * snapshot_bytes:
        return Finding("disk space", "bad", words, todo)
    return (
        Finding("disk space", "warning", words, todo) if free < FEW_FREE_BYTES else Finding("disk space", "good", words)
    )


def _sync(there: Path, election_timeout_s: float) -> Finding:
    """How long a write takes until the disk has it: each vote waits for that."""
    took_s: list[float] = []
    end_s = time.monotonic() + SYNCING_MAX_S
    with tempfile.TemporaryFile(dir=there) as file:
        while len(took_s) < SYNCS and time.monotonic() < end_s:
            began_s = time.perf_counter()
            file.write(bytes(SYNCED_BYTES))
            file.flush()
            os.fsync(file.fileno())
            took_s.append(time.perf_counter() - began_s)
    median_s, longest_s = statistics.median(took_s), max(took_s)
    words = f"a sync takes {median_s * 1e3:.1f} ms, {longest_s * 1e3:.1f} at most, of {len(took_s)}"
    if longest_s > election_timeout_s / 2:
        todo = "use a faster disk, or raise raft.election_timeout_ms on all nodes: elections come of this"
        return Finding("disk sync", "bad", words, todo)
    if median_s > SLOW_SYNC_S:
        return Finding("disk sync", "warning", words, "each vote waits for one: use a faster disk")
    return Finding("disk sync", "good", words)


def _descriptors(connections_max: int) -> Finding:
    descriptors.raise_limit(connections_max)  # of this process; a node does the same at its start
    fit, needed = descriptors.connections_within(connections_max), connections_max + descriptors.RESERVE
    if fit < connections_max:
        todo = (
            f"allow {count(needed, 'file')} (ulimit -n, LimitNOFILE of systemd), or set http.connections_max to {fit:,}"
        )
        return Finding(
            "open files", "warning", f"the limit leaves {count(fit, 'connection')} of {connections_max:,}", todo
        )
    return Finding("open files", "good", f"{needed:,} may be open")


def _port(name: str, address: Address) -> Finding:
    """Whether somebody listens there already. Port 0 is free always."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, place = found[0]
        with socket.socket(family, kind, protocol) as listening:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listening.bind(place)
    except OSError as error:
        todo = f"stop what listens there, or give another address as {name}"
        return Finding(name, "bad", f"{address} cannot be had: {error.strerror or error}", todo)
    return Finding(name, "good", f"{address} is free")
