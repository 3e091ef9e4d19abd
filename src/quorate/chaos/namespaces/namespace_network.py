"""The network of a run: a namespace for each node, and one with the router that all packets between them pass.

    host --- router --- n1
                   \\--- n2 ...

Each node has one interface, all ports to itself, and an address of its own in a range that is meant for tests of
networks (RFC 2544). The host, where the clients are, has a link to the router. No fault touches what passes between the
host and a node.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quorate.chaos.namespaces.kernel import COUNTING, check_machine, look_at_kernel
from quorate.chaos.namespaces.namespace_links import NamespaceLinks
from quorate.chaos.namespaces.net_namespace import CommandRefused, NetNamespace, run
from quorate.chaos.namespaces.packet_rules import BEGINNING
from quorate.chaos.toxics import Way
from quorate.config import Address
from quorate.errors import Invalid
from quorate.processes.node import Place

RANGE = ipaddress.IPv4Network("198.18.0.0/15")
SIZE = 24  # bits of the network of one run
HTTP_PORT, RAFT_PORT, RESP_PORT = 8001, 9001, 7001
ROUTER, HOST, FIRST_NODE = 1, 2, 11  # numbers in the network
NAME = "qchaos"  # of the host's interface, with the number of the network: so no two runs have the same one
HOSTS_END, WIRE = "host", "eth0"  # interfaces: of the router, to the host; of a node
IP, TC, NFT = ("ip", "-batch", "-"), ("tc", "-batch", "-"), ("nft", "-f", "-")
ROUTING = {"ipv4/ip_forward": "1"}
HEADERS_BYTES = 52  # of IP and TCP, with timestamps


@dataclass(slots=True)
class NodeSeat:
    """`http` stays; `raft` is another address once the node has moved."""

    namespace: NetNamespace
    http: str
    raft: str

    @property
    def addresses(self) -> list[str]:
        return list(dict.fromkeys((self.http, self.raft)))


class NamespaceNetwork:
    """Open when it is made. Raises `Invalid`, with what to do, where this machine does not allow it."""

    def __init__(self) -> None:
        check_machine()
        self._ends = contextlib.ExitStack()
        with _in_words(), contextlib.ExitStack() as ends:
            self.kernel = look_at_kernel()
            self._router = NetNamespace(ROUTING if self.kernel.no_counting else ROUTING | COUNTING)
            ends.callback(self._router.close)
            self._network, self._interface = _join_host(self._router)
            ends.callback(_take_down, self._interface)
            self._router.run(IP, self._routers_beginning())
            run(IP, self._hosts_beginning())
            self._router.run(NFT, BEGINNING)
            self._ends = ends.pop_all()
        self._seats: dict[str, NodeSeat] = {}
        self._narrowed: dict[Way, list[str]] = {}  # routes with a size of packets
        self.links = NamespaceLinks(self)
        self.settings: Mapping[str, Any] = {"http.insecure": True, "raft.insecure": True, "sqlite.shared": True}

    @property
    def host(self) -> str:
        """The address of this machine, for the nodes."""
        return self._address(HOST)

    def start(self) -> None:
        self.links.start()

    def close(self) -> None:
        self.links.close()
        for seat in self._seats.values():
            seat.namespace.close()
        self._ends.close()

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def place(self, id: str, folder: Path) -> Place:
        namespace, address = NetNamespace(), self._free_address()
        try:
            self._router.run(
                IP,
                f"link add name {id} type veth peer name {WIRE} netns {namespace.path}\n"
                f"link set dev {id} up\n"
                f"route add {address}/32 dev {id} src {self._address(ROUTER)}\n",
            )
            namespace.run(IP, self._nodes_beginning(address))
        except OSError:
            namespace.close()
            raise
        self._seats = {**self._seats, id: NodeSeat(namespace, address, address)}
        self.links.addresses_changed()
        http, raft = Address(address, HTTP_PORT), Address(address, RAFT_PORT)
        return Place(id, folder, http, raft, namespace.through, resp=Address(address, RESP_PORT))

    def drop(self, id: str) -> None:
        if (seat := self._seats.get(id)) is not None:
            self._seats = {each: other for each, other in self._seats.items() if each != id}
            self.links.addresses_changed()
            self._router.run(IP, f"link del dev {id}\n")
            seat.namespace.close()

    def addresses(self) -> dict[str, Address]:
        return {id: Address(seat.raft, RAFT_PORT) for id, seat in self._seats.items()}

    def move(self, id: str) -> Address:
        """Clients find it where it was."""
        seat, address = self._seats[id], self._free_address()
        self._router.run(IP, f"route add {address}/32 dev {id} src {self._address(ROUTER)}\n")
        seat.namespace.run(IP, f"addr add {address}/32 dev {WIRE}\n")
        left, seat.raft = seat.raft, address
        self.links.addresses_changed()
        if left != seat.http:
            seat.namespace.run(IP, f"addr del {left}/32 dev {WIRE}\n")
            self._router.run(IP, f"route del {left}/32 dev {id}\n")
        return Address(address, RAFT_PORT)

    def doors(self, id: str) -> dict[str, int]:
        """None: the router sees who sends what by its address."""
        return {}

    # ---- what the links ask of the router ---------------------------------------------------------------------------

    def addresses_of_all(self) -> Mapping[str, Sequence[str]]:
        return {id: seat.addresses for id, seat in self._seats.items()}

    def tell_nft(self, text: str) -> None:
        self._router.run(NFT, text)

    def tell_tc(self, text: str) -> None:
        self._router.run(TC, text)

    def set_packet_size(self, way: Way, bytes_: int | None) -> None:
        source, goal = (self._seats.get(id) for id in way)
        if source is None:
            return
        lines = [f"route del {address}/32\n" for address in self._narrowed.pop(way, ())]
        if bytes_ is not None and goal is not None:
            via = f"via {self._address(ROUTER)} dev {WIRE} src {source.http} mtu lock {bytes_ + HEADERS_BYTES}"
            self._narrowed[way] = goal.addresses
            lines += [f"route add {address}/32 {via}\n" for address in goal.addresses]
        source.namespace.run(IP, "".join(lines))

    # ---- how it begins ----------------------------------------------------------------------------------------------

    def _address(self, number: int) -> str:
        return str(self._network[number])

    def _free_address(self) -> str:
        taken = {address for seat in self._seats.values() for address in seat.addresses}
        numbers = range(FIRST_NODE, self._network.num_addresses - 1)
        return next(address for number in numbers if (address := self._address(number)) not in taken)

    def _routers_beginning(self) -> str:
        return (
            f"link set lo up\naddr add {self._address(ROUTER)}/32 dev lo\n"
            f"link set {HOSTS_END} up\nroute add {self._address(HOST)}/32 dev {HOSTS_END}\n"
        )

    def _hosts_beginning(self) -> str:
        link = f"dev {self._interface}"
        return (
            f"addr add {self._address(HOST)}/32 {link}\nlink set {link} up\n"
            f"route add {self._network} via {self._address(ROUTER)} {link} onlink src {self._address(HOST)}\n"
        )

    def _nodes_beginning(self, address: str) -> str:
        """Each packet goes alone: otherwise what is lost or counted as one would be up to 64 kB."""
        router = self._address(ROUTER)
        return (
            f"link set lo up\nlink set {WIRE} gso_max_segs 1\nlink set {WIRE} up\naddr add {address}/32 dev {WIRE}\n"
            f"route add {router}/32 dev {WIRE} src {address}\n"
            f"route add default via {router} dev {WIRE} src {address}\n"
        )


def _join_host(router: NetNamespace) -> tuple[ipaddress.IPv4Network, str]:
    """The first network of the range that nothing here uses. The interface's name keeps it from other runs."""
    for number, network in enumerate(RANGE.subnets(new_prefix=SIZE)):
        if any(network.overlaps(route) for route in _routes()):
            continue
        name = f"{NAME}{number}"
        try:
            run(["ip", "link", "add", name, "type", "veth", "peer", "name", HOSTS_END, "netns", router.path])
        except CommandRefused as error:
            if "exists" not in str(error):
                raise
            continue
        return network, name
    raise CommandRefused(f"all of {RANGE} is in use")


def _routes() -> Iterator[ipaddress.IPv4Network]:
    """Where this machine sends packets, other than the default."""
    for route in json.loads(run(["ip", "-json", "-4", "route", "show"]) or "[]"):
        if route["dst"] != "default":
            yield ipaddress.IPv4Network(route["dst"], strict=False)


def _take_down(interface: str) -> None:
    with contextlib.suppress(CommandRefused):  # it went with the router
        run(["ip", "link", "del", interface])


@contextlib.contextmanager
def _in_words() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise Invalid(f"this machine lets root make no network of namespaces: {error}") from error
