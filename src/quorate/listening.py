"""Sockets to listen on, for one or several addresses of one or both families: all of them, or none.

`[::]` takes IPv4 too: by one socket where the system can, by two where it cannot, and IPv4 alone where there is no
IPv6. A name listens on each address that it means. HTTP and the connections between nodes both listen by this module.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import socket
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from quorate.errors import ConfigError
from quorate.host_port import is_loopback, is_wildcard

Address = tuple[str, int]
PORT_TRIES = 8  # port 0, and several addresses: a port that is free at the first one must be free at all
MISSING = (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)  # this host has no such address, or no such family


@dataclass(frozen=True, slots=True)
class Purpose:
    """What listens, in words for errors: `task` as "serve HTTP", and the setting that has its addresses."""

    task: str
    setting: str
    backlog: int


@dataclass(frozen=True, slots=True)
class _Target:
    family: int
    sockaddr: tuple[Any, ...]  # host and port; of IPv6 also its flow and its scope

    @property
    def is_wildcard(self) -> bool:
        return is_wildcard(self.sockaddr[0])

    @property
    def wildcard(self) -> _Target:
        """That of its family, on its port."""
        port = self.sockaddr[1]
        return _Target(self.family, ("0.0.0.0", port) if self.family == socket.AF_INET else ("::", port, 0, 0))

    def at(self, port: int) -> _Target:
        return _Target(self.family, (self.sockaddr[0], port, *self.sockaddr[2:]))


async def listen_on(addresses: Iterable[Address], purpose: Purpose) -> list[socket.socket]:
    """Bind and listen. Port 0 takes a free port. Raises `ConfigError`, which names the address that cannot be had."""
    resolved = [(address, await _resolve(address, purpose)) for address in addresses]
    every = [target for _, targets in resolved for target in targets]
    ipv4_ports = {target.sockaddr[1] for target in every if target.family == socket.AF_INET} - {0}
    opened: list[socket.socket] = []
    try:
        for address, targets in _each_once(resolved):
            try:
                opened += _open(targets, ipv4_ports, purpose.backlog)
            except OSError as error:
                raise _in_words(error, address, purpose) from None
    except BaseException:
        _close(opened)
        raise
    return opened


def shown(sock: socket.socket) -> str:
    """host:port of a socket that listens, with brackets around IPv6."""
    host, port = sock.getsockname()[:2]
    return _text((host, port))


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _resolve(address: Address, purpose: Purpose) -> list[_Target]:
    host, port = address
    try:
        found = await asyncio.get_running_loop().run_in_executor(
            None, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        )
    except socket.gaierror as error:
        why = "the name is not known" if error.errno == socket.EAI_NONAME else error.strerror
        raise ConfigError(f"cannot {purpose.task} on {_text(address)}: {why}; correct {purpose.setting}") from None
    targets = list(dict.fromkeys(_Target(family, sockaddr) for family, _, _, _, sockaddr in found))
    if is_loopback(host) and (open_to_others := [t.sockaddr[0] for t in targets if not is_loopback(t.sockaddr[0])]):
        # The settings took the name for loopback, and asked for no tokens and no key.
        raise ConfigError(
            f"cannot {purpose.task} on {_text(address)}: {host} means {open_to_others[0]} here, open to other hosts; "
            f"correct {purpose.setting}"
        )
    if any(_is_ipv6_wildcard(target) for target in targets) and not socket.has_dualstack_ipv6():
        targets.append(_Target(socket.AF_INET, ("0.0.0.0", port)))
    return targets


def _each_once(resolved: Sequence[tuple[Address, list[_Target]]]) -> Iterator[tuple[Address, list[_Target]]]:
    """Without what another address means as well, or takes as the wildcard of its family: names may mean the same."""
    every = [target for _, targets in resolved for target in targets if target.sockaddr[1]]
    taken: set[_Target] = set()
    for address, targets in resolved:
        free = [each for each in targets if each not in taken and (each.is_wildcard or each.wildcard not in every)]
        taken.update(each for each in free if each.sockaddr[1])
        if free:
            yield address, free


def _is_ipv6_wildcard(target: _Target) -> bool:
    return target.family == socket.AF_INET6 and target.sockaddr[0] == "::"


def _open(targets: Sequence[_Target], ipv4_ports: set[int], backlog: int) -> list[socket.socket]:
    """All targets of one configured address, on one port."""
    for _ in range(PORT_TRIES):
        with contextlib.suppress(_PortTaken):
            return _open_once(targets, ipv4_ports, backlog)
    return _open_once(targets, ipv4_ports, backlog)


class _PortTaken(OSError):
    """The free port that the first target got is taken at another one."""


def _open_once(targets: Sequence[_Target], ipv4_ports: set[int], backlog: int) -> list[socket.socket]:
    opened: list[socket.socket] = []
    missing: OSError | None = None
    alone = len(targets) == 1
    for target in targets:
        port = target.sockaddr[1] or (opened[0].getsockname()[1] if opened else 0)
        try:
            opened.append(_bind(target.at(port), backlog, only_ipv6=not alone or port in ipv4_ports))
        except OSError as error:
            if error.errno in MISSING and not alone:
                missing = error  # a name may mean addresses of families that this host lacks
                continue
            _close(opened)
            if error.errno == errno.EADDRINUSE and opened and not target.sockaddr[1]:
                raise _PortTaken(error.errno, error.strerror) from None
            raise
    if not opened and missing is not None:
        raise missing
    return opened


def _bind(target: _Target, backlog: int, *, only_ipv6: bool) -> socket.socket:
    # With the protocol named, asyncio switches Nagle's delay off for what is accepted.
    sock = socket.socket(target.family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
        if _is_ipv6_wildcard(target):
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_ipv6)
        sock.bind(target.sockaddr)
        sock.listen(backlog)
    except BaseException:
        sock.close()
        raise
    return sock


def _close(sockets: Iterable[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _in_words(error: OSError, address: Address, purpose: Purpose) -> ConfigError:
    why = os.strerror(error.errno) if error.errno else str(error)
    return ConfigError(f"cannot {purpose.task} on {_text(address)}: {why}. {_advice(error, address, purpose.setting)}")


def _advice(error: OSError, address: Address, setting: str) -> str:
    if error.errno == errno.EADDRNOTAVAIL:
        return f"This host has no such address: correct {setting}"
    if error.errno == errno.EINVAL and address[0].lower().startswith("fe80:"):
        return f"A link-local address needs its interface, as [{address[0]}%eth0]: correct {setting}"
    if error.errno == errno.EAFNOSUPPORT and ":" in address[0]:
        return f"This host has no IPv6: give an IPv4 address as {setting}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return f"Low ports need a privilege: give another port in {setting}, or CAP_NET_BIND_SERVICE to this program"
    return f"Is another node running there? Stop it, or give another address as {setting}"
