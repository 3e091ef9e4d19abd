"""From the settings to the sources of a node."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Sequence

import msgspec

from quorate.adapters import make_sources
from quorate.config import ADAPTERS, Config, load
from quorate.ingest.nsq.settings import NsqSettings
from quorate.ingest.nsq.source import NsqSource
from quorate.ingest.source import Source
from tests.support.local_cluster import local_cluster
from tests.support.on_loop import on_loop

EACH_ENABLED = {"nsq.nsqd": ["127.0.0.1:1"]}
ONLY_IN_TESTS = {"msg_timeout_ms", "cast_timeout_s", "hold_s"}


def config(**flags: object) -> Config:
    return load(env={}, flags={"flush.sink": "none", **flags}).config


@on_loop
async def test_each_source_of_the_table_is_made_and_can_be_started_paused_and_stopped() -> None:
    counted = await local_cluster()
    sources: Sequence[Source] = make_sources(config(**EACH_ENABLED), counted.submitter)
    assert [name for name, adapter in ADAPTERS.items() if adapter.source] == [source.name for source in sources]
    for source in sources:
        await source.start()
        source.pause()
        source.resume()
        shown = source.status()
        await source.stop()
        await source.stop()
        for name, number in dataclasses.asdict(source.metrics).items():
            assert number == shown[name], name


@on_loop
async def test_a_source_that_no_setting_asks_for_is_not_made() -> None:
    counted = await local_cluster()
    assert [] == list(make_sources(config(), counted.submitter))


def test_a_source_that_no_setting_asks_for_is_not_imported() -> None:
    program = "import sys; from quorate import node; print([m for m in ('nsq', 'tornado') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert "[]" == done.stdout.strip()


@on_loop
async def test_nsq_is_told_all_that_its_section_says() -> None:
    counted = await local_cluster()
    given = {
        "nsq.lookupd": ["127.0.0.1:2"],
        "nsq.nsqd": ["127.0.0.1:1"],
        "nsq.topic": "t",
        "nsq.channel": "c",
        "nsq.max_in_flight": 7,
        "nsq.dead_letter": "dead",
        "nsq.unknown_wait_s": 3,
        "nsq.lookupd_poll_s": 9,
        "nsq.auth_secret": "secret",
    }
    (source,) = make_sources(config(**given), counted.submitter)
    assert isinstance(source, NsqSource)
    told = dataclasses.asdict(source.settings)
    assert {name.removeprefix("nsq."): value for name, value in given.items()} == {
        name: value for name, value in told.items() if name not in ONLY_IN_TESTS
    }
    section = set(msgspec.structs.asdict(config().adapters["nsq"]))
    assert {field.name for field in dataclasses.fields(NsqSettings)} - ONLY_IN_TESTS == section - {"auth_secret_file"}
