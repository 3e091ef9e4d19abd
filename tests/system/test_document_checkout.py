"""What CONTRIBUTING.md tells to run in a clone, on fewer seeds. Whole suites are only collected."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.checkout import ROOT
from tests.support.documents import Block, blocks_of
from tests.support.reader import Reader

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("block", blocks_of("tests/system/test_document_checkout.py"), ids=lambda b: b.lines[0][:60])
def test_a_block_of_commands(tmp_path: Path, block: Block) -> None:
    Reader(tmp_path, {}, {"TMPDIR": str(tmp_path)}, cwd=ROOT).runs(block)
