"""How one engine handles messages in orders that no script of a whole cluster produces."""

from __future__ import annotations

import msgspec
import pytest

from quorate.cluster.raft import messages
from quorate.cluster.raft.engine.apply_turns import LATER_S
from quorate.cluster.raft.engine.elections import FOLLOWER, LEADER
from quorate.cluster.raft.engine.proposal_outcome import ProposalOutcome
from quorate.cluster.raft.engine.replication import WINDOW_BYTES
from tests.stock.one_engine import ELECTION_S, OneEngine


def appended(term: int, index: int, *, success: bool = True) -> messages.Appended:
    return messages.Appended(term, index + 1, success=success, reset=False)


# ---- what a follower believes ---------------------------------------------------------------------------------------


def test_a_heartbeat_commits_no_more_than_it_proved() -> None:
    """The leader has committed 4. This node's own entries 3 and 4 are of another leader, and no other node has them."""
    with OneEngine() as a:
        a.follows(1, b"shared", b"lost", b"lost")
        a.hears("c", messages.Append(2, 4, 2, 1, []))
        a.engine.tick()
        assert 2 == a.engine.commit_index
        assert [b"shared"] == a.applied
        a.hears("c", messages.Append(2, 4, 2, 1, [(2, b"\x00kept"), (2, b"\x00kept too")]))
        a.engine.tick()
        assert [b"shared", b"kept", b"kept too"] == a.applied


def test_a_success_is_answered_when_the_entries_are_on_disk() -> None:
    with OneEngine() as a:
        a.follows(1)
        assert [] == a.hears("b", messages.Append(1, 0, 1, 0, [(1, b"\x00x")]))
        assert [("b", appended(1, 2))] == a.syncs()


def test_a_heartbeat_is_answered_though_the_disk_hangs() -> None:
    with OneEngine() as a:
        a.follows(1)
        a.hears("b", messages.Append(1, 0, 1, 0, [(1, b"\x00x")]))
        assert [("b", messages.Appended(1, 2, success=False, reset=False, round=7))] == a.hears(
            "b", messages.Append(1, 0, 2, 1, [], 7)
        )


def test_a_promise_of_an_earlier_term_is_not_kept() -> None:
    """A new leader may have cut the entries that it was about."""
    with OneEngine() as a:
        a.follows(1)
        a.hears("b", messages.Append(1, 0, 1, 0, [(1, b"\x00x")]))
        a.hears("c", messages.Append(2, 0, 1, 0, []))
        assert [("c", appended(2, 1))] == a.syncs()


@pytest.mark.parametrize(
    "message",
    [
        messages.Append(2, 3, 2, 1, [(2, b"\x00another")]),
        messages.Append(2, 3, 3, 2, []),
        messages.SnapshotChunk(2, 3, 2, bytes(16), b"", 3, "0f" * 16, 0, b"abc"),
    ],
    ids=["an entry", "a heartbeat", "a snapshot"],
)
def test_committed_entries_are_never_cut(message: messages.Message, caplog: pytest.LogCaptureFixture) -> None:
    """Who has others there is not followed, nor does one such node stop this one."""
    with OneEngine() as a:
        a.follows(1, b"x", b"y", commit=3)
        a.engine.tick()
        assert [] == a.hears("c", message)
        assert ([b"x", b"y"], 3, 1, "b") == (a.applied, a.journal.last_index, a.engine.term_now, a.engine.leader_id)
        assert "which is committed and stays" in caplog.text


OLD = {
    "entries": messages.Append(4, 9, 1, 0, [(4, b"\x00x")]),
    "a heartbeat": messages.Append(4, 9, 3, 5, []),
    "a copy": messages.Appended(4, 3, success=True, reset=False, round=99),
    "a step back": messages.Appended(4, 1, success=False, reset=True),
    "a request": messages.RequestBallot(4, 99, 4, pre=False, transfer=False),
    "a request of one the leader asked": messages.RequestBallot(4, 99, 4, pre=False, transfer=True),
    "a ballot": messages.Ballot(4, pre=False),
    "a pre-ballot": messages.Ballot(4, pre=True),
    "a handover": messages.TimeoutNow(4),
}


