"""A real cluster on this machine that can be broken in every way, and mended again.

    with ChaosCluster(folder, 5) as cluster:
        mend = cluster.links.cut(["n1"], ["n2", "n3", "n4", "n5"])
        ...
        cluster.heal()

Nodes reach each other over `network`, whose `links` can be cut, and each runs as a victim, which `victims` orders what
to do. Call what starts nodes from one thread that lives as long as the cluster: the kernel kills a node when the thread
that started it ends.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from quorate.chaos.breakable import BreakableNodes
from quorate.chaos.clock_file import forget_the_dead
from quorate.chaos.nemeses.nemesis import NotNow
from quorate.chaos.network import NodeNetwork
from quorate.chaos.orders import Orders
from quorate.chaos.other_program import OtherProgram
from quorate.chaos.preload import Preload
from quorate.chaos.proxies.relay_network import RelayNetwork
from quorate.chaos.repair import bring_back, empty
from quorate.chaos.services.chaos_services import ChaosServices
from quorate.chaos.victims import Victims
from quorate.errors import QuorateError
from quorate.exit_code import REMOVED
from quorate.processes.cluster import FreshCluster
from quorate.processes.node import EndedAtStart, NodeProcess
from quorate.processes.waiting import NeverHappened

VICTIM = (sys.executable, "-P", "-m", "quorate.chaos.victim")
SIZES = (3, 5, 7)
SNAPSHOT_BYTES, KEEP_BYTES, SEGMENT_BYTES = 2 * 1024 * 1024, 512 * 1024, 1024 * 1024  # so that all of it happens often
OWN = ("node.id", "node.data", "http.listen", "raft.listen", "resp.listen")  # each node has another value
HEAL_S = 90.0
TURN_S = 10.0  # of that, before the members are corrected again
LAG_MAX = 2_000  # entries that a node may lag behind under load, and still count as caught up
ASK_S = 1.0


class ChaosCluster(BreakableNodes[NodeProcess], FreshCluster):
    def __init__(
        self,
        folder: Path,
        size: int = 3,
        settings: Mapping[str, Any] | None = None,
        *,
        seed: int = 0,
        services: ChaosServices | None = None,
        other: OtherProgram | None = None,
        command: Sequence[str] = VICTIM,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        network: NodeNetwork | None = None,
        preload: Preload | None = None,
    ) -> None:
        """`network`: relays, unless another one is given, which ends with the cluster. `preload`: what moves clocks."""
        self.other = other  # what nodes can be besides
        self.own_python = command[0]
        self.services = services or ChaosServices({}, folder)
        self.network: NodeNetwork = network or RelayNetwork(seed=seed)
        self.links = self.network.links
        own = {**self.network.settings, "raft.snapshot_bytes": SNAPSHOT_BYTES, **(settings or {})}
        own |= self.services.settings()
        BreakableNodes.__init__(self)
        ids = [f"n{number}" for number in range(1, size + 1)]
        places = [self.network.place(id, folder / id) for id in ids]
        FreshCluster.__init__(self, folder, size, own, command=command, env=env, cwd=cwd, places=places)
        self.victims = Victims(Orders(keep_bytes=KEEP_BYTES, segment_bytes=SEGMENT_BYTES))
        self.extras: list[NodeProcess] = []  # nodes that a fault added
        self._another = partial(NodeProcess, command=command, env=env, cwd=cwd, lifeline=self._lifeline)
        self._numbers = itertools.count(size + 1)
        self._seed = seed
        self._preload, self._began_s = preload, time.time() - 1
        for node in self.nodes:
            node.settings["raft.peers"] = self.peers()
            self._give_clock(node)
        self._linked = False
        self._lock = threading.Lock()
        self._harmed: set[str] = set()

    def start(self) -> None:
        if not self._linked:
            self._linked = True
            self.network.start()
            for number, node in enumerate(self.nodes):
                self.victims.begin(node.folder, seed=self._seed + number, doors=self._doors(node))
        super().start()

    def close(self) -> None:
        for node in self.extras:
            node.close()
        super().close()
        if self._preload is not None:
            forget_the_dead(self._began_s)  # nodes that were killed before they could tidy up
        self.network.close()

    def peers(self) -> list[str]:
        """What `raft.peers` says."""
        return [f"{id}={address}" for id, address in self.network.addresses().items()]

    def _doors(self, node: NodeProcess) -> dict[str, int]:
        return self.network.doors(node.id) if node.settings.get("raft.tls_cert") else {}

    def _give_clock(self, node: NodeProcess) -> None:
        """Its file is not in the node's folder, which faults empty and put back."""
        if self._preload is not None:
            node.env.update(self._preload.environment(self.folder / f"{node.id}.clock"))

    # ---- nodes that come and move -----------------------------------------------------------------------------------

    def newcomer(self) -> NodeProcess:
        """A node with an empty disk that knows the others. It is in `extras`, and does not run yet."""
        id = f"n{next(self._numbers)}"
        place = self.network.place(id, self.folder / id)
        model = {name: value for name, value in self.nodes[0].settings.items() if name not in OWN}
        settings = {**model, "raft.peers": self.peers(), "raft.bootstrap": False}
        node = self._another(place, settings)
        self._give_clock(node)
        self.victims.begin(node.folder, seed=self._seed, doors=self._doors(node))
        self.extras.append(node)
        return node

    def dismiss(self, node: NodeProcess) -> None:
        """A newcomer goes, whether it left the cluster or not."""
        node.close()
        self.network.drop(node.id)
        if node in self.extras:
            self.extras.remove(node)

    def move(self, node: NodeProcess) -> str:
        """Give a node that is down another address, and tell nobody else. Returns it."""
        listens = self.network.move(node.id)
        address = self.address(node)
        own = [peer for peer in node.settings["raft.peers"] if not peer.startswith(f"{node.id}=")]
        node.settings["raft.peers"] = [*own, f"{node.id}={address}"]
        node.settings["raft.listen"] = str(listens)
        return address

    def address(self, node: NodeProcess) -> str:
        """Where the others find it."""
        return str(self.network.addresses()[node.id])

    def set_program(self, node: NodeProcess, python: str) -> None:
        """What this node is from its next start on: our own, or that of `other`. Its folder stays as it is."""
        node.command[0] = python

    # ---- how it is now ----------------------------------------------------------------------------------------------

    def harmed(self) -> set[str]:
        """Nodes whose disks lost something that was acknowledged, and that have not been brought up to date since."""
        with self._lock:
            return set(self._harmed)

    def leader_now(self) -> NodeProcess | None:
        """The node that leads the newest term, if one says so of itself. Asked once, and without a long wait."""
        leading = []
        for node in self.up():
            with contextlib.suppress(OSError, ValueError, KeyError):
                status, body, _ = node.ask("GET", "/leader", timeout_s=ASK_S)
                told = json.loads(body) if status == 200 else {}
                if told.get("id") == node.id:
                    leading.append((int(told["term"]), node))
        return max(leading, key=lambda found: found[0])[1] if leading else None

    # ---- what faults do to it ---------------------------------------------------------------------------------------

    def harm(self, node: NodeProcess) -> None:
        """This node's disk is about to lose something. Raises `NotNow` if a majority would have lost something then."""
        with self._lock:
            if len(self._harmed | {node.id}) > self.minority:
                raise NotNow(f"the disks of {', '.join(sorted(self._harmed))} are harmed already")
            self._harmed.add(node.id)

    def recovered(self, node: NodeProcess) -> None:
        """This node's disk has all again."""
        with self._lock:
            self._harmed.discard(node.id)

    # ---- mending ----------------------------------------------------------------------------------------------------

    def heal(self, deadline_s: float = HEAL_S) -> None:
        """End every fault, start every node, and wait until the cluster is whole. Raises `NeverHappened`."""
        self.links.heal()
        self.services.heal()
        self.victims.heal()
        self.resume(self.nodes)
        for node in self.nodes:
            self.set_program(node, self.own_python)
        end_s = time.monotonic() + deadline_s
        while not self._is_mended():
            if time.monotonic() > end_s:
                raise NeverHappened(f"not within {deadline_s:g} s: the cluster is whole\n{self.seen()}")
        with self._lock:
            self._harmed.clear()

    def _correct_members(self) -> None:
        """A change of the members that a fault began may have met another fault: the members are our nodes again."""
        ours = {node.id: node for node in self.nodes}
        with contextlib.suppress(QuorateError, OSError), self.client(ASK_S) as client:
            members = {member["id"] for member in client.cluster_members()}
            for id in members - set(ours):
                client.change_members("remove", id)
            for id in set(ours) - members:
                client.change_members("add", id, self.address(ours[id]))

    def _is_mended(self) -> bool:
        for node in self.nodes:
            if node.exit_status == REMOVED:  # by a removal that was given up, and came true later
                empty(node.folder)
        self.start_again(self.nodes)
        self._correct_members()
        harmed = self.harmed()
        if not all(bring_back(self, node, TURN_S) for node in self.nodes if node.id in harmed):
            return False  # perhaps it is no member: they are corrected once more
        try:
            self.wait_ready()
            self.wait_whole(lag_max=LAG_MAX)
        except (NeverHappened, EndedAtStart):
            return False
        return True
