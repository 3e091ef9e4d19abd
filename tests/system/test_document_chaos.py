"""The commands of `docs/chaos.md`: no run ends as violated, and each has written what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from quorate.exit_code import DONE, INCONCLUSIVE
from tests.support.documents import Block, blocks_of
from tests.support.reader import Reader

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("block", blocks_of("tests/system/test_document_chaos.py"), ids=lambda b: b.lines[0][:60])
def test_a_block_of_commands(tmp_path: Path, block: Block) -> None:
    reader = Reader(tmp_path, {}, {"TMPDIR": str(tmp_path)})

    def judged(command: str) -> None:
        """Two seconds are too short for every situation, so the verdict may be that too little happened."""
        said = reader.types(command, codes=(DONE, INCONCLUSIVE))
        assert "no property is violated" in said, said

    reader.runs(block, {r"^quorate (chaos|check) (?!--mutant)": judged})
    assert ("report.html" in block.text) == (tmp_path / "report.html").exists()
