"""The commands of `docs/chaos.md`: no run ends as violated, and each has written what it says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.documents import Block, blocks_of
from tests.support.reader import Reader

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("block", blocks_of("tests/system/test_document_chaos.py"), ids=lambda b: b.lines[0][:60])
def test_a_block_of_commands(tmp_path: Path, block: Block) -> None:
    Reader(tmp_path, {}, {"TMPDIR": str(tmp_path)}).runs(block)
    assert ("report.html" in block.text) == (tmp_path / "report.html").exists()
