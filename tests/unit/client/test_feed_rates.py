"""Feeding with a token that has a rate: a feed waits for as long as the rate wants, whatever it asks, and goes on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from quorate.client.asker import NodeAsker
from quorate.client.asking import NextAttempt
from quorate.client.calls import Call
from quorate.client.feed import feed
from quorate.client.feed_start import BATCH_VOTES
from quorate.client.http import ClientReply, JsonClient
from quorate.client.votes_file import VotesFile, scan
from quorate.doors.access import Access
from quorate.doors.rates import Rates
from quorate.errors import OutcomeUnknown, OverRate
from quorate.security.token_file import TokenFile
from tests.support.http_node import MOOD, Node, running
from tests.support.timed import Timed
from tests.support.tokens import bearer, write_tokens

RATE = 10
BATCHES = 4


@pytest.fixture
def node(tmp_path: Path, timed: Timed) -> Iterator[Node]:
    path = write_tokens(tmp_path / "tokens.toml", {"slow": "vote", "boss": "manage"}, bounds={"slow": f"rate = {RATE}"})
    with running(access=lambda: Access(TokenFile(path), "public", Rates(0, timed.monotonic))) as node:
        assert 201 == node.ask("POST", "/polls", MOOD, bearer("boss")).status
        yield node


@pytest.fixture
def client(node: Node) -> Iterator[JsonClient]:
    with JsonClient([f"http://127.0.0.1:{node.port}"], timeout_s=60, token="slow", patient=True) as made:
        yield made


def file_of(folder: Path, votes: int, option: str = "happy") -> VotesFile:
    path = folder / f"{option}.votes"
    path.write_text(f"{option}\n" * votes)
    return VotesFile(path)


def counted(client: JsonClient, file: VotesFile) -> tuple[int, int, int]:
    fed = feed(client, file, scan(file))
    return fed.applied, fed.duplicates, fed.skipped


@pytest.mark.parametrize("line", ["happy", '{"option":"happy","id":"%d"}'])
def test_a_feed_goes_no_faster_than_its_rate(
    node: Node, client: JsonClient, tmp_path: Path, timed: Timed, line: str
) -> None:
    path = tmp_path / "votes"
    path.write_text("".join(f"{line.replace('%d', str(number))}\n" for number in range(2 * BATCH_VOTES + 1)))
    assert (2 * BATCH_VOTES + 1, 0, 0) == counted(client, VotesFile(path))
    assert 2 * BATCH_VOTES + 1 == node.tally()["happy"]
    assert timed.now_s >= 2 * (BATCH_VOTES - RATE) / RATE


def test_a_feed_right_after_another_one_waits_for_its_turn(
    node: Node, client: JsonClient, tmp_path: Path, timed: Timed
) -> None:
    assert (BATCH_VOTES, 0, 0) == counted(client, file_of(tmp_path, BATCH_VOTES))
    assert (1, 0, 0) == counted(client, file_of(tmp_path, 1, "sad"))
    assert {"happy": BATCH_VOTES, "sad": 1} == node.tally()
    assert timed.now_s >= (BATCH_VOTES - RATE) / RATE


def test_a_feed_without_its_checkpoint_compares_its_batches_at_any_rate(
    node: Node, client: JsonClient, tmp_path: Path
) -> None:
    file = file_of(tmp_path, BATCHES * BATCH_VOTES)
    assert (BATCHES * BATCH_VOTES, 0, 0) == counted(client, file)
    assert (0, 0, BATCHES * BATCH_VOTES) == counted(client, file)
    assert BATCHES * BATCH_VOTES == node.tally()["happy"]


def test_a_batch_in_doubt_is_sent_again_when_the_rate_allows_it(
    node: Node, client: JsonClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The answer to the first batch is lost after it counted, and its votes are taken out of the token's bucket."""
    send, lost = NodeAsker._attempt, list[str]()

    def lossy(asker: NodeAsker, call: Call[object], attempt: NextAttempt) -> ClientReply:
        reply = send(asker, call, attempt)
        if call.path == "/votes" and not lost:
            lost.append(call.path)
            raise OutcomeUnknown("the answer was lost")
        return reply

    monkeypatch.setattr(NodeAsker, "_attempt", lossy)
    assert (1, BATCH_VOTES, 0) == counted(client, file_of(tmp_path, BATCH_VOTES + 1))
    assert BATCH_VOTES + 1 == node.tally()["happy"]


def test_a_client_that_is_not_patient_gives_up_at_its_deadline(
    client: JsonClient, tmp_path: Path, timed: Timed
) -> None:
    assert (BATCH_VOTES, 0, 0) == counted(client, file_of(tmp_path, BATCH_VOTES))
    before_s = timed.now_s
    with JsonClient(client.nodes, timeout_s=60, token="slow") as hasty, pytest.raises(OverRate, match="the token slow"):
        hasty.polls()
    assert timed.now_s - before_s < 5
