"""`quorate settings`: what it shows, and what it sets."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from quorate.errors import Invalid
from tests.support import http_node
from tests.unit.cli.told import Capture, Told

WINDOW: dict[str, Any] = {"name": "votes.dedup_window", "scope": "cluster", "value": 2_000_000, "differ": ["n2"]}
SINKS: dict[str, Any] = {"name": "flush.sinks", "scope": "alike", "value": ["sqlite"], "differ": []}


class Settings:
    async def show(self) -> Mapping[str, Any]:
        nodes: list[Mapping[str, Any]] = [{"n1": 2_000_000, "n2": 500}, {"n1": ["sqlite"], "n2": ["sqlite"]}]
        settings = [{**setting, "nodes": said} for setting, said in zip((WINDOW, SINKS), nodes, strict=True)]
        return {"settings": settings, "untold": {"n3": "not connected"}}

    async def set(self, name: str, value: Any) -> Mapping[str, Any]:
        if type(value) is not int:
            raise Invalid(f"{name} cannot be {value!r}")
        return {"name": name, "value": value, "version": 1_700}


@pytest.fixture(autouse=True)
def node(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with http_node.running(settings=Settings()) as started:
        monkeypatch.setenv("QUORATE_NODES", f"http://127.0.0.1:{started.port}")
        yield


@pytest.mark.parametrize("arguments", [["settings"], ["settings", "show"]])
def test_they_are_shown_with_who_says_otherwise(capsys: Capture, arguments: list[str]) -> None:
    assert [
        "SETTING             HOLDS FOR    VALUE       WHO SAYS OTHERWISE",
        "votes.dedup_window  the cluster  2,000,000   n2: 500",
        'flush.sinks         all alike    ["sqlite"]  -',
        "n3 did not say: not connected",
    ] == Told(capsys, *arguments).out.splitlines()
    assert {"n3": "not connected"} == Told(capsys, *arguments, "--json").json["untold"]


@pytest.mark.parametrize("value", ["500", "5_00"])
def test_one_is_set(capsys: Capture, value: str) -> None:
    told = Told(capsys, "settings", "set", "votes.dedup_window", value)
    assert (0, "votes.dedup_window is 500 from version 1,700 on\n") == (told.code, told.out)
    assert 1_700 == Told(capsys, "settings", "set", "votes.dedup_window", value, "--json").json["version"]


def test_a_refusal_ends_with_1(capsys: Capture) -> None:
    told = Told(capsys, "settings", "set", "votes.dedup_window", "many")
    assert (1, True) == (told.code, "cannot be 'many'" in told.err)