@pytest.mark.parametrize("message", OLD.values(), ids=OLD.keys())
@pytest.mark.parametrize("role", ["follower", "leader"])
def test_messages_of_an_old_term_change_nothing(role: str, message: messages.Message) -> None:
    with OneEngine() as a:
        a.follows(5, b"x", b"y", commit=2)
        if role == "leader":
            a.leads()
            a.proposes(b"z")
            a.syncs()

        def state() -> tuple[object, ...]:
            engine, journal = a.engine, a.journal
            ballot = journal.getVotedForNodeId()
            return engine.term_now, engine.role, engine.leader_id, ballot, journal[:], engine.commit_index

        before = state()
        answers = a.hears("c", message)
        a.syncs()
        a.engine.tick()
        assert before == state()
        assert [] == a.outcomes
        later = [answer.term for _, answer in answers if isinstance(answer, messages.Appended)]
        assert set(later) <= {a.engine.term_now}, "at most it is told our term"
        assert not any(isinstance(answer, messages.Ballot) for _, answer in answers)


# ---- heavy entries --------------------------------------------------------------------------------------------------

HEAVY = b"h" * (64 * 1024)


@pytest.mark.parametrize("voters", ["abc", "abcde"])
def test_the_first_follower_applies_a_heavy_entry_at_once(voters: str) -> None:
    with OneEngine(voters=voters) as a:
        a.follows(1, HEAVY, commit=2)
        a.engine.tick()
        assert [HEAVY] == a.applied


def test_every_second_follower_applies_heavy_entries_a_moment_later() -> None:
    """Then they are all applied: a stream of them makes no queue."""
    with OneEngine(voters="Aab") as a:
        a.follows(1, b"x", HEAVY, b"y", commit=4)
        a.engine.tick()
        assert [b"x"] == a.applied
        a.follows(1, HEAVY, HEAVY, prev=(4, 1), commit=6)
        a.now_s += LATER_S
        a.engine.tick()
        assert [b"x", HEAVY, b"y", HEAVY, HEAVY] == a.applied
        a.follows(1, HEAVY, prev=(6, 1), commit=7)
        a.engine.tick()
        assert 5 == len(a.applied)
        a.now_s += LATER_S
        a.engine.tick()
        assert 6 == len(a.applied)


def test_a_leader_applies_heavy_entries_at_once() -> None:
    """Whoever proposed them waits for it, and so does all that comes behind."""
    with OneEngine(voters="Aab") as a:
        term = a.leads()
        index = a.proposes(HEAVY)
        a.hears("b", appended(term, index))
        a.syncs()
        a.engine.tick()
        assert [ProposalOutcome.COMMITTED] == a.outcomes


# ---- what a leader believes -----------------------------------------------------------------------------------------


def test_a_leader_counts_its_own_copy_when_it_is_on_disk() -> None:
    """Stock counts it in memory: test_lost_unsynced_tail."""
    with OneEngine() as a:
        term = a.leads()
        index = a.proposes(b"x")
        a.hears("b", appended(term, index))
        a.engine.tick()
        assert [] == a.outcomes, "b's disk has it, ours has not: one copy of two"
        a.syncs()
        a.engine.tick()
        assert [ProposalOutcome.COMMITTED] == a.outcomes


def test_a_peer_that_takes_no_entries_gets_heartbeats_though_others_get_entries() -> None:
    """It is being sent a snapshot, or it is slow: without heartbeats it would start an election."""
    with OneEngine() as a:
        a.leads()
        a.backlogs["b"] = WINDOW_BYTES + 1
        began_s, heard = a.now_s, 0
        while a.now_s < began_s + ELECTION_S:
            a.now_s += 0.01
            sent = a.says(lambda: (a.proposes(b"x"), a.engine.tick()))
            heard += sum(peer == "b" for peer, _ in sent)
        assert 4 <= heard <= 6


def test_two_followers_are_a_majority_without_the_leaders_disk() -> None:
    with OneEngine() as a:
        term = a.leads()
        index = a.proposes(b"x")
        a.hears("b", appended(term, index))
        a.hears("c", appended(term, index))
        for _ in range(3):
            a.engine.tick()
        assert a.engine.commit_index <= a.journal.synced_index, (
            "but it waits for it: what is applied here is on disk here"
        )
        a.syncs()
        a.engine.tick()
        assert [ProposalOutcome.COMMITTED] == a.outcomes


