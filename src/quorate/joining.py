"""How a node without `raft.peers` learns its peers.

The members that the log names are the peers. A log that names no member belongs to a node that has not joined a cluster
yet: such a node looks for its peers in Consul if `raft.bootstrap_expect` is set.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from quorate.cluster.raft.replica import RaftReplica
from quorate.config import Config

if TYPE_CHECKING:
    from quorate.cluster.discovery.formation import Formation
    from quorate.cluster.discovery.peer_search import PeerSearch


class Joining:
    """Started when the replica has read its log. `failed` is called with an error that waiting does not cure."""

    def __init__(self, config: Config, replica: RaftReplica, *, failed: Callable[[BaseException], None]) -> None:
        self._config, self._replica, self._failed = config, replica, failed
        self._search: PeerSearch | None = None

    def start(self) -> None:
        if self._config.raft.peers:
            return
        known = {member.id: member.raft for member in self._replica.members()}
        if known:
            self._replica.set_initial_peers(known, bootstrap=False)
        elif self._config.raft.bootstrap_expect:
            from quorate.cluster.discovery.peer_search import PeerSearch

            post = asyncio.get_running_loop().call_soon_threadsafe
            self._search = PeerSearch(self._config, post=post, found=self._found, failed=self._failed)
            self._search.start()

    async def stop(self) -> None:
        if self._search is not None:
            await asyncio.to_thread(self._search.stop)

    @property
    def waits_for(self) -> str | None:
        """What the search waits for, in words; None if this node is a member, or does not search."""
        if self._search is None or self._replica.members():
            return None
        return self._search.words

    def _found(self, formation: Formation) -> None:
        self._replica.set_initial_peers(dict(formation.members), bootstrap=formation.chosen)
        if formation.chosen:  # from here on the replica says which peers it waits for
            self._search = None
