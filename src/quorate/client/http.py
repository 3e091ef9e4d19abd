"""The client of the commands. It asks any node, and another node if that one fails. It never lets a vote count twice.

A request that surely had no effect (connection refused, no leader, overloaded) is tried on the next node. A request
that may have had an effect (a broken connection, a timeout, 504) is sent again unchanged. That is safe because every
vote has an id; the client makes one if the caller gave none. One deadline covers all attempts. Errors are raised as the
class of `errors.py` that the node meant: `NoLeader` if surely nothing changed, `OutcomeUnknown` if that is not known.

Used by the commands, `dev`, tests and benches: its answers are the JSON of nodes, and it has what operators ask. The
client for other programs is `client.py`. Both send by `asker.py` and have one rule for retries, `asking.py`.
"""

from __future__ import annotations

import urllib.parse
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from datetime import datetime
from typing import Any

import msgspec

from quorate.client.asker import NodeAsker
from quorate.client.asking import NodeUrls, RetryTimes
from quorate.client.calls import Call, ClientReply
from quorate.client.urls import DEFAULT_NODES, base_url
from quorate.errors import Deleted, UnknownPoll
from quorate.vote import Tallied, Vote

__all__ = ["DEFAULT_NODES", "ClientReply", "JsonClient", "Producer", "base_url"]


class Producer(msgspec.Struct):
    """A producer session. `sequence` is the number of the last batch that was applied, 0 if there was none.

    `owner` is the name of the token that it belongs to; "" for one that was opened without a token.
    """

    producer: str
    epoch: int
    sequence: int
    owner: str = ""


