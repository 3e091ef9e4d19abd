"""How a cluster is formed, once: what a node does with each introduction, as rows."""

from __future__ import annotations

import itertools
import logging

import pytest

from quorate.cluster.raft.membership.bootstrap import Bootstrap, cluster_id_of
from quorate.cluster.raft.storage.directory import FORMAT, NodeIdentity
from quorate.cluster.raft.transport.handshake.introduction import Introduction

FOUNDERS = {"a": "a1", "b": "b1", "c": "c1"}
X = cluster_id_of(FOUNDERS)


def node(incarnation: str, *, expected: str = "", cluster: bool = False, name: str = "test") -> Bootstrap:
    """A node on the disk `incarnation`; with `cluster`, a founder of X."""
    identity = NodeIdentity(FORMAT, incarnation[0], incarnation, X if cluster else None, FOUNDERS if cluster else None)
    return Bootstrap(identity, name, set(expected))


def hello(
    incarnation: str,
    *,
    expected: str = "abc",
    cluster_id: str | None = None,
    members: dict[str, str] | None = None,
    name: str = "test",
) -> Introduction:
    return Introduction(incarnation[0], incarnation, name, cluster_id, members, list(expected), "")


def formed_hello(incarnation: str) -> Introduction:
    return hello(incarnation, cluster_id=X, members=FOUNDERS)


def test_a_node_alone_is_a_cluster_at_once() -> None:
    alone = node("a1", expected="a")
    assert alone.formed
    assert cluster_id_of({"a": "a1"}) == alone.identity.cluster_id


def test_a_cluster_is_formed_when_all_founders_have_introduced_themselves() -> None:
    a = node("a1", expected="abc")
    assert ["b", "c"] == a.waiting_for()
    assert None is a.introduced("b", hello("b1"))
    assert (["c"], False) == (a.waiting_for(), a.formed)
    assert None is a.introduced("b", hello("b1"))
    assert not a.formed, "the same one again"
    assert None is a.introduced("c", hello("c1"))
    assert ([], X, FOUNDERS) == (a.waiting_for(), a.identity.cluster_id, a.identity.members)


def test_a_peer_that_leaves_before_the_cluster_is_formed_must_introduce_itself_again() -> None:
    """Meanwhile it may have formed the cluster with others, and one of them may have lost its disk since then."""
    b = node("b1", expected="abc")
    assert None is b.introduced("a", hello("a1"))
    b.connection_closed("a")
    assert None is b.introduced("c", hello("c2"))
    assert (["a"], False) == (b.waiting_for(), b.formed)
    assert None is b.introduced("a", formed_hello("a1"))
    assert (X, FOUNDERS) == (b.identity.cluster_id, b.identity.members)


def test_a_peer_that_disconnects_stays_a_member_of_a_formed_cluster() -> None:
    a = node("a1", expected="abc", cluster=True)
    a.connection_closed("b")
    assert FOUNDERS == a.identity.members


@pytest.mark.parametrize("order", list(itertools.permutations("abc")), ids="".join)
def test_the_order_of_introductions_does_not_change_the_cluster(order: tuple[str, ...]) -> None:
    nodes = {name: node(f"{name}1", expected="abc") for name in order}
    for one, other in itertools.permutations(order, 2):
        assert None is nodes[one].introduced(other, hello(f"{other}1"))
    assert {X} == {each.identity.cluster_id for each in nodes.values()}


def test_a_node_learns_from_a_peer_that_the_cluster_is_formed() -> None:
    c = node("c1", expected="abc")
    assert None is c.introduced("a", formed_hello("a1"))
    assert (X, FOUNDERS, None) == (c.identity.cluster_id, c.identity.members, c.stranger_to)


def test_a_node_that_was_not_asked_to_form_one_waits(caplog: pytest.LogCaptureFixture) -> None:
    waiting = node("d1")
    assert None is waiting.introduced("a", hello("a1"))
    assert (False, [], None) == (waiting.formed, waiting.waiting_for(), waiting.stranger_to)
    a = node("a1", expected="abc")
    assert None is a.introduced("d", hello("d1", expected=""))
    assert ["b", "c"] == a.waiting_for(), "who expects nobody is nobody to wait for"


