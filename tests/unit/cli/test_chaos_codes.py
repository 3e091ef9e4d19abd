"""`quorate chaos` says "violated" (1) by a verdict alone."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from quorate.cli import chaos_run
from quorate.cli.chaos_run import ChaosCommand, ChaosOptions, run_chaos
from quorate.errors import ConfigError, Conflict, NoLeader
from quorate.exit_code import INCONCLUSIVE, NOT_REACHED, USAGE


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Conflict("two runs have one name"), INCONCLUSIVE),
        (OSError(28, "No space left on device"), INCONCLUSIVE),
        (RuntimeError("a bug"), INCONCLUSIVE),
        (NoLeader("nobody answers"), NOT_REACHED),
        (ConfigError("the token may not"), USAGE),
    ],
)
def test_what_kept_a_run_from_its_verdict_is_no_violation(
    error: Exception, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: ChaosCommand) -> int:
        raise error

    monkeypatch.setattr(chaos_run.ChaosCommand, "run", fail)
    options = ChaosOptions(3, 1.0, ["none"], 1, {}, [], tmp_path / "history.ndjson", False, None, None)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert code == run_chaos(options)
    assert [] == list(tmp_path.iterdir()), "it leaves an empty folder"