def test_copies_of_earlier_terms_commit_only_under_one_of_ours() -> None:
    """Raft §5.4.2 and its figure 8."""
    with OneEngine() as a:
        a.follows(1, b"old")
        term = a.leads()
        a.hears("b", appended(term, 2))
        a.engine.tick()
        assert a.engine.commit_index < 2, "a majority has it, and it may still be cut"
        a.hears("b", appended(term, 3))
        a.engine.tick()
        assert 3 == a.engine.commit_index


def test_repeated_ballot_ours() -> None:
    """A repeated ballot of one voter counts once. The stock test is in test_pairs_elections.py."""
    with OneEngine(voters="abcde") as a:
        a.now_s += 3 * ELECTION_S
        a.engine.tick()
        for _ in range(4):
            a.hears("b", messages.Ballot(1, pre=True))
        a.engine.tick()
        assert 0 == a.engine.term_now, "two of five would elect it"
        a.hears("c", messages.Ballot(1, pre=True))
        a.engine.tick()
        a.syncs()
        for _ in range(4):
            a.hears("b", messages.Ballot(1, pre=False))
        assert LEADER != a.engine.role
        a.hears("c", messages.Ballot(1, pre=False))
        assert LEADER == a.engine.role


def test_a_ballot_is_given_once_a_term_and_from_disk() -> None:
    with OneEngine() as a:
        assert [] == a.hears("b", messages.RequestBallot(1, 1, 0, pre=False, transfer=False))
        assert [("b", messages.Ballot(1, pre=False))] == a.syncs()
        assert [] == a.hears("c", messages.RequestBallot(1, 9, 9, pre=False, transfer=False)) + a.syncs()
    with OneEngine(a.disk) as again:
        assert [] == again.hears("c", messages.RequestBallot(1, 9, 9, pre=False, transfer=False)) + again.syncs()
        assert ("b", 1) == (again.journal.getVotedForNodeId(), again.engine.term_now)


def test_who_calls_itself_leader_of_another_ones_term_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    with OneEngine() as a:
        term = a.leads()
        a.hears("b", appended(term, a.journal.last_index))
        a.engine.tick()
        assert a.engine.leads_its_term
        assert [] == a.hears("c", messages.Append(term, 0, 1, 0, []))
        assert a.engine.leads_its_term
        assert f"it leads term {term}, and so does a" in caplog.text
    with OneEngine() as a:
        a.follows(1, b"x")
        assert [] == a.hears("c", messages.Append(1, 0, 1, 0, [(1, b"\x00another")]))
        assert ("b", 2) == (a.engine.leader_id, a.journal.last_index)


def test_two_leaders_of_one_term_are_elected_again_while_neither_knows_a_majority() -> None:
    with OneEngine() as a:
        term = a.leads()
        assert [] == a.hears("c", messages.Append(term, 0, 1, 0, []))
        assert (FOLLOWER, None) == (a.engine.role, a.engine.leader_id)


@pytest.mark.parametrize("field", ["next_index", "round"])
def test_an_answer_about_what_was_never_sent_is_passed_over(field: str, caplog: pytest.LogCaptureFixture) -> None:
    with OneEngine() as a:
        term = a.leads()
        index = a.proposes(b"x")
        a.syncs()
        said = msgspec.structs.replace(appended(term, index), **{field: 10**9})
        for _ in range(3):
            a.hears("b", said)
        a.engine.tick()
        assert (LEADER, []) == (a.engine.role, a.outcomes)
        assert 1 == caplog.text.count("b sent what makes no sense"), "it is said once"
        a.hears("b", appended(term, index))
        a.engine.tick()
        assert [ProposalOutcome.COMMITTED] == a.outcomes


def test_a_later_term_ends_a_leadership() -> None:
    with OneEngine() as a:
        term = a.leads()
        a.proposes(b"x")
        a.hears("b", messages.Appended(term + 1, 0, success=False, reset=False))
        assert (FOLLOWER, term + 1) == (a.engine.role, a.engine.term_now)
        assert [] == a.outcomes, "it may still be committed"
        a.hears("c", messages.Append(term + 1, 0, 1, 0, [(term + 1, b"\x01")]))
        a.hears("c", messages.Append(term + 1, 4, 2, term + 1, [(term + 1, b"\x00y"), (term + 1, b"\x00z")]))
        a.engine.tick()
        assert [ProposalOutcome.NEVER] == a.outcomes
        assert [b"y", b"z"] == a.applied
