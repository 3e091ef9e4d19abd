"""The alarm while the file of tokens cannot be taken: in /readyz, in /status, in a metric and in the log."""

from __future__ import annotations

import logging
from pathlib import Path

import msgspec
import pytest

from quorate.auth_report import AuthReport
from quorate.doors.access import Access
from quorate.security.token_file import TokenFile
from tests.support.tokens import write_tokens


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_tokens(tmp_path / "tokens.toml")


def test_a_bad_file_alarms_everywhere_until_it_is_mended(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = TokenFile(path)
    report = AuthReport(file, Access(file, "public"))
    assert (True, "4 tokens") == report.check()[:2]
    good = path.read_bytes()
    for found, is_good in ((b"[[token", False), (good, True)):
        for _ in range(2):
            file.take(found)
        status = msgspec.to_builtins(report.status())
        assert is_good == status["file_good"] == (status["problem"] is None)
        assert is_good == ("ALARM" not in report.check().words)
        assert report.check().ready
    assert ["ERROR"] == [record.levelname for record in caplog.records if "not TOML" in record.getMessage()]


@pytest.mark.parametrize(("shares", "warns"), [(7, False), (8, True)])
def test_tokens_for_which_no_share_is_left_are_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, shares: int, warns: bool
) -> None:
    caplog.set_level(logging.WARNING)
    names = [f"t{number}" for number in range(1, 9)]
    bounds = {name: f"share = {min(number, shares)}" for number, name in enumerate(names, 1)}
    roles = {**dict.fromkeys(names, "vote"), "late": "vote", "boss": "operate", "page": "read"}
    file = TokenFile(write_tokens(tmp_path / "tokens.toml", roles, bounds=bounds))
    report = AuthReport(file, Access(file, "public"))
    report.warn()
    assert warns == any("the common one is left for late: " in line for line in caplog.messages)
    caplog.clear()
    for _ in range(2):
        file.take(Path(write_tokens(tmp_path / "more.toml", {**roles, "later": "manage"}, bounds=bounds)).read_bytes())
    assert warns == any("the common one is left for late, later: " in line for line in caplog.messages)


@pytest.mark.parametrize(("anonymous", "warns"), [("operate", True), ("vote", False), ("public", False)])
def test_tokens_that_nobody_needs_are_warned_of(
    path: Path, caplog: pytest.LogCaptureFixture, anonymous: str, warns: bool
) -> None:
    caplog.set_level(logging.WARNING)
    file = TokenFile(path)
    AuthReport(file, Access(file, anonymous)).warn()  # type: ignore[arg-type]  # a role
    assert warns == bool(caplog.records)
