"""`python -m tests.simulation`: many seeds, and what it prints of one that is broken."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from tests.simulation import __main__ as command
from tests.simulation.schedule import Schedule, parse
from tests.simulation.verdicts import SimVerdict


def _breaks_with_a_crash(schedule: Schedule) -> SimVerdict:
    crashed = any(step.what == "crash" for step in schedule.steps)
    return SimVerdict(schedule.seed, broken=["a crash"] if crashed and schedule.seed != 3 else [])


@pytest.fixture
def fragile(monkeypatch: pytest.MonkeyPatch) -> None:
    """A product that breaks by any crash, but for seed 3."""

    def play_all(schedules: Iterable[Schedule], workers: int | None) -> Iterator[tuple[Schedule, SimVerdict]]:
        return ((schedule, _breaks_with_a_crash(schedule)) for schedule in schedules)

    monkeypatch.setattr(command, "play_all", play_all)
    monkeypatch.setattr(command, "play", _breaks_with_a_crash)


def test_sound_seeds_end_with_0(capsys: pytest.CaptureFixture[str]) -> None:
    assert 0 == command.main(["--seeds", "3", "--first", "5", "--workers", "1"])
    told = capsys.readouterr().out
    assert "3 of 3 seeds" in told
    assert "0 of 3 histories broken" in told


def test_a_broken_seed_is_told_and_made_small(fragile: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert 1 == command.main(["--seeds", "40"])
    told = capsys.readouterr().out
    assert "BROKEN ['a crash']" in told
    line = next(line for line in told.splitlines() if line.startswith("python -m tests.simulation --again"))
    small = parse(line.partition("--again ")[2].strip("'"))
    assert ["crash"] == [step.what for step in small.steps]
    assert 1 == command.main(["--again", small.text()])


def test_a_campaign_that_was_stopped_says_how_to_go_on(fragile: None, capsys: pytest.CaptureFixture[str]) -> None:
    command.main(["--first", "3", "--seeds", "4", "--minutes", "0"])
    assert "go on with: --first 3 --seeds 4" in capsys.readouterr().out


def test_an_unknown_fault_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        command.main(["7", "flood=3"])
    assert "no fault is called flood" in capsys.readouterr().err