REFUSED = {
    "another name": (
        node("a1", expected="abc"),
        hello("b1", name="other"),
        "it belongs to cluster 'other', this node to 'test'",
    ),
    "another name, though formed": (
        node("a1", expected="abc", cluster=True),
        hello("b1", name="other", cluster_id=X, members=FOUNDERS),
        "it belongs to cluster 'other', this node to 'test'",
    ),
    "another list of peers": (
        node("a1", expected="abc"),
        hello("b1", expected="abd"),
        "it wants to form a cluster of a, b, d, this node one of a, b, c: give all the same raft.peers",
    ),
    "another cluster": (
        node("a1", expected="abc", cluster=True),
        hello("b2", cluster_id="0011223344556677", members={"a": "a2", "b": "b2"}),
        f"it was formed as cluster 0011223344556677, this node as {X}",
    ),
}


@pytest.mark.parametrize(("bootstrap", "said", "why"), REFUSED.values(), ids=REFUSED.keys())
def test_a_peer_that_does_not_belong_is_refused_in_words(bootstrap: Bootstrap, said: Introduction, why: str) -> None:
    before = bootstrap.identity
    refusal = bootstrap.introduced("b", said)
    assert refusal is not None
    assert refusal.startswith(why)
    assert before == bootstrap.identity


STRANGERS = {
    "its disk was emptied": ("c2", "knows another incarnation of it", "quorate members replace c"),
    "it is new": ("d1", "does not know it", "quorate members add d"),
}


@pytest.mark.parametrize(("incarnation", "known", "way_out"), STRANGERS.values(), ids=STRANGERS.keys())
def test_a_new_disk_finds_out_that_the_cluster_does_not_know_it(
    incarnation: str, known: str, way_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    new_disk = node(incarnation, expected="abc" + incarnation[0])
    with caplog.at_level(logging.WARNING):
        for each in ("a1", "b1"):
            assert None is new_disk.introduced(each[0], formed_hello(each)), "it may hold copies"
    assert (False, X) == (new_disk.formed, new_disk.stranger_to)
    assert 1 == len(caplog.records), "said once"
    assert known in caplog.text
    assert way_out in caplog.text


def test_an_emptied_disk_cannot_form_the_cluster_a_second_time() -> None:
    """Also if it meets only nodes with emptied disks: the cluster that they form is another one."""
    c = node("c2", expected="abc")
    for each in ("a2", "b2"):
        c.introduced(each[0], hello(each))
    assert c.identity.cluster_id not in (None, X)
    a = node("a1", expected="abc", cluster=True)
    said = hello("c2", cluster_id=c.identity.cluster_id, members=dict(c.identity.members or {}))
    assert a.introduced("c", said), "who remembers refuses it"


def test_a_formed_node_accepts_a_new_node_and_stays_as_it_is() -> None:
    a = node("a1", expected="abc", cluster=True)
    before = a.identity
    for each in ("c2", "d1"):
        assert None is a.introduced(each[0], hello(each))
    assert before == a.identity


def test_a_new_disk_remembers_the_cluster_once_the_log_names_it_as_voter() -> None:
    members = {"a": "a1", "b": "b1", "c": "c2"}
    c = node("c2", expected="abc")
    c.join(members)
    assert not c.formed, "of no cluster that it knows of"
    c.introduced("a", formed_hello("a1"))
    c.join(members)
    assert (X, members, None) == (c.identity.cluster_id, c.identity.members, c.stranger_to)
    c.join(FOUNDERS)
    assert members == c.identity.members, "once"


def test_a_new_disk_joins_the_cluster_of_the_members_in_the_log() -> None:
    """Other peers may belong to the cluster of before an unsafe recovery. As its member the node would be refused."""
    old = {"a": "a0", "b": "b1", "c": "c1"}
    c = node("c2", expected="abc")
    c.introduced("b", hello("b1", cluster_id=cluster_id_of(old), members=old))
    c.introduced("a", formed_hello("a1"))
    c.join({"a": "a1", "c": "c2"})
    assert X == c.identity.cluster_id


def test_a_node_that_learns_its_founders_later_forms_the_cluster_then() -> None:
    a = node("a1")
    a.introduced("b", hello("b1", expected="ab"))
    a.expect_members({"a", "b"})
    assert ["b"] == a.waiting_for(), "it meets anew whom it refused to wait for"
    a.introduced("b", hello("b1", expected="ab"))
    assert cluster_id_of({"a": "a1", "b": "b1"}) == a.identity.cluster_id


def test_the_id_of_a_cluster_depends_on_its_founders() -> None:
    assert X == cluster_id_of(dict(reversed(FOUNDERS.items())))
    others = [
        {**FOUNDERS, "c": "c2"},
        {"a": "a1", "b": "b1"},
        {**FOUNDERS, "d": "d1"},
        {"a": "b1", "b": "a1", "c": "c1"},
    ]
    assert 5 == len({X, *map(cluster_id_of, others)})
