"""What is written for people and supervisors about exit codes agrees with the codes."""

from __future__ import annotations

import re

from quorate import cli, exit_code
from tests.support.checkout import ROOT

CODES = {name: value for name, value in vars(exit_code).items() if name.isupper()}


def test_no_two_codes_are_equal() -> None:
    assert len(CODES) == len(set(CODES.values()))


def test_units_do_not_start_a_removed_node_again() -> None:
    unit = (ROOT / "deploy" / "systemd" / "quorate@.service").read_text()
    prevented = re.findall(r"^RestartPreventExitStatus=(.*)$", unit, re.MULTILINE)
    assert [f"{exit_code.USAGE} {exit_code.REMOVED} {exit_code.HALTED}"] == prevented


def test_a_node_that_ends_often_is_started_again_all_the_same() -> None:
    """systemd's own limit is five starts in ten seconds. Whether a node reaches that depends on how fast it starts."""
    sections = (ROOT / "deploy" / "systemd" / "quorate@.service").read_text().partition("[Service]")
    assert "\nStartLimitIntervalSec=0\n" in sections[0]


def test_the_codes_are_told() -> None:
    told = (ROOT / "deploy" / "README.md").read_text()
    for code in (exit_code.DONE, exit_code.FAILED, exit_code.USAGE, exit_code.REMOVED, exit_code.HALTED):
        assert re.search(rf"^\| {code}\b", told, re.MULTILINE), code
    for code in CODES.values():
        assert code == exit_code.INTERRUPTED or f" {code} " in (cli.__doc__ or ""), code
