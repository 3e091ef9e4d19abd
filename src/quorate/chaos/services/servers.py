"""Servers that a run starts for itself: programs on PATH, in folders of the run's own, which end with it."""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable, Sequence
from pathlib import Path

import bson
import requests

from quorate.chaos.services.lying import HOST, Address
from quorate.processes.node import EndedAtStart
from quorate.processes.nsq_server import NsqServer
from quorate.processes.ports import free_ports
from quorate.processes.process import Process
from quorate.processes.waiting import wait_for
from quorate.web.session import WebSession

START_S = 60.0
ASK_S = 2.0
MESSAGE_TIMEOUT = "3s"  # of nsqd: what nobody has finished by then is delivered again


def start_mongod(program: str, folder: Path) -> tuple[Process, Address]:
    (port,) = free_ports(1)
    folder.mkdir(parents=True, exist_ok=True)
    own = ["--dbpath", str(folder), "--unixSocketPrefix", str(folder), "--bind_ip", HOST, "--port", str(port)]
    process = Process("mongod", [program, *own], folder / "mongod.log")
    _start(process, lambda: mongo_answers((HOST, port)))
    return process, (HOST, port)


def start_consul(program: str, folder: Path) -> tuple[Process, Address]:
    """A server of its own. Where 1.14 or later has one more port (gRPC with TLS), it is that program's own one."""
    ports = dict(zip(("http", "dns", "server", "serf-lan"), free_ports(4), strict=True))
    command = [
        *(program, "agent", "-server", "-bootstrap-expect=1", "-node=chaos", "-log-level=warn"),
        *(f"-data-dir={folder / 'data'}", f"-bind={HOST}", f"-client={HOST}"),
        "-hcl=performance { raft_multiplier = 1 } disable_update_check = true",
        *(f"-{name}-port={port}" for name, port in {**ports, "serf-wan": -1, "grpc": -1}.items()),
    ]
    process = Process("consul", command, folder / "consul.log")
    _start(process, lambda: consul_answers((HOST, ports["http"])))
    return process, (HOST, ports["http"])


def start_nsqd(command: Sequence[str], folder: Path, cwd: Path | None = None) -> NsqServer:
    server = NsqServer("nsqd", command, folder, cwd=cwd, msg_timeout=MESSAGE_TIMEOUT)
    server.start()
    return server


def _start(process: Process, answers: Callable[[], bool]) -> None:
    process.start()

    def ready() -> bool:
        if not process.running:
            raise EndedAtStart(f"{process.name} ended at its start\n{process.tail()}")
        return answers()

    try:
        wait_for(f"{process.name} answers", ready, deadline_s=START_S, seen=process.tail)
    except BaseException:
        process.close()
        raise


def mongo_answers(address: Address) -> bool:
    """Whether a server that speaks MongoDB's protocol says hello."""
    body = struct.pack("<iB", 0, 0) + bson.encode({"hello": 1, "$db": "admin"})
    with contextlib.suppress(OSError), socket.create_connection(address, timeout=ASK_S) as connection:
        connection.sendall(struct.pack("<iiii", len(body) + 16, 1, 0, 2013) + body)
        return b"\x01ok\x00" + struct.pack("<d", 1) in connection.recv(65_536)
    return False


def consul_answers(address: Address) -> bool:
    with contextlib.suppress(requests.RequestException, ValueError):
        return bool(directly().get(_url(address, "/v1/status/leader"), timeout=ASK_S).json())
    return False


def nsqd_answers(http: Address) -> bool:
    with contextlib.suppress(requests.RequestException):
        return directly().get(_url(http, "/ping"), timeout=ASK_S).text == "OK"
    return False


def directly() -> WebSession:
    """Without a proxy that the environment names: the doors are asked by their addresses alone."""
    return WebSession(env={})


def _url(address: Address, path: str) -> str:
    host, port = address
    return f"http://{f'[{host}]' if ':' in host else host}:{port}{path}"
