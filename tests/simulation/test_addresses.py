"""Nodes that change their addresses: they find each other again, and the log follows what is true and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec
import pytest

from quorate.cluster.admin import Admin
from quorate.cluster.raft.engine.replication import MEMBERS
from quorate.cluster.raft.members import Member
from quorate.cluster.raft.membership import address_changes
from quorate.errors import Conflict, Invalid, NeedsLevel
from tests.stock.our_net import OurNet

FOUNDED = {name: f"{name}:1" for name in "abc"}


@pytest.fixture
def net() -> Iterator[OurNet]:
    with OurNet(1) as net:
        net.start_all("abc")
        net.elect()
        assert net.until(lambda: logged(net, "a") == FOUNDED)
        yield net
        assert {} == net.halted


def logged(net: OurNet, name: str) -> dict[str, str]:
    return {member.id: member.raft for member in net.replicas[name].members()}


def member(net: OurNet, name: str) -> Member:
    leader = net.leader()
    assert leader is not None
    return next(m for m in net.replicas[leader].members() if m.id == name)


def move(net: OurNet, names: Iterable[str], *, knows: dict[str, str] | None = None) -> None:
    """The nodes start again at other addresses. `knows` are their raft.peers, besides their own; None: what is true."""
    names = list(names)
    for name in names:
        net.crash(name, power=False)
        host, _, port = net.address(name).partition(":")
        net.addresses[name] = f"{host}:{int(port) + 1}"
    for name in names:
        net.peers[name] = {**{peer: net.address(peer) for peer in net.names}, **(knows or {})}
        net.peers[name][name] = net.address(name)
        net.start(name)


def log_has(net: OurNet, **addresses: str) -> bool:
    """Whether the logs of all nodes that are up come to have these addresses, the others as founded."""
    return net.until(lambda: all(logged(net, n) == {**FOUNDED, **addresses} for n in net.up()), limit_s=30)


# ---- moving ---------------------------------------------------------------------------------------------------------


def test_all_nodes_moved_at_once_find_a_leader_from_their_settings(net: OurNet) -> None:
    """The log has only the old addresses. It gets the new ones."""
    move(net, "abc")
    net.elect()
    assert log_has(net, a="a:2", b="b:2", c="c:2")


@pytest.mark.parametrize("moving", ["leader and follower", "follower and leader", "followers"])
def test_two_of_three_move_one_after_the_other_and_the_third_dies(net: OurNet, moving: str) -> None:
    """Nobody's settings are changed: the nodes themselves tell, and the log keeps it."""
    leader = net.elect()
    one, other = net.others(leader)
    first, second, third = {
        "leader and follower": (leader, one, other),
        "follower and leader": (one, leader, other),
        "followers": (one, other, leader),
    }[moving]
    for name in (first, second):
        move(net, name, knows=FOUNDED)
        net.elect()
    assert log_has(net, **{first: f"{first}:2", second: f"{second}:2"})
    net.crash(third)
    assert net.until(lambda: net.leader() in (first, second), limit_s=20)
    for name in (first, second):
        net.crash(name)
        net.start(name)
    assert net.until(lambda: net.leader() in (first, second), limit_s=20), "also after a restart, from the log alone"


def test_two_that_moved_at_once_find_each_other_by_the_third(net: OurNet) -> None:
    """Their settings have each other's old address. The third has their word and passes it on. Any may lead."""
    for _ in range(3):
        move(net, "ab", knows=FOUNDED)
        assert net.until(
            lambda: all(net.replicas[x].transport.is_open(y) for x in "abc" for y in "abc" if x != y), limit_s=20
        )
    assert log_has(net, a="a:4", b="b:4")


def test_a_node_that_moves_at_each_start_costs_one_entry_each_time(net: OurNet) -> None:
    pod = net.others(net.elect())[0]
    for number in range(2, 6):
        before = membership_entries(net)
        move(net, pod, knows=FOUNDED)
        assert log_has(net, **{pod: f"{pod}:{number}"})
        assert before + 1 == membership_entries(net)


def membership_entries(net: OurNet) -> int:
    journal = net.journal(net.elect())
    return sum(journal[at][0].startswith(MEMBERS) for at in range(len(journal)))


def test_an_address_that_flaps_does_not_fill_the_log(net: OurNet) -> None:
    leader, before, began_s = net.elect(), membership_entries(net), net.now_s
    pod = net.others(leader)[0]
    moves = 3 * address_changes.ENTRIES
    for _ in range(moves):
        move(net, pod, knows=FOUNDED)
        net.run(2)
    assert leader == net.leader()
    assert net.replicas[leader].transport.is_open(pod), "it is connected all the same"
    most = address_changes.ENTRIES + 1 + (net.now_s - began_s) / address_changes.ENTRY_EVERY_S
    assert membership_entries(net) - before <= most < moves
    assert log_has(net, **{pod: net.address(pod)}), "and the log follows in the end"


