"""Votes and reads over Quorate's interface, as its own chaos runs send them: one vote with an id a request."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bench.elsewhere.doors import ToldOfPoll, ToldOfVote
from bench.elsewhere.kept_door import KeptDoor
from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.history import SentVote
from quorate.chaos.workload.exchange import AskedNode, LostAnswer, NeverSent
from quorate.chaos.workload.judged import of_read, of_votes
from quorate.chaos.workload.ledger import body_of


class QuorateDoor(KeptDoor):
    def __init__(self, cluster: ChaosCluster, home: int, chance: random.Random) -> None:
        nodes = [AskedNode(node.id, node.place.http.host, node.place.http.port) for node in cluster.nodes]
        super().__init__(nodes, home, chance)

    async def cast(self, vote: SentVote) -> ToldOfVote:
        sent = SentVote(f"{vote.poll}.{vote.option}", vote.id, vote.poll)
        try:
            answer = await self._connection.ask("POST", "/votes", body_of([sent]))
        except NeverSent as error:
            return ToldOfVote("fail", f"not sent: {error}")
        except LostAnswer as error:
            return ToldOfVote("unknown", str(error))
        judged = of_votes(answer, 1)
        if judged.outcome == "ok" and judged.rejected:
            raise AssertionError(f"a vote was refused: {judged.rejected}")
        return ToldOfVote(judged.outcome, judged.error, bool(judged.duplicates), answer.version)

    async def read(self, poll: str) -> ToldOfPoll:
        try:
            answer = await self._connection.ask("GET", f"/polls/{poll}/results?level=linearizable")
        except (NeverSent, LostAnswer) as error:
            return ToldOfPoll("fail", str(error))
        judged = of_read(answer)
        if judged.outcome != "ok":
            return ToldOfPoll("fail", judged.error)
        told = answer.json()
        results = {option.rpartition(".")[2]: total for option, total in told["results"].items() if total}
        return ToldOfPoll("ok", "", told["version"], results)


def make_polls(cluster: ChaosCluster, polls: Sequence[str], options: Sequence[str]) -> None:
    with cluster.client() as client:
        for poll in polls:
            client.create_poll(poll, [f"{poll}.{option}" for option in options])
