"""How a node without `raft.peers` learns its peers.

The members that the log names are the peers. A log that names no member belongs to a node that has not joined a cluster
yet: such a node looks for its peers in Consul if `raft.bootstrap_expect` is set.

Members may have moved, all at once even: then the log has only old addresses, and there are no settings to be right. So
while no leader is known, a node with `consul.address` looks there for the addresses that they have registered. These
are tried besides those of the log, and whoever answers has to prove that it is the member.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.cluster.raft.replica import RaftReplica
from quorate.config import Config
from quorate.errors import QuorateError

LOOK_EVERY_S = 3.0  # in Consul, while no leader is known

if TYPE_CHECKING:
    from quorate.cluster.discovery.formation import Formation
    from quorate.cluster.discovery.peer_search import PeerSearch


class Joining:
    """Started when the replica has read its log. `failed` is called with an error that waiting does not cure."""

    def __init__(self, config: Config, replica: RaftReplica, *, failed: Callable[[BaseException], None]) -> None:
        self._config, self._replica, self._failed = config, replica, failed
        self._search: PeerSearch | None = None
        self._looking: asyncio.Task[None] | None = None

    def start(self) -> None:
        if self._config.raft.peers:
            return
        if self._config.consul.address:
            self._looking = asyncio.get_running_loop().create_task(self._look_for_moved())
        known = {member.id: member.raft for member in self._replica.members()}
        if known:
            self._replica.set_initial_peers(known, bootstrap=False)
        elif self._config.raft.bootstrap_expect:
            from quorate.cluster.discovery.peer_search import PeerSearch

            post = asyncio.get_running_loop().call_soon_threadsafe
            self._search = PeerSearch(self._config, post=post, found=self._found, failed=self._failed)
            self._search.start()

    async def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._search is not None:
            await asyncio.to_thread(self._search.stop)

    @property
    def waits_for(self) -> str | None:
        """What the search waits for, in words; None if this node is a member, or does not search."""
        if self._search is None or self._replica.members():
            return None
        return self._search.words

    async def _look_for_moved(self) -> None:
        from quorate.cluster.discovery.nodes import find_raft_addresses

        tried: dict[str, str] = {}
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            known = {member.id: member.raft for member in self._replica.members()}
            if self._replica.leader is not None or not known:
                continue
            found: dict[str, str] = {}
            with contextlib.suppress(QuorateError):  # the registration says what is wrong with Consul
                found = await asyncio.to_thread(find_raft_addresses, self._config.consul, self._config.node.cluster)
            peers = known | {id: address for id, address in found.items() if id in known}
            if peers not in (known, tried):
                tried = peers
                self._replica.set_initial_peers(peers, bootstrap=False)

    def _found(self, formation: Formation) -> None:
        self._replica.set_initial_peers(dict(formation.members), bootstrap=formation.chosen)
        if formation.chosen:  # from here on the replica says which peers it waits for
            self._search = None
