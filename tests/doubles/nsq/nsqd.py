"""The double of nsqd: a TCP and an HTTP server around one broker."""

from __future__ import annotations

import asyncio
import socket
import time
from typing import Any

from tests.doubles.nsq import web, wire
from tests.doubles.nsq.arguments import split_mpub
from tests.doubles.nsq.broker import Broker, Channel, Topic
from tests.doubles.nsq.journal import Journal, replay
from tests.doubles.nsq.register import Registrar
from tests.doubles.nsq.session import Session
from tests.doubles.nsq.web import HttpRefusal, Request
from tests.doubles.nsq.wire import Options, ProtocolError

EXPIRE_EVERY_S = 0.05


class Nsqd:
    """The double of one nsqd. It listens after `start`. `stop` keeps every message; for a crash, kill its process."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.journal = Journal(options.data_path, keeps_messages=options.durable, loses_in_flight=not options.keep_all)
        self.broker = Broker(options, self.journal)
        self.sessions: set[Session] = set()
        self.started_s = int(time.time())
        self.tcp_port = self.http_port = 0
        self._servers: list[asyncio.Server] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        replay(self.journal.records(), self.broker)
        self.journal.open()
        host, port = self.options.tcp_address.rsplit(":", 1)
        tcp = await asyncio.get_running_loop().create_server(lambda: Session(self), host, int(port))
        http = await web.serve(self.options.http_address, self._routes())
        self._servers = [tcp, http]
        self.tcp_port, self.http_port = tcp.sockets[0].getsockname()[1], http.sockets[0].getsockname()[1]
        registrar = Registrar(self.options, self.broker, self.tcp_port, self.http_port)
        self._tasks = [asyncio.create_task(self._expire()), *registrar.start()]

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for server in self._servers:
            server.close()
        for session in list(self.sessions):
            session.close()
        self.journal.save(self.broker)

    async def _expire(self) -> None:
        while True:
            await asyncio.sleep(EXPIRE_EVERY_S)
            self.broker.expire()
            self.journal.flush()

    # ---- HTTP -------------------------------------------------------------------------------------------------------

    def _routes(self) -> web.Routes:
        return {
            ("GET", "/ping"): lambda request: "OK",
            ("GET", "/info"): self._info,
            ("GET", "/stats"): self._stats,
            ("POST", "/pub"): self._pub,
            ("POST", "/mpub"): self._mpub,
            ("POST", "/topic/create"): self._create_topic,
            ("POST", "/topic/delete"): lambda request: self.broker.delete_topic(self._existing(request)),
            ("POST", "/topic/empty"): lambda request: self.broker.empty_topic(self._existing(request)),
            ("POST", "/topic/pause"): lambda request: self._pause_topic(request, True),
            ("POST", "/topic/unpause"): lambda request: self._pause_topic(request, False),
            ("POST", "/channel/create"): self._create_channel,
            ("POST", "/channel/delete"): self._delete_channel,
            ("POST", "/channel/empty"): lambda request: self._channel(request).empty(),
            ("POST", "/channel/pause"): lambda request: self._pause_channel(request, True),
            ("POST", "/channel/unpause"): lambda request: self._pause_channel(request, False),
        }

    def _topic(self, request: Request) -> Topic:
        return self.broker.topic(_topic_name(request))

    def _existing(self, request: Request) -> Topic:
        topic = self.broker.topics.get(_topic_name(request))
        if topic is None:
            raise HttpRefusal(404, "TOPIC_NOT_FOUND")
        return topic

    def _channel(self, request: Request) -> Channel:
        name = _channel_name(request)
        channels = self._existing(request).channels
        if name not in channels:
            raise HttpRefusal(404, "CHANNEL_NOT_FOUND")
        return channels[name]

    def _create_topic(self, request: Request) -> None:
        self._topic(request)

    def _create_channel(self, request: Request) -> None:
        name = _channel_name(request)
        self.broker.channel(self._existing(request), name)

    def _delete_channel(self, request: Request) -> None:
        channel = self._channel(request)
        self.broker.delete_channel(self.broker.topics[channel.topic], channel.name)

    def _pause_topic(self, request: Request, paused: bool) -> None:
        topic = self._existing(request)
        topic.paused = paused
        self.broker.spread(topic)

    def _pause_channel(self, request: Request, paused: bool) -> None:
        channel = self._channel(request)
        channel.paused = paused
        channel.pump()

    def _pub(self, request: Request) -> str:
        if len(request.body) > self.options.max_msg_size:
            raise HttpRefusal(413, "MSG_TOO_BIG")
        if not request.body:
            raise HttpRefusal(400, "MSG_EMPTY")
        topic = self._topic(request)
        delay = request.get("defer") or "0"
        if not delay.isdigit() or int(delay) > self.options.max_req_timeout_ms:
            raise HttpRefusal(400, "INVALID_DEFER")
        self.broker.publish(topic, [request.body], int(delay))
        return "OK"

    def _mpub(self, request: Request) -> str:
        if len(request.body) > self.options.max_body_size:
            raise HttpRefusal(413, "BODY_TOO_BIG")
        topic = self._topic(request)
        self.broker.publish(topic, self._bodies(request))
        return "OK"

    def _bodies(self, request: Request) -> list[bytes]:
        if request.get("binary") not in (None, "0", "false"):
            try:
                return split_mpub(request.body, self.options)
            except ProtocolError as error:
                raise HttpRefusal(413, error.code.removeprefix("E_")) from None
        bodies = [line for line in request.body.split(b"\n") if line]
        if any(len(body) > self.options.max_msg_size for body in bodies):
            raise HttpRefusal(413, "MSG_TOO_BIG")
        return bodies

    def _info(self, request: Request) -> dict[str, Any]:
        return {
            "version": wire.VERSION,
            "broadcast_address": self.options.broadcast_address,
            "hostname": socket.gethostname(),
            "http_port": self.http_port,
            "tcp_port": self.tcp_port,
            "start_time": self.started_s,
        }

    def _stats(self, request: Request) -> Any:
        topic, channel = request.get("topic"), request.get("channel")
        topics = [t for _, t in sorted(self.broker.topics.items()) if topic in (None, "", t.name)]
        stats = {
            "version": wire.VERSION,
            "health": "OK",
            "start_time": self.started_s,
            "topics": [_topic_stats(t, channel) for t in topics if channel in (None, "", *t.channels)],
            "producers": [_client_stats(s) for s in self.sessions if s.published],
        }
        return stats if request.get("format") == "json" else repr(stats)


def _topic_name(request: Request) -> str:
    name = request.get("topic")
    if name is None:
        raise HttpRefusal(400, "MISSING_ARG_TOPIC")
    if not wire.is_name(name):
        raise HttpRefusal(400, "INVALID_TOPIC")
    return name


def _channel_name(request: Request) -> str:
    if request.get("topic") is None:
        raise HttpRefusal(400, "MISSING_ARG_TOPIC")
    if not wire.is_name(request.get("topic") or ""):
        raise HttpRefusal(400, "INVALID_ARG_TOPIC")
    name = request.get("channel")
    if name is None:
        raise HttpRefusal(400, "MISSING_ARG_CHANNEL")
    if not wire.is_name(name):
        raise HttpRefusal(400, "INVALID_ARG_CHANNEL")
    return name


def _topic_stats(topic: Topic, only_channel: str | None) -> dict[str, Any]:
    return {
        "topic_name": topic.name,
        "channels": [
            _channel_stats(c) for _, c in sorted(topic.channels.items()) if only_channel in (None, "", c.name)
        ],
        "depth": len(topic.backlog),
        "backend_depth": 0,
        "message_count": topic.messages,
        "message_bytes": topic.bytes,
        "paused": topic.paused,
    }


def _channel_stats(channel: Channel) -> dict[str, Any]:
    clients = [_client_stats(s) for s in channel.subscribers if isinstance(s, Session)]
    return {
        "channel_name": channel.name,
        "depth": len(channel.queue),
        "backend_depth": 0,
        "in_flight_count": len(channel.in_flight),
        "deferred_count": len(channel.deferred),
        "message_count": channel.messages,
        "requeue_count": channel.requeued,
        "timeout_count": channel.timeouts,
        "client_count": len(clients),
        "clients": clients,
        "paused": channel.paused,
    }


def _client_stats(session: Session) -> dict[str, Any]:
    return {
        "client_id": session.identity.client_id,
        "hostname": session.identity.hostname,
        "version": "V2",
        "state": session.state,
        "ready_count": session.ready_count,
        "in_flight_count": session.in_flight,
        "message_count": session.delivered,
        "finish_count": session.finished,
        "requeue_count": session.requeued,
        "connect_ts": session.connected_s,
        "sample_rate": session.terms.sample_rate,
        "user_agent": session.identity.user_agent,
        "pub_counts": [{"topic": topic, "count": count} for topic, count in session.published.items()],
    }