class JsonClient:
    """`unreached_s`: give up after this time if no node can be reached. None: after `timeout_s`, as otherwise.

    `token` is sent with every request. `ca` is a file of the certificates whose signature is trusted, and no other.
    `waiting` is entered around each request, for a display.
    `patient`: where the token's rate refuses a request, wait for as long as the rate wants, beside `timeout_s`.
    """

    def __init__(
        self,
        nodes: Sequence[str] = DEFAULT_NODES,
        *,
        timeout_s: float = 10.0,
        unreached_s: float | None = None,
        token: str | None = None,
        ca: str | None = None,
        patient: bool = False,
        waiting: Callable[[], AbstractContextManager[object]] = nullcontext,
    ) -> None:
        self._asker = NodeAsker(NodeUrls([base_url(node) for node in nodes]), token=token, ca=ca)
        self.timeout_s = timeout_s
        self._patient, self._unreached_s, self._waiting = patient, unreached_s, waiting

    @property
    def nodes(self) -> Sequence[str]:
        return self._asker.nodes.urls

    def __enter__(self) -> JsonClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._asker.close()

    # ---- votes ------------------------------------------------------------------------------------------------------

    def vote(self, vote: Vote) -> Tallied:
        """Count one vote. If it cannot be counted, the error says why."""
        vote = vote if vote.id is not None else msgspec.structs.replace(vote, id=uuid.uuid4().hex)
        return self.request("POST", "/votes", body=_json(vote)).decode(Tallied)

    def cast(self, votes: Sequence[Vote]) -> Tallied:
        """Count votes independently of each other. The answer lists the votes that cannot be counted."""
        votes = [v if v.id is not None else msgspec.structs.replace(v, id=uuid.uuid4().hex) for v in votes]
        return self.request("POST", "/votes", body=_json(votes)).decode(Tallied)

    def cast_once(self, votes: Sequence[Vote], key: str | None = None) -> Tallied:
        """Count all votes or none, under one idempotency key."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.request("POST", "/votes", body=_json(votes), headers=headers).decode(Tallied)

    def open_producer(self, producer: str, *, new: bool = False) -> Producer:
        """Open a producer session, or continue it. A writer that had it open before is refused from now on.

        Raises `Deleted` if it was forgotten, unless it is opened as `new`.
        """
        wanted = {"producer": producer} | ({"new": True} if new else {})
        return self.request("POST", "/producers", body=_json(wanted)).decode(Producer)

    def cast_session(self, session: Producer, votes: Sequence[Vote]) -> Tallied:
        """Count all votes or none, as the next batch of the session. On success `session.sequence` grows by one."""
        sequence = session.sequence + 1
        header = f"{session.producer};epoch={session.epoch};sequence={sequence}"
        reply = self.request("POST", "/votes", body=_json(votes), headers={"X-Quorate-Producer": header})
        tallied = reply.decode(Tallied)
        session.sequence = sequence
        return tallied

    # ---- polls and the cluster --------------------------------------------------------------------------------------

    def create_poll(
        self,
        id: str,
        options: Sequence[str],
        *,
        title: str = "",
        state: str = "open",
        closes_at: Any = None,
        write_ins: bool = False,
    ) -> bool:
        """Create a poll. False if the same poll exists already."""
        poll = {"id": id, "title": title or id, "options": list(options), "state": state, "write_ins": write_ins}
        if closes_at is not None:
            poll["closes_at"] = closes_at
        return self.request("POST", "/polls", body=_json(poll)).status == 201

    def change_poll(self, id: str, **change: Any) -> Any:
        """Give `title`, `add_options` or `closes_at` (None: no closing time). Returns the poll, and if it `changed`."""
        return self.request("PATCH", f"/polls/{_quote(id)}", body=_json(change)).json()

    def set_poll_state(self, id: str, state: str) -> Any:
        return self.request("POST", f"/polls/{_quote(id)}/state", body=_json({"state": state})).json()

    def delete_poll(self, id: str, creation: int) -> Any:
        """Delete this creation of a poll. Raises `Deleted` if it was deleted before, perhaps by this very request."""
        return self.request("DELETE", f"/polls/{_quote(id)}", params={"creation": creation}).json()

    def producers(self) -> list[Producer]:
        """All producer sessions."""
        found: list[Producer] = []
        after: str | None = None
        while True:
            page = self.request("GET", "/producers", params={"after": after}).json()
            found += msgspec.convert(page["producers"], list[Producer])
            after = page["next"]
            if after is None:
                return found

    def forget_producer(self, name: str, epoch: int | None = None) -> Any:
        return self.request("DELETE", f"/producers/{_quote(name)}", params={"epoch": epoch}).json()

    def polls(self, state: str | None = None, *, level: str | None = None) -> Any:
        return self.request("GET", "/polls", params={"state": state, "level": level}).json()

    def poll(self, id: str, *, level: str | None = None) -> Any:
        return self.request("GET", f"/polls/{_quote(id)}", params={"level": level}).json()

    def poll_counts_from_ms(self, id: str) -> int:
        """Messages of a queue from before this time (Unix, ms) were meant for an earlier poll of this name. 0: none."""
        try:
            moment = self.poll(id).get("counts_from")
        except (UnknownPoll, Deleted):  # its votes are rejected anyway
            return 0
        return 0 if moment is None else round(datetime.fromisoformat(moment).timestamp() * 1000)

    def results(self, id: str, *, level: str = "weak", min_version: int | None = None) -> Any:
        params = {"level": level, "min_version": min_version}
        return self.request("GET", f"/polls/{_quote(id)}/results", params=params).json()

    def history(self, id: str, *, begin: str, step: str | None = None) -> Any:
        """How the poll's tally changed, as the node that answers has recorded it."""
        return self.request("GET", f"/polls/{_quote(id)}/history", params={"from": begin, "step": step}).json()

    def settings(self) -> Any:
        """The settings that concern the whole cluster, and what each node says: `GET /settings`."""
        return self.request("GET", "/settings").json()

    def set_setting(self, name: str, value: Any) -> Any:
        """Set a setting of the cluster, for all nodes at one version."""
        return self.request("PUT", f"/settings/{_quote(name)}", body=_json({"value": value})).json()

    def log_page(self, first: int | None = None) -> ClientReply:
        """Entries of a node's log from `first` on: `GET /log`. `next` of the answer begins the following page."""
        return self.request("GET", "/log", params={"from": first})

    def log_level(self, level: str | None = None) -> Any:
        """The least severity that a node writes to its log; with `level`, change it until the node starts again."""
        if level is None:
            return self.request("GET", "/log-level").json()
        return self.request("PUT", "/log-level", body=_json({"level": level})).json()

    def leader(self) -> Any:
        return self.request("GET", "/leader").json()

    def members(self) -> Any:
        """All nodes as the asked node sees them: `GET /nodes`."""
        return self.request("GET", "/nodes").json()

    def cluster_members(self) -> Any:
        """The members of the cluster according to its log: `GET /members`."""
        return self.request("GET", "/members").json()["members"]

    def change_members(self, action: str, id: str, raft: str | None = None) -> Any:
        """Add, remove or replace a member, or update its address. Returns the members after the change."""
        change = {"action": action, "id": id} | ({"raft": raft} if raft else {})
        if action == "replace":  # say which disk is lost, so that the request, sent again, does not mean the new one
            known = {member["id"]: member["incarnation"] for member in self.cluster_members()}
            change |= {"incarnation": known[id]} if id in known else {}
        return self.request("POST", "/members", body=msgspec.json.encode(change)).json()["members"]

    def transfer_leadership(self) -> Any:
        """Hand leadership to the node that has most of the log. Returns the new leader's id."""
        return self.request("POST", "/leader/transfer").json()["leader"]

    def status(self) -> Any:
        return self.request("GET", "/status").json()

    # ---- one request, however many tries ----------------------------------------------------------------------------

    def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> ClientReply:
        """Ask until a node answers or the time is over. Only for requests that are safe to send twice."""
        call = Call(method, path, lambda reply: reply, body, headers or {}, params or {})
        unreached_s = min(self.timeout_s, self._unreached_s or self.timeout_s)
        with self._waiting():
            return self._asker.ask(call, RetryTimes(self.timeout_s, unreached_s, self._patient))


_json = msgspec.json.encode


def _quote(id: str) -> str:
    return urllib.parse.quote(id, safe="")
