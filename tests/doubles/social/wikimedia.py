"""Wikimedia's EventStreams, as a double: KafkaSSE's places, its limits and its policy, and faults on demand.

    python -m tests.doubles.social.wikimedia --port 8092 --changes 1000 --hang-ups 50 --seed 7

It checks its client: the User-Agent says how to reach whoever runs it, an address has two connections at most, and no
client is back before the time that it was told.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import random
import re
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

from tests.doubles.social.double import Double, Request, arguments, serve_for_ever
from tests.doubles.social.kafka_log import PARTITION, KafkaLog, Record
from tests.doubles.social.sse_answer import Cut, Fault, SseAnswer, wait_for_client

EQIAD, CODFW = "eqiad.mediawiki.recentchange", "codfw.mediawiki.recentchange"
PATH = "/v2/stream/recentchange"
CONNECTIONS_MAX = 2
AGENT = re.compile(r"\S+/\S+ \(.+\) \S+/\S+")
LOOK_S = 0.05
WIKIS = ("enwiki", "dewiki", "frwiki", "wikidatawiki", "commonswiki")


class WikimediaDouble(Double):
    """`ids`: whether an event's id tells times, as the public server does, or offsets.

    `faults` are for the connections to come, one each; after them `cut` says after how many bytes one ends.
    """

    orders = ("publish_many", "publish_posts", "forget", "fail", "hang_up_often")

    def __init__(
        self,
        *,
        ids: Literal["time", "offset"] = "time",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        gzip: bool = False,
        cut: Callable[[], int | None] = lambda: None,
        keeps_open: bool = True,
    ) -> None:
        super().__init__(port=port, clock=clock)
        self.log = KafkaLog((EQIAD, CODFW))
        self.faults: list[Fault] = []
        self.asked: list[dict[str, str]] = []  # the headers and parameters that say from where on
        self.agents: list[str] = []
        self.fails_at_ids = False  # with an event that tells of an error, as KafkaSSE does after it has begun
        self._ids, self._gzip, self._cut, self._keeps_open = ids, gzip, cut, keeps_open
        self._open: dict[str, int] = {}
        self._is_closing = False
        self._not_before_s = 0.0

    @property
    def url(self) -> str:
        return f"{self.base}{PATH}"

    # ---- what happens in the world ----------------------------------------------------------------------------------

    def publish(
        self, *, title: str = "Paris", comment: str = "", ms: int = 0, topic: str = EQIAD, **fields: Any
    ) -> dict[str, Any]:
        """A change. `ms`: when it happened; what is published later may have happened earlier."""
        ms = ms or int(time.time() * 1000)
        moment = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
        meta = {"id": str(uuid.uuid4()), "domain": "en.wikipedia.org", "stream": "mediawiki.recentchange"}
        change = {
            "$schema": "/mediawiki/recentchange/1.0.0",
            "meta": {**meta, "dt": moment.isoformat().replace("+00:00", "Z"), **fields.pop("meta", {})},
            "type": "edit",
            "title": title,
            "comment": comment,
            "parsedcomment": comment,
            "timestamp": ms // 1000,
            "user": "Ann",
            "bot": False,
            "wiki": "enwiki",
            "server_name": "en.wikipedia.org",
            **fields,
        }
        self.log.append(topic, ms, json.dumps(change).encode())
        return change

    def publish_raw(self, value: bytes, ms: int, topic: str = EQIAD) -> None:
        self.log.append(topic, ms, value)

    def canary(self, ms: int) -> None:
        self.publish(ms=ms, meta={"domain": "canary"}, title="happy canary")

    def publish_many(self, changes: int, seed: int = 0, start_ms: int = 1_795_000_000_000) -> None:
        """Changes as there are: some in one millisecond, some that arrive late, a canary now and then."""
        random_ = random.Random(seed)
        ms = start_ms
        for number in range(changes):
            ms += random_.choice((0, 0, 1, 20, 40))
            happened_ms = ms - random_.choice((0, 0, 0, 0, 3, 150))
            if not number % 97:
                self.canary(ms)
            self.publish(
                title=f"Change {number}",
                comment=random_.choice(("", "so happy today", "a sad day")),
                ms=happened_ms,
                wiki=random_.choice(WIKIS),
                user=f"User {random_.randrange(1000)}",
            )

    def publish_posts(self, file: str) -> int:
        """The posts of a file, as `quorate stream generate` writes it, as changes. Here nobody edits what was said."""
        published = 0
        for line in Path(file).read_bytes().splitlines():
            post = json.loads(line)
            if not post["is_edit"]:
                published += 1
                self.publish(
                    title=f"Change {published}",
                    comment=post["text"],
                    ms=post["created_ms"],
                    user=post["author"],
                    wiki=post["tags"][0] if post["tags"] else "enwiki",
                    type="categorize" if post["is_repost"] else "edit",
                    meta={"id": post["id"]},
                )
        return published

    def hang_up_often(self, times: int, seed: int, within_bytes: int) -> None:
        """Each of so many of the next connections ends after at most so many bytes."""
        random_ = random.Random(seed)
        self.faults += [Fault("hang_up", random_.randint(0, within_bytes)) for _ in range(times)]

    def forget(self, records: int = 0, keep: int | None = None) -> None:
        """The oldest; or all but so many."""
        self.log.forget(records if keep is None else max(0, len(self.log.records) - keep))

    def fail(self, **fault: Any) -> None:
        self.faults.append(Fault(**fault))

    # ---- what its client sees ---------------------------------------------------------------------------------------

    def answer(self, request: Request) -> None:
        self._judge(request)
        fault = self.faults.pop(0) if self.faults else self._random_fault()
        if fault.kind == "silent":
            request.handler.close_connection = True
            wait_for_client(request.handler.connection)
        elif fault.kind == "status":
            self._refuse(request, fault.status, fault.body, fault.headers or {})
        elif not request.path.startswith("/v2/stream/"):
            self._refuse(request, 404, "Not found")
        else:
            with self._counted(request) as is_allowed:
                if is_allowed:
                    self._serve(request, fault)
                else:
                    self._refuse(request, 429, "Too Many Concurrent Connections From Your Client IP")

    def _judge(self, request: Request) -> None:
        agent = request.headers.get("User-Agent", "")
        self.agents.append(agent)
        if not AGENT.fullmatch(agent):
            self.blame(f"its User-Agent is against the policy: {agent}")
        if self.clock() < self._not_before_s - 0.01:
            self.blame(f"it is back {self._not_before_s - self.clock():.2f} s too soon")
        self._not_before_s = 0.0

    def _random_fault(self) -> Fault:
        after_bytes = self._cut()
        return Fault() if after_bytes is None else Fault("hang_up", after_bytes)

    def _refuse(self, request: Request, status: int, body: str, headers: dict[str, str] | None = None) -> None:
        asked = (headers or {}).get("Retry-After")
        if asked is not None:
            self._not_before_s = self.clock() + float(asked)
        request.reply(status, body.encode(), headers)

    @contextlib.contextmanager
    def _counted(self, request: Request) -> Iterator[bool]:
        """One connection more of this address, if it may have one more."""
        address = request.handler.client_address[0]
        with self.lock:
            is_allowed = self._open.get(address, 0) < CONNECTIONS_MAX
            self._open[address] = self._open.get(address, 0) + is_allowed
        try:
            yield is_allowed
        finally:
            with self.lock:
                self._open[address] -= is_allowed

    def _serve(self, request: Request, fault: Fault) -> None:
        last_id, since = request.headers.get("Last-Event-ID"), request.params.get("since")
        self.asked.append({name: value for name, value in (("id", last_id), ("since", since)) if value is not None})
        streams = urllib.parse.unquote(request.path.rpartition("/")[2])
        if streams not in ("recentchange", "mediawiki.recentchange"):
            self._refuse(request, 400, f"Invalid streams: {streams}")
            return
        try:
            asked = json.loads(last_id) if last_id else list(self.log.topics)
            self._check_topics(asked)
            places = self.log.assignments(asked, int(since) if since else None)
        except LookupError as unknown:
            self._refuse(request, 404, json.dumps({"message": f"Topics {unknown} are not available for consumption."}))
            return
        except (ValueError, TypeError):
            self._refuse(request, 400, json.dumps({"message": "Must provide either an array topic names, or …"}))
            return
        with contextlib.suppress(OSError, Cut):
            self._send_from(places, SseAnswer(request.handler, fault, gzip=self._gzip))

    def _check_topics(self, asked: list[Any]) -> None:
        for entry in asked:
            topic = entry if isinstance(entry, str) else entry["topic"]
            if topic not in self.log.topics:
                raise LookupError(topic)
            if isinstance(entry, dict) and type(entry.get("offset", entry.get("timestamp"))) is not int:
                raise TypeError

    def _send_from(self, places: dict[str, int], answer: SseAnswer) -> None:
        latest = {topic: {"topic": topic, "partition": PARTITION, "offset": at} for topic, at in places.items()}
        starts = {topic: at if at >= 0 else self.log.end_of(topic) for topic, at in places.items()}
        answer.begin()
        answer.send(b":ok\n\n")
        if self.fails_at_ids and "id" in self.asked[-1]:
            answer.send(b'event: error\ndata: {"message":"Local: Unknown error"}\nid: []\n\n')
            return
        for record in self._records(starts, answer):
            place = {"timestamp": record.timestamp + 1} if self._ids == "time" else {"offset": record.offset + 1}
            latest[record.topic] = {"topic": record.topic, "partition": PARTITION, **place}
            answer.send(_event(record, list(latest.values())))

    def _records(self, starts: dict[str, int], answer: SseAnswer) -> Iterator[Record]:
        after: dict[str, int] = {}
        seen = 0
        while not self._is_closing and answer.client_is_there:
            records = self.log.behind(seen, LOOK_S if self._keeps_open else 0)
            if not records and not self._keeps_open:
                return
            seen = max(seen, self.log.forgotten) + len(records)
            for record in records:
                if record.offset >= max(starts.get(record.topic, 0), after.get(record.topic, 0)):
                    after[record.topic] = record.offset + 1
                    yield record

    def close_connections(self) -> None:
        self._is_closing = True
        self.log.wake()

    def seen(self) -> dict[str, Any]:
        return {"violations": self.violations, "connections": len(self.asked), "kept": len(self.log.records)}


def _event(record: Record, places: list[dict[str, Any]]) -> bytes:
    """With the topic, partition and offset in `meta`, as its deserializer adds them."""
    with contextlib.suppress(ValueError, KeyError, TypeError):
        change = json.loads(record.value)
        meta = {**change["meta"], "topic": record.topic, "partition": PARTITION, "offset": record.offset}
        data = json.dumps({**change, "meta": meta})
        return f"event: message\nid: {json.dumps(places)}\ndata: {data}\n\n".encode()
    return b"event: message\nid: %s\ndata: %s\n\n" % (json.dumps(places).encode(), record.value)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--changes", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--ids", choices=["time", "offset"], default="time")
    parser.add_argument("--hang-ups", type=int, default=0, help="so many connections end in the middle")
    parser.add_argument("--gzip", action="store_true")
    asked = parser.parse_args()
    random_ = random.Random(asked.seed)
    cuts = iter([random_.randint(0, 100_000) for _ in range(asked.hang_ups)])
    double = WikimediaDouble(port=asked.port, ids=asked.ids, gzip=asked.gzip, cut=lambda: next(cuts, None))
    double.publish_many(asked.changes, asked.seed)
    serve_for_ever(double)


if __name__ == "__main__":
    main()
