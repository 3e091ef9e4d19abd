"""The folder of a cluster on this machine. Whether it can be used is checked before anything starts.

    DIR/cluster.json          marks the folder as a cluster's: how many nodes, which ports
    DIR/n1/quorate.toml       all settings of n1; `quorate node --config` with this file starts n1
    DIR/n1/node.pid node.log  and the log and snapshots of n1
    DIR/ballots.db            the SQLite sink, one for all nodes
    DIR/story                 what `story.py` keeps

Nothing is removed from a folder that has no cluster.json, or from a folder whose nodes run.
"""

from __future__ import annotations

import secrets
import shutil
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import IO, Any

import msgspec

from quorate import pidfile
from quorate.config import SETTINGS, Address, load, to_toml, under_new_names
from quorate.config.write import value_of
from quorate.errors import ConfigError, QuorateError
from quorate.own_files import open_anew, read_own
from quorate.processes.node import Place
from quorate.processes.ports import NoFreePorts, free_ports, is_free
from quorate.words import count

RAFT_PORT_OFFSET, RESP_PORT_OFFSET = 1_000, -1_000
MARK, STORY = "cluster.json", "story"
PER_NODE = {  # settings that `dev` decides for each node; the environment cannot set them
    "node.id",
    "node.data",
    "http.listen",
    "http.advertise",
    "http.tls_cert",
    "http.tls_key",
    "resp.listen",
    "resp.advertise",
    "raft.listen",
    "raft.advertise",
    "raft.peers",
    "raft.bootstrap",
    "raft.bootstrap_expect",
    "raft.key",
    "raft.key_file",
    "log.file",
}


class CannotStart(QuorateError):
    kind, title = "cannot-start", "The cluster was not started"


class Mark(msgspec.Struct):
    """The content of cluster.json. `formed`: each node has known a leader, so no node may form a cluster again."""

    nodes: int
    port: int
    formed: bool = False


