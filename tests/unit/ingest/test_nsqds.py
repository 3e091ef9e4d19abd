"""Which nsqds an nsqlookupd tells of: anybody may have told it."""

from __future__ import annotations

import asyncio
import json
from http.server import BaseHTTPRequestHandler
from typing import Any

from quorate.ingest.nsq.lookup import Lookup
from quorate.ingest.nsq.publisher import nsqds_of
from quorate.ingest.nsq.settings import NsqSettings
from tests.support.http_handler import serving


def told(host: Any, tcp_port: Any = 4150, http_port: Any = 4151) -> dict[str, Any]:
    return {"broadcast_address": host, "tcp_port": tcp_port, "http_port": http_port}


PRODUCERS = [
    told("nsqd.example"),
    told("user:secret@nsqd.example"),
    told("nsqd.example\n"),
    told("a\x1b[2Jb"),
    told("x" * 1_000_000),
    told("0.0.0.0"),
    told("nsqd.example", 0),
]


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"producers": PRODUCERS}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_commands_and_nodes_dial_only_what_is_an_address() -> None:
    async def found_by_a_node(address: str) -> set[str]:
        lookup = Lookup(NsqSettings(lookupd=[address]), lambda whose, trouble: False)
        await lookup.find_nsqds()
        return lookup.nsqds

    with serving(Handler) as port:
        address = f"127.0.0.1:{port}"
        assert ["nsqd.example:4150"] == nsqds_of([address])
        assert {"nsqd.example:4150"} == asyncio.run(found_by_a_node(address))
