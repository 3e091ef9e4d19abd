"""Nodes that have settings and tokens of their own, and can ask each other for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from quorate.cluster.submit.submitter import Submitter
from quorate.cluster_settings import ClusterSettings
from quorate.config import load
from quorate.security.tokens import Tokens
from quorate.settings_watch import SettingsWatch
from tests.support.local_replica import LocalReplica


class Members:
    """Nodes n1 (which leads) and so on, each with settings of its own. `levels` says what their programs can do."""

    def __init__(self, *flags: Mapping[str, Any]) -> None:
        self.replicas = [LocalReplica(f"n{number}") for number in range(1, len(flags) + 1)]
        self.levels: dict[str, int | None] = {replica.node_id: 1 for replica in self.replicas}
        self.tokens: dict[str, Tokens] = {}
        self.settings = [self._make(replica, given) for replica, given in zip(self.replicas, flags, strict=True)]
        self.watches = [
            SettingsWatch(replica, settings, is_known=lambda: True)
            for replica, settings in zip(self.replicas, self.settings, strict=True)
        ]
        for replica in self.replicas:
            replica.leader = "n1"
            replica.peers = {other.node_id: other for other in self.replicas if other is not replica}

    def _make(self, replica: LocalReplica, flags: Mapping[str, Any]) -> ClusterSettings:
        loaded = load(env={}, flags={"node.id": replica.node_id, **flags})
        self.tokens[replica.node_id] = Tokens()
        return ClusterSettings(
            loaded.config,
            loaded.origins,
            replica,
            Submitter(replica),
            members=lambda: [each.node_id for each in self.replicas],
            levels=lambda: self.levels,
            tokens=lambda: self.tokens[replica.node_id],
        )

    async def shown(self, place: int = 0) -> dict[str, Any]:
        found = await self.settings[place].show()
        return {each["name"]: each for each in found["settings"]}
