"""The picture of `bench.run --svg`, and its table."""

from __future__ import annotations

import itertools
import random
import xml.etree.ElementTree as ElementTree

import pytest

from bench import curves, table
from bench.load import Figures
from bench.systems import Row

SVG = "{http://www.w3.org/2000/svg}"


def row(workload: str, clients: int, rate: float, p99_ms: float, *, client: str = "bench.load") -> Row:
    requests = round(rate * 2)
    figures = Figures(workload, clients, requests, requests, 2.0, rate, p99_ms / 3, p99_ms, p99_ms * 2, 20.0, {})
    return Row("etcd", figures, servers_cpu_s=1.0, client=client)


def drawn(rows: list[Row]) -> ElementTree.Element:
    return ElementTree.fromstring(curves.drawn(rows))


def names(svg: ElementTree.Element) -> dict[str, curves.Box]:
    """With the places that they take."""
    found = [text for text in svg.iter(f"{SVG}text") if text.get("class") == "name"]
    return {
        str(text.text): curves.Box(
            float(text.get("x", "")), float(text.get("y", "")) - 13, curves.LETTER * len(str(text.text)), curves.LINE
        )
        for text in found
    }


def test_a_line_for_each_system_in_the_order_of_its_clients() -> None:
    svg = drawn([row("vote", 32, 6_000, 11), row("nats", 1, 900, 2), row("vote", 1, 700, 2), row("once", 12, 10**6, 9)])
    assert ["Quorate, HTTP", "NATS JetStream, sync always"] == sorted(names(svg), reverse=True)
    lines = [line.get("points", "").split() for line in svg.iter(f"{SVG}polyline")]
    assert [2, 1] == [len(points) for points in lines]
    (x1, y1), (x32, y32) = (map(float, point.split(",")) for point in lines[0])
    assert x1 < x32, "more votes are further right"
    assert y32 < y1, "more milliseconds are further up"


def test_what_another_client_measured_is_left_out() -> None:
    assert {} == names(drawn([row("resp", 1, 700, 2, client="redis-benchmark")]))


@pytest.mark.parametrize("seed", range(20))
def test_no_name_covers_another_one(seed: int) -> None:
    """Though lines end near each other, as they do where systems are equally fast."""
    random_ = random.Random(seed)
    rows = [
        row(name, clients, rate * random_.uniform(0.8, 1.2), p99_ms * random_.uniform(0.8, 1.2))
        for name in curves.LOOKS
        for clients, rate, p99_ms in ((1, 700, 2), (32, 5_000, 12), (256, 9_000, 60))
    ]
    found = names(drawn(rows))
    assert len(curves.LOOKS) == len(found)
    for (one, here), (other, there) in itertools.combinations(found.items(), 2):
        assert not here.overlaps(there), (one, other)
    assert all(box.left + box.width <= curves.WIDTH for box in found.values())


def test_a_line_of_the_table_says_whose_cpu_it_was() -> None:
    ours, other = row("vote", 32, 6_000, 11), row("etcd-put", 32, 3_000, 20)
    said = table.line([other, row("etcd-put", 32, 9_000, 20), row("etcd-put", 32, 1_000, 20)], ours)
    rate, low, _, high, ratio, times, _, _, servers_s, client_s, per_server_s, per_s, client = said.split()[3:]
    assert ["3,000", "1,000", "9,000", "2.00", "x"] == [rate, low, high, ratio, times]
    assert ["1.00", "0.12", "6,000", "5,357", "bench.load"] == [servers_s, client_s, per_server_s, per_s, client]
