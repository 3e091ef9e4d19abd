"""What the router's kernel is told for each toxic, and when. The kernel itself: `tests/system/test_namespaces.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing

import pytest

from quorate.chaos.namespaces.kernel import Kernel
from quorate.chaos.namespaces.namespace_links import NamespaceLinks
from quorate.chaos.namespaces.packet_rules import rules
from quorate.chaos.namespaces.shaping import ShapedWay, queues
from quorate.chaos.toxics import Toxics, Way
from tests.support.waiting import wait_for

BETWEEN = "add rule ip quorate forward ip saddr . ip daddr { 10.0.0.1 . 10.0.0.2 }"
FLUSHED = "flush chain ip quorate forward"
AB = ("a", "b")


class KernelNotes:
    """A router that only notes what it is told."""

    def __init__(self) -> None:
        self.kernel = Kernel()
        self.addresses: dict[str, Sequence[str]] = {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}
        self.nft: list[list[str]] = []
        self.tc: list[list[str]] = []
        self.sizes: list[tuple[Way, int | None]] = []
        self.fails = 0

    def addresses_of_all(self) -> Mapping[str, Sequence[str]]:
        return self.addresses

    def tell_nft(self, text: str) -> None:
        if self.fails:
            self.fails -= 1
            raise OSError("no")
        self.nft.append(text.splitlines())

    def tell_tc(self, text: str) -> None:
        self.tc.append(text.splitlines())

    def set_packet_size(self, way: Way, bytes_: int | None) -> None:
        self.sizes.append((way, bytes_))


@pytest.fixture
def router() -> KernelNotes:
    return KernelNotes()


@pytest.fixture
def links(router: KernelNotes) -> Iterator[NamespaceLinks]:
    with closing(NamespaceLinks(router)) as links:
        links.start()
        yield links


@pytest.mark.parametrize(
    ("toxics", "told"),
    [
        (Toxics(), []),
        (Toxics(down=True, loss=0.5), ["drop"]),
        (Toxics(loss=0.2), ["numgen random mod 10000 < 2000 drop"]),
        (Toxics(limit_data_bytes=200), ["ct bytes > 200 reject with tcp reset"]),
    ],
)
def test_each_toxic_is_a_rule_for_the_packets_of_its_direction(toxics: Toxics, told: list[str]) -> None:
    found = rules({AB: toxics}, {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}).splitlines()
    assert [FLUSHED, *(f"{BETWEEN} {rule}" for rule in told)] == found


def test_a_partition_is_one_rule_over_all_addresses_that_its_nodes_have() -> None:
    down = Toxics(down=True)
    found = rules({("a", "b"): down, ("b", "a"): down}, {"a": ["1.1.1.1", "1.1.1.2"], "b": ["2.2.2.2"]})
    pairs = "1.1.1.1 . 2.2.2.2, 1.1.1.2 . 2.2.2.2, 2.2.2.2 . 1.1.1.1, 2.2.2.2 . 1.1.1.2"
    assert f"{FLUSHED}\nadd rule ip quorate forward ip saddr . ip daddr {{ {pairs} }} drop\n" == found


def test_a_node_that_is_gone_is_in_no_rule(router: KernelNotes, links: NamespaceLinks) -> None:
    links.cut(["a"], ["b", "c"], one_way=True)
    assert [[FLUSHED, f"{BETWEEN} drop"]] == router.nft
    router.addresses = {"a": ["10.0.0.1"]}
    links.addresses_changed()
    assert [FLUSHED] == router.nft[-1]
    router.addresses = {"a": ["10.0.0.1"], "b": ["10.0.0.2"]}
    links.addresses_changed()
    assert [FLUSHED, f"{BETWEEN} drop"] == router.nft[-1]


def test_connections_are_closed_some_time_after_it_began_and_not_again_by_another_fault(
    router: KernelNotes, links: NamespaceLinks
) -> None:
    links.disturb({AB: Toxics(timeout_s=0.2)})
    patient = "add element ip quorate patient { 10.0.0.1 . 10.0.0.2 timeout 200ms }"
    assert patient == router.nft[0][1]
    links.disturb({AB: Toxics(loss=0.1)})
    assert patient not in router.nft[1]
    assert f"{BETWEEN} reject with tcp reset" in router.nft[1]


def test_queues_are_made_for_the_links_that_need_them_and_taken_away(
    router: KernelNotes, links: NamespaceLinks
) -> None:
    mend = links.disturb({AB: Toxics(bandwidth_bytes_s=1000)})
    mend_cut = links.cut(["a"], ["b"])
    mend()
    mend_cut()
    made = [
        "qdisc add dev b root handle 1: htb default 0",
        "class add dev b parent 1: classid 1:10 htb rate 8000bit quantum 3000",
        "filter add dev b parent 1: protocol ip u32 match ip src 10.0.0.1/32 flowid 1:10",
    ]
    assert [made, ["qdisc del dev b root"]] == router.tc


@pytest.mark.parametrize(
    ("toxics", "netem"),
    [
        (Toxics(latency_s=0.08), "delay 80ms 0ms"),
        (Toxics(latency_s=0.075, jitter_s=0.075), "delay 75ms 75ms"),
        (Toxics(reordering=0.02), "delay 20ms 0ms reorder 98%"),
        (Toxics(latency_s=0.1, reordering=0.25), "delay 100ms 0ms reorder 25%"),
    ],
)
def test_what_delays_packets_is_netems(toxics: Toxics, netem: str) -> None:
    lines = queues("b", [ShapedWay(["10.0.0.1"], toxics)])
    assert f"qdisc add dev b parent 1:10 netem limit 20000 {netem}" == lines[2]


def test_packets_get_small_and_as_they_were(router: KernelNotes, links: NamespaceLinks) -> None:
    links.disturb({AB: Toxics(slicer_bytes=300)})()
    assert [(AB, 300), (AB, None)] == router.sizes


def test_a_link_comes_and_goes_until_it_is_mended(router: KernelNotes, links: NamespaceLinks) -> None:
    mend = links.disturb({AB: Toxics(flaps_s=0.01)})
    wait_for("it was down and whole", lambda: router.nft.count([FLUSHED, f"{BETWEEN} drop"]) > 1)
    mend()
    told = len(router.nft)
    assert [FLUSHED] == router.nft[-1]
    links.cut(["a"], ["b"], one_way=True)
    assert told + 1 == len(router.nft)


def test_what_the_kernel_did_not_take_is_told_again(router: KernelNotes, links: NamespaceLinks) -> None:
    router.fails = 1
    with pytest.raises(OSError, match="no"):
        links.cut(["a"], ["b"])
    links.heal()
    assert [[FLUSHED]] == router.nft


@pytest.mark.parametrize(
    ("toxics", "lacks"),
    [
        (Toxics(down=True, loss=0.1, slow_close_s=1.0, flaps_s=1.0, slicer_bytes=300), None),
        (Toxics(bandwidth_bytes_s=1), "this kernel has no queues for it: the module sch_htb (no rate)"),
        (Toxics(jitter_s=1), "this kernel has no queues for it: the module sch_htb (no rate)"),
        (Toxics(reset_peer_s=1), "this kernel's nft resets no connections (no reset)"),
        (Toxics(timeout_s=1), "this kernel's nft resets no connections (no reset)"),
    ],
)
def test_a_kernel_that_lacks_something_says_so(toxics: Toxics, lacks: str | None) -> None:
    assert lacks == Kernel("no reset", "no counting", "no rate", "no netem").missing(toxics)
    assert Kernel().missing(toxics) is None


def test_delays_need_a_module_and_counts_another_one() -> None:
    kernel = Kernel(no_netem="unknown qdisc", no_counting="no file")
    assert "this kernel cannot delay packets: the module sch_netem is missing (unknown qdisc)" == kernel.missing(
        Toxics(latency_s=1)
    )
    assert "does not count" in (kernel.missing(Toxics(limit_data_bytes=1)) or "")
    assert kernel.missing(Toxics(bandwidth_bytes_s=1)) is None
