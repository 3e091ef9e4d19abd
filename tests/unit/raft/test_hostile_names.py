"""What a stranger calls himself in his first frame, over real sockets and in a real log."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from quorate import logs
from tests.unit.raft.raw_peer import Node, RawPeer, Run

FORGED = "n2\n2026-01-01T00:00:00.000Z INFO     n1 quorate.node: all is well\x1b[2J\u202e"


@pytest.mark.parametrize("name", [FORGED, "n2\n", "", "n" * 3_000, "n2\x00"], ids=lambda name: ascii(name[:4]))
def test_what_a_peer_calls_itself_has_to_be_a_name_and_writes_no_line_of_its_own(
    run: Run, name: str, tmp_path: Path
) -> None:
    root = logging.getLogger()
    before, level, file = root.handlers.copy(), root.level, tmp_path / "n1.log"
    root.handlers.clear()
    try:
        logs.set_up("n1", level="info", format="text", file=str(file))

        async def main() -> None:
            async with Node("n1") as one, await RawPeer.connect(one) as raw_peer:
                await raw_peer.greet(name)
                raw_peer.introduce()
                assert await raw_peer.is_hung_up_on()
                assert [] == one.up

        run(main())
    finally:
        for handler in root.handlers:
            handler.close()
        root.handlers[:] = before
        root.setLevel(level)
    (line,) = file.read_text().splitlines()
    assert "is no name of a node" in line
    assert not {"\x1b", "\u202e", "\0"} & set(line)
    assert len(line) < 1_000
