"""The settings of scheduled backups: what makes no sense, and what is missing, is told before the node starts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest

from quorate.adapters import make_backups
from quorate.config import Config, load
from quorate.config.sections.backup import ScheduledBackup
from quorate.errors import ConfigError
from tests.support.local_replica import LocalReplica


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"schedule": "0 3 * *", "to": "/b"}, "which is no time"),
        ({"schedule": "61 * * * *", "to": "/b"}, "which is no time"),
        ({"schedule": "0 0 31 2 *", "to": "/b"}, "which is no time"),  # never
        ({"schedule": "0 3 * * *"}, "set backup.to"),
        ({"schedule": "0 3 * * *", "to": "s3://"}, "give s3://BUCKET"),
        ({"schedule": "0 3 * * *", "to": "/b", "s3_endpoint": "http://x"}, "for a store that backup.to names"),
        ({"schedule": "0 3 * * *", "to": "s3://votes", "s3_endpoint": "http://key:secret@x"}, "something before @"),
        ({"schedule": "0 3 * * *", "to": "s3://votes", "s3_endpoint": "x:9000"}, "give a URL"),
    ],
)
def test_what_makes_no_sense_is_told(settings: dict[str, Any], words: str) -> None:
    [problem] = ScheduledBackup(**settings).problems()
    assert words in problem
    assert "secret" not in problem


@pytest.mark.parametrize("to", ["/b", "s3://votes", "s3://votes/a/b"])
def test_what_makes_sense_is_taken(to: str) -> None:
    assert [] == [*ScheduledBackup(schedule="*/15 * * * *", to=to).problems()]


def test_a_bucket_is_no_path(tmp_path: Path) -> None:
    (file := tmp_path / "quorate.toml").write_text('[backup]\nschedule = "0 3 * * *"\nto = "s3://votes/x"\n')
    assert "s3://votes/x" == load(file, flags={}).config.backup.to


def test_a_missing_extra_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    monkeypatch.delitem(sys.modules, "quorate.backup.s3_store", raising=False)
    section = ScheduledBackup(schedule="0 3 * * *", to="s3://votes")
    config = msgspec.structs.replace(Config(), backup=section)

    async def confirm(wait_s: float) -> None: ...

    with pytest.raises(ConfigError, match=r"pip install 'quorate\[s3\]'"):
        make_backups(config, LocalReplica(), confirm)
