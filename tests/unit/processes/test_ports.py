"""Ports for the nodes of tests: two test runs at the same time never draw from the same ones."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path

from quorate.dev.folder import RAFT_PORT_OFFSET
from quorate.processes.ports import BLOCK, PORTS, free_ports, own_block

OTHER = """
import sys
from pathlib import Path
from quorate.processes import ports
if sys.argv[1:]:
    ports.LOCKS = Path(sys.argv[1])
print(*ports.own_block())
input()
"""


def start(*locks: Path, **env: str) -> subprocess.Popen[str]:
    """A program that takes its block, with the locks in a folder of their own if one is given, and then waits."""
    command = [sys.executable, "-uc", OTHER, *map(str, locks)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=os.environ | env)


def block_of(process: subprocess.Popen[str]) -> list[int]:
    assert process.stdout is not None
    return [int(port) for port in process.stdout.readline().split()]


def test_ports_come_from_this_process_s_own_block() -> None:
    assert set() == set(free_ports(20)) - set(own_block())


def test_a_port_for_http_has_its_raft_port_in_the_same_block() -> None:
    """`dev` takes it without drawing it: in another program's block, that one's nodes could take it first."""
    block = own_block()
    assert len(block) // 2 == len([port for port in block if port + RAFT_PORT_OFFSET in block])


def test_a_port_is_not_drawn_again_soon() -> None:
    """Who has drawn it may not listen there yet. A cluster, two nsqds and a stream draw one after the other."""
    drawn = [port for _ in range(10) for port in free_ports(6)]
    assert len(drawn) == len(set(drawn))


def test_each_program_has_a_block_until_it_ends(tmp_path: Path) -> None:
    with contextlib.ExitStack() as stack:
        programs = [start(tmp_path) for _ in range(len(PORTS) // BLOCK)]
        for program in programs:
            stack.callback(program.communicate)
            stack.callback(program.kill)
        blocks = [block_of(program) for program in programs]
        assert set(PORTS) == {port for block in blocks for port in block}, "the blocks differ and make up all ports"

        one_more = stack.enter_context(start(tmp_path))
        assert [*PORTS] == block_of(one_more), "no block is left, so it draws from all"
        one_more.kill()

        programs[1].kill()
        programs[1].communicate()
        next_one = stack.enter_context(start(tmp_path))
        assert blocks[1] == block_of(next_one), "the lock ended with the program that was killed"
        next_one.kill()


def test_a_program_with_a_folder_of_its_own_for_temporary_files_has_another_block(tmp_path: Path) -> None:
    """`quorate chaos` had one in tests, and a node that was down found its port taken."""
    with contextlib.ExitStack() as stack:
        folders = [tmp_path / name for name in "ab"]
        for folder in folders:
            folder.mkdir()
        programs = [start(TMPDIR=str(folder)) for folder in folders]
        for program in programs:
            stack.callback(program.communicate)
            stack.callback(program.kill)
        one, other = map(block_of, programs)
    assert set() == {*one} & {*other} or [*PORTS] in (one, other)  # all blocks may be held by others
