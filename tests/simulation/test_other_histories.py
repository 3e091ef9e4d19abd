"""A copy of a data folder that went on alone is refused by name, although it has the id of the cluster.

Two nets of one seed form clusters of one id. So a node of the second net is a copy of that node in the first one, and
its log may have other entries at the same indexes and in the same terms.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.simulation.cluster import SimDirectory
from tests.stock.our_net import OurNet


def copy_that_went_on(*, marked: bool, votes: int = 5) -> SimDirectory:
    """The folder of node c in a cluster that counted other votes. `marked`: it knows up to where it is committed."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        net.run(2)
        net.propose_all(leader, "other", votes)
        assert net.until(lambda: len(net.tags("c")) == votes)
        if marked:
            net.run(2)  # an idle log writes down what is committed
        net.crash("c", power=False)
        return net.directories["c"]


@contextmanager
def net_with_copy(directory: SimDirectory, votes: int = 5) -> Iterator[OurNet]:
    with OurNet(1) as net:
        net.start_all("abc")
        assert directory.identity == net.directories["c"].identity
        net.run(2)
        net.crash("c")
        net.propose_all(net.elect(), "ours", votes)
        net.run(2)
        net.directories["c"] = directory
        net.start("c")
        yield net


@pytest.mark.parametrize("marked", [True, False], ids=["at-once", "when-it-commits"])
def test_a_copy_that_went_on_alone_is_refused_by_both_sides(marked: bool, caplog: pytest.LogCaptureFixture) -> None:
    with net_with_copy(copy_that_went_on(marked=marked)) as net:
        assert net.until(lambda: not any(net.replicas["c"].transport.is_open(peer) for peer in "ab"), limit_s=10)
        net.propose(net.elect("ab"), "after")
        net.run(5)
        assert 6 == len(net.tags("a")) == len(net.tags("b"))
        assert "after" not in net.tags("c")
        assert net.replicas["c"].leader is None
        assert {} == net.halted
        for name, others in {"a": "c", "b": "c", "c": "ab"}.items():
            told = net.replicas[name].status().other_histories
            assert list(others) == list(told)
            assert all("has another history" in words for words in told.values())
    assert "c has another history than a: their logs differ at or before index" in caplog.text


def test_a_copy_that_is_ahead_is_refused_too() -> None:
    """Then only its side holds the other's committed index."""
    with net_with_copy(copy_that_went_on(marked=True, votes=9), votes=3) as net:
        net.run(3)
        assert ["c"] == list(net.replicas["a"].status().other_histories)
        assert 3 == len(net.tags("a"))
        assert 9 == len(net.tags("c"))


def test_a_node_that_comes_back_with_an_empty_disk_is_let_in() -> None:
    with net_with_copy(copy_that_went_on(marked=True)) as net:
        assert net.until(lambda: net.replicas["a"].status().other_histories)
        net.crash("c")
        net.wipe("c")
        net.start("c")
        assert net.until(lambda: 5 == len(net.tags("c")))
        assert {} == net.replicas["a"].status().other_histories


def test_a_tail_that_is_not_committed_may_differ() -> None:
    """A leader that was cut off has entries that are cut when it returns."""
    with OurNet(1) as net:
        net.start_all("abc")
        leader = net.elect()
        rest = net.others(leader)
        net.partition([leader], rest)
        net.propose_all(leader, "lost", 20)
        net.propose_all(net.elect(rest), "kept", 10)
        net.run(1)
        net.heal()
        assert net.until(lambda: 10 == len(net.tags(leader)))
        net.run(5)
        assert [{}] * 3 == [replica.status().other_histories for replica in net.replicas.values()]
        assert {} == net.halted
