"""What the recorder knows of operations that are on their way, and a file that takes no more."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from quorate.chaos.history import Cast, HistoryFile, Reached, SentVote
from quorate.chaos.workload.recorder import Recorder


def cast(recorder: Recorder) -> Cast:
    number = recorder.number()
    votes = [SentVote("a", f"v{number}", "mood")]
    return recorder.begin(
        Cast(number=number, client="c", node="n1", begun=recorder.now(), request=f"v{number}", votes=votes)
    )


def test_votes_were_in_flight_at_a_moment_also_if_all_were_answered_since(tmp_path: Path) -> None:
    """A kill takes a while. By the time that it is noted its clients may all have lost their connections."""
    file = HistoryFile(tmp_path / "history.ndjson")
    recorder = Recorder(file, lambda _: None)
    before, during = cast(recorder), cast(recorder)
    before.begun, during.begun = 1.0, 1.5
    recorder.end(before)
    before.ended = 1.2
    assert [1, 0, 1] == [recorder.votes_in_flight(moment) for moment in (1.1, 1.3, 2.0)]
    recorder.end(during)
    during.ended = 2.5
    assert [1, 0, 1, 0] == [recorder.votes_in_flight(moment) for moment in (1.1, 1.3, 2.0, 3.0)]
    file.close()


def test_a_history_that_cannot_be_written_is_told_once_and_no_client_fails_for_it() -> None:
    told: list[str] = []
    file = HistoryFile(Path("/dev/full"))
    file.failed = lambda: told.append("failed")
    for _ in range(20):
        file.write(Reached(1.0, "much", "x" * 200_000))
    assert ["failed"] == told
    for end in (file.flush, file.close):
        with pytest.raises(OSError, match="/dev/full") as raised:
            end()
        assert errno.ENOSPC == raised.value.errno
    file.close()