class ClusterFolder:
    def __init__(self, path: Path) -> None:
        self.path = path.resolve()

    @property
    def mark(self) -> Mark | None:
        try:
            return msgspec.json.decode(read_own(self.path / MARK), type=Mark)
        except FileNotFoundError:
            return None
        except msgspec.DecodeError as error:
            raise CannotStart(f"{self.path / MARK} is damaged: {error}. Use --fresh to begin anew") from None

    def write_mark(self, mark: Mark) -> None:
        temporary = self.path / f".{MARK}"
        with open_anew(temporary) as opened:
            opened.write(msgspec.json.format(msgspec.json.encode(mark)))
        temporary.replace(self.path / MARK)

    # ---- may it be used? --------------------------------------------------------------------------------------------

    def prepare(
        self, nodes: int | None, port: int | None, *, fresh: bool, settings: Mapping[str, Any], resp: bool = False
    ) -> list[Place]:
        """Create the cluster here, or continue with it. Raises `CannotStart`; then nothing was changed.

        With `resp`, each node that has no door for Redis clients gets one.
        """
        mark = None if fresh else self.mark
        self._check_ours()
        self._check_nobody_runs()
        if mark is None:
            places = self._plan(nodes or 3, port or 8001)
            places = _with_doors(places) if resp else places
            _check_ports(places)
            self._clear()
            self._create(places, settings)
        else:
            self._check_same(mark, nodes, port)
            known = [self._read(f"n{number}") for number in range(1, mark.nodes + 1)]
            places = _with_doors(known) if resp else known
            _check_ports(places)
            for before, place in zip(known, places, strict=True):
                _refresh(place.config, settings if before == place else {**settings, **_door_of(place)})
        return places

    def hold(self) -> IO[str]:
        """Keep every other `quorate dev` out of this folder until `let_go`. Raises `CannotStart` if there is one."""
        if self.path.exists() and not self.path.is_dir():
            raise CannotStart(f"{self.path} is a file; give a folder with --data")
        held = pidfile.hold(self.path, pidfile.DEV)
        if held is None:
            holder = pidfile.running(self.path, pidfile.DEV)
            raise CannotStart(f"another `quorate dev` (process {holder}) runs the cluster in {self.path}")
        return held

    def let_go(self, held: IO[str]) -> None:
        """Release the folder, and remove it if it is empty because the start failed."""
        pidfile.let_go(held)
        if not any(self.path.iterdir()):
            self.path.rmdir()

    def _check_ours(self) -> None:
        others = [each.name for each in self.path.iterdir() if each.name != pidfile.DEV] if self.path.exists() else []
        if others and MARK not in others:
            raise CannotStart(
                f"{self.path} has {', '.join(sorted(others)[:3])} in it but no {MARK}, so it is not a cluster of "
                "`quorate dev`; give another folder with --data"
            )

    def _check_nobody_runs(self) -> None:
        for folder in sorted(self.path.glob("n*")):
            if process := pidfile.running(folder):
                raise CannotStart(
                    f"{folder.name} of {self.path} is running (process {process}); stop it: kill {process}"
                )

    def _check_same(self, mark: Mark, nodes: int | None, port: int | None) -> None:
        again = "leave it out to go on with this cluster, give another folder with --data, or begin anew with --fresh"
        if nodes not in (None, mark.nodes):
            raise CannotStart(
                f"{self.path} holds a cluster of {count(mark.nodes, 'node')}, and --nodes {nodes} asks for another: "
                f"{again}"
            )
        if port not in (None, mark.port):
            raise CannotStart(
                f"{self.path} holds a cluster on port {mark.port}, and --port {port} asks for another: {again}"
            )

    # ---- a new cluster ----------------------------------------------------------------------------------------------

    def _plan(self, nodes: int, port: int) -> list[Place]:
        raft_ports = _ports_near(port + RAFT_PORT_OFFSET, nodes, "the links between nodes")
        return [
            Place(
                id := f"n{i + 1}", self.path / id, Address("127.0.0.1", port + i), Address("127.0.0.1", raft_ports[i])
            )
            for i in range(nodes)
        ]

    def _clear(self) -> None:
        """Remove the files of an earlier cluster. Only in a folder that has cluster.json, which is removed last."""
        if not (self.path / MARK).exists():
            return
        for folder in self.path.glob("n*"):
            if (folder / "quorate.toml").exists():
                shutil.rmtree(folder)
        for file in self.path.glob("ballots.db*"):
            file.unlink()
        shutil.rmtree(self.path / STORY, ignore_errors=True)
        (self.path / MARK).unlink()

    def _create(self, places: list[Place], settings: Mapping[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        shared = {
            "raft.peers": [f"{place.id}={place.raft}" for place in places],
            "raft.key": secrets.token_hex(32),
            "sqlite.path": "../ballots.db",
            "log.file": "node.log",
        }
        for place in places:
            place.folder.mkdir(exist_ok=True)
            own = {
                "node.id": place.id,
                "node.data": ".",
                "http.listen": str(place.http),
                "raft.listen": str(place.raft),
                **_door_of(place),
            }
            _write_config(place.config, {**own, **shared, **settings})
        self.write_mark(Mark(len(places), places[0].http.port))

    def _read(self, id: str) -> Place:
        folder = self.path / id
        config = load(folder / "quorate.toml", env={}).config
        resp = _dialled(config.resp.addresses) if config.resp.addresses else None
        return Place(id, folder, _dialled(config.http.addresses), _dialled(config.raft.addresses), resp=resp)


def settings_of(env: Mapping[str, str], flags: Mapping[str, str]) -> dict[str, Any]:
    """The settings for all nodes from the environment and --set. The nodes' files get them, so that a node that is
    started by hand has them too."""
    per_node = {SETTINGS[name].env for name in PER_NODE}
    shared = {variable: value for variable, value in env.items() if variable not in per_node}
    if wrong := PER_NODE & set(flags):
        raise ConfigError(f"{', '.join(sorted(wrong))}: each node has its own, in its quorate.toml")
    config = load(env=shared, flags=flags).config
    given = [s for s in SETTINGS.values() if s.env in shared or s.name in flags]
    names = dict.fromkeys(setting.replaced_by or setting.name for setting in given)
    return {name: value_of(config, SETTINGS[name]) for name in names}


def _dialled(listen: list[Address]) -> Address:
    """Of the addresses on which a node listens, the one by which this host reaches it."""
    return next((address for address in listen if address.is_loopback), listen[0].dialled_here)


def _write_config(file: Path, values: Mapping[str, Any]) -> None:
    head = f"Settings of {values['node.id']}, made by `quorate dev`. Change what you like; to start this node alone:\n"
    head += "  quorate node --config quorate.toml"
    temporary = file.with_name(".quorate.toml")
    with open_anew(temporary) as opened:
        opened.write(to_toml(values, head).encode())
    temporary.replace(file)


def _refresh(file: Path, settings: Mapping[str, Any]) -> None:
    """Write the settings of this start into an existing file, unless the file has them already."""
    table = tomllib.loads(file.read_text(encoding="utf-8-sig"))
    values = under_new_names({f"{section}.{key}": v for section, keys in table.items() for key, v in keys.items()})
    if any(values.get(name) != value for name, value in settings.items()):
        _write_config(file, {**values, **settings})


# ---- ports ----------------------------------------------------------------------------------------------------------


def _check_ports(places: list[Place]) -> None:
    for place in places:
        for address, what in ((place.http, "HTTP"), (place.raft, "Raft"), (place.resp, "RESP")):
            if address is None:
                continue
            if not 1 <= address.port <= 65_535:
                raise CannotStart(f"port {address.port} for {what} of {place.id} is none; give a lower one with --port")
            if not is_free(address.port):
                raise CannotStart(
                    f"port {address.port}, for {what} of {place.id}, is in use by another program (perhaps another "
                    "cluster); stop that, or give other ports with --port and another folder with --data"
                )


def _with_doors(places: list[Place]) -> list[Place]:
    """The same nodes, each with a door for clients of Redis."""
    ports = _ports_near(places[0].http.port + RESP_PORT_OFFSET, len(places), "clients of Redis")
    doors = [place.resp or Address("127.0.0.1", port) for place, port in zip(places, ports, strict=True)]
    return [replace(place, resp=door) for place, door in zip(places, doors, strict=True)]


def _door_of(place: Place) -> dict[str, str]:
    return {} if place.resp is None else {"resp.listen": str(place.resp)}


def _ports_near(first: int, nodes: int, purpose: str) -> list[int]:
    """At a fixed distance from the HTTP ports if those are free; otherwise any free ports."""
    wanted = [first + i for i in range(nodes)]
    if all(1 <= each <= 65_535 and is_free(each) for each in wanted):
        return wanted
    try:
        return free_ports(nodes)
    except NoFreePorts:
        raise CannotStart(f"no free ports for {purpose}; give another range with --port") from None