# ---- what never displaces a good address ----------------------------------------------------------------------------


@pytest.mark.parametrize("who", ["leader", "follower"])
@pytest.mark.parametrize("told", ["nowhere:1", "the third", "0.0.0.0:1"])
def test_an_address_told_wrongly_changes_nothing(net: OurNet, told: str, who: str) -> None:
    leader = net.elect()
    wrong = leader if who == "leader" else net.others(leader)[0]
    told = net.address(net.others(leader, wrong)[0]) if told == "the third" else told
    net.peers[wrong] = {**FOUNDED, wrong: told}
    net.crash(wrong, power=False)
    net.start(wrong)
    net.elect()
    net.run(10)
    if who == "leader" and net.leader() != wrong:
        net.hand_over(net.elect(), wrong)
        assert net.until(lambda: net.leader() == wrong)
        net.run(10)
    assert log_has(net)


def test_a_node_with_another_disk_at_the_old_address_gets_nothing(net: OurNet) -> None:
    """Neither does it replace the connection of the node that moved, nor does the log go back to that address."""
    leader = net.elect()
    moved = net.others(leader)[0]
    move(net, moved, knows=FOUNDED)
    assert log_has(net, **{moved: f"{moved}:2"})
    mine = net.replicas[moved].introduction()

    async def come() -> str | None:
        foreign = msgspec.structs.replace(mine, incarnation="f" * 16, cluster_id=None, members=None, raft=f"{moved}:1")
        return net.replicas[leader].opened(moved, foreign, mine)

    assert "has another" in str(net.wait_for(come()))
    net.run(5)
    assert log_has(net, **{moved: f"{moved}:2"})
    assert net.replicas[leader].transport.is_open(moved)


def test_a_leader_whose_peers_cannot_try_its_address_keeps_the_logs(net: OurNet) -> None:
    """Where both are cut off, say: no address is written down that nobody has tried."""
    leader = net.elect()
    me = member(net, leader)
    net.partition([leader], net.others(leader))
    why = net.wait_for(net.running(leader).addresses.why_not_at(me, "elsewhere:1"))
    assert "no other node can try it now" == why


# ---- what operators ask ---------------------------------------------------------------------------------------------


def operator(net: OurNet) -> Admin:
    """Of the leader: the tests of submit have the way there."""
    return Admin(net.replicas[net.elect()])


def test_an_operator_updates_an_address_that_nobody_could_tell(net: OurNet) -> None:
    """The node that moved knows no right address of the others, nor they of it. It keeps its disk."""
    leader = net.elect()
    lost = net.others(leader)[0]
    gone = {name: f"{name}:99" for name in "abc"}
    for name in "abc":
        net.crash(name, power=False)
        net.peers[name] = FOUNDED
    for name in net.others(lost):
        net.start(name)
    asked = operator(net)
    with pytest.raises(Conflict, match=r"does not answer there .*the log keeps"):
        net.wait_for(asked.change("update", lost, f"{lost}:2"))
    net.addresses[lost], net.peers[lost] = f"{lost}:2", {**gone, lost: f"{lost}:2"}
    net.wire.cut |= {frozenset((lost, name)) for name in "abc" if name != lost}
    net.start(lost)
    net.wire.cut.clear()
    net.wait_for(asked.change("update", lost, f"{lost}:2"))
    assert log_has(net, **{lost: f"{lost}:2"})
    assert net.directories[lost].identity.incarnation == member(net, lost).incarnation
    assert [True] == [m["voter"] for m in net.wait_for(asked.members()) if m["id"] == lost]


def test_a_nodes_own_word_outranks_the_operators(net: OurNet) -> None:
    follower = net.others(net.elect())[0]
    with pytest.raises(Conflict, match="itself says that it is at"):
        net.wait_for(operator(net).change("update", follower, "elsewhere:1"))
    assert log_has(net)


@pytest.mark.parametrize(
    ("action", "id", "raft", "error", "words"),
    [
        ("remove", "z", None, Invalid, "z is no member of this cluster; there are a, b, c"),
        ("update", "z", "z:1", Invalid, "z is no member"),
        ("replace", "z", "z:1", Invalid, "z is no member"),
        ("update", "a", None, Invalid, "give its address"),
        ("update", "a", "nonsense", Invalid, "is not host:port"),
        ("add", "d", "0.0.0.0:1", Invalid, "no address that others can reach"),
        ("add", "d", None, Invalid, "give its address"),
    ],
)
def test_what_cannot_be_done_is_refused(
    net: OurNet, action: str, id: str, raft: str | None, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        net.wait_for(operator(net).change(action, id, raft))  # type: ignore[arg-type]
    assert log_has(net)


@pytest.mark.parametrize("raft", [None, "elsewhere:1"])
def test_a_good_disk_is_never_replaced(net: OurNet, raft: str | None) -> None:
    """Connected, or down: the node with that disk would be removed, and its disk of no more use."""
    follower = net.others(net.elect())[0]
    with pytest.raises(Conflict, match="has the disk that the log means"):
        net.wait_for(operator(net).change("replace", follower, raft))
    net.crash(follower, power=False)
    with pytest.raises(Conflict, match=r"does not answer at .*, and its disk may be good"):
        net.wait_for(operator(net).change("replace", follower, raft))
    net.start(follower)
    assert net.until(lambda: net.replicas[follower].status().voter)
    assert log_has(net)


@pytest.mark.parametrize("raft", [None, "elsewhere:1"])
@pytest.mark.parametrize("asked", ["the leader", "a follower"])
def test_a_leader_with_a_good_disk_is_not_replaced_and_goes_on_leading(
    net: OurNet, asked: str, raft: str | None
) -> None:
    """It handed the leadership over before it looked."""
    leader = net.elect()
    term = net.term(leader)
    admins = {name: Admin(replica) for name, replica in net.replicas.items()}
    admin = admins[leader if asked == "the leader" else net.others(leader)[0]]
    with pytest.raises(Conflict, match="has the disk that the log means"):
        net.wait_for(admin.change("replace", leader, raft))
    assert (leader, term) == (net.elect(), net.term(leader))


def test_an_empty_disk_at_another_address_is_taken_and_the_request_may_be_repeated(net: OurNet) -> None:
    follower = net.others(net.elect())[0]
    lost = member(net, follower).incarnation
    net.crash(follower)
    net.wipe(follower)
    net.addresses[follower] = f"{follower}:7"
    net.start(follower)
    asked = operator(net)
    net.wait_for(asked.change("replace", follower, f"{follower}:7", lost))
    assert net.until(lambda: member(net, follower).voter)
    net.wait_for(asked.change("replace", follower, f"{follower}:7", lost))
    assert net.directories[follower].identity.incarnation == member(net, follower).incarnation
    assert log_has(net, **{follower: f"{follower}:7"})


@pytest.mark.parametrize("raft", ["nowhere:1", "the leader's"])
def test_an_empty_disk_is_not_taken_at_an_address_where_it_is_not(net: OurNet, raft: str) -> None:
    """It is connected. Nothing is done by halves: it is not removed and then not added."""
    leader = net.elect()
    follower = net.others(leader)[0]
    lost = member(net, follower).incarnation
    net.crash(follower)
    net.wipe(follower)
    net.start(follower)
    with pytest.raises(Conflict, match="does not answer at"):
        net.wait_for(operator(net).change("replace", follower, f"{leader}:1" if raft == "the leader's" else raft))
    assert lost == member(net, follower).incarnation
    net.wait_for(operator(net).change("replace", follower, None))
    assert net.until(lambda: member(net, follower).voter)


def test_an_update_waits_for_a_cluster_of_this_version() -> None:
    with OurNet(1) as net:
        net.levels["c"] = 0
        net.start_all("abc")
        net.elect()
        with pytest.raises(NeedsLevel, match=r"c runs 0\.1\.0"):
            net.wait_for(operator(net).change("update", "b", "b:2"))


# ---- what is said ---------------------------------------------------------------------------------------------------


def test_settings_that_differ_from_the_log_are_said_until_they_do_not(
    net: OurNet, caplog: pytest.LogCaptureFixture
) -> None:
    follower = net.others(net.elect())[0]
    caplog.clear()
    move(net, follower, knows={**FOUNDED, "d": "d:1"})
    differs = f"{follower} is at {follower}:2 here and at {follower}:1 in the log"
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    expected = f"raft.peers differs from the log: {differs}; d at d:1 is no member in the log. Both are tried"
    assert [expected] == [line for line in warnings if line.startswith("raft.peers")]
    assert log_has(net, **{follower: f"{follower}:2"})
    assert ["d at d:1 is no member in the log"] == net.replicas[follower].status().address_differences
