"""Whose a variable of the environment is: a setting's, a misspelt setting's, or another program's.

A variable that is nearly a setting is surely a typo, and is refused. All others that begin with QUORATE_ belong to
other programs, for example to Kubernetes, which gives each pod variables named after services: these are passed over,
and told in one sentence.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quorate.config.nearest import closest
from quorate.config.settings import SETTINGS, Setting, section_names

PREFIX = "QUORATE_"
# Variables that the commands, the scripts and the tests read themselves.
NOT_SETTINGS = {
    *("QUORATE_NODES", "QUORATE_CONSUL", "QUORATE_TOKEN_FILE", "QUORATE_CONFIG"),
    *("QUORATE_TIMEOUT", "QUORATE_TRACEBACK", "QUORATE_PYTHON", "QUORATE_REQUIRE_SERVICES", "QUORATE_SERVICES_DIR"),
    *("QUORATE_CHROMIUM", "QUORATE_SEED", "QUORATE_SEEDS"),
}
TESTS_PREFIX = "QUORATE_TEST_"
# https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables. `…_PORT` alone may be
# anybody's, but only Kubernetes (and Docker's old links) give it a URL.
SERVICE = re.compile(r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)\Z")
SERVICE_URL = re.compile(r"^(tcp|udp|sctp)://")
LIKE_A_KEY, LIKE_A_SETTING = 0.6, 0.9
SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class Variables:
    """`found`: each setting that the environment sets, with its variable."""

    found: list[tuple[Setting, str]]
    typos: list[str]
    foreign: list[str]

    def warnings(self) -> tuple[str, ...]:
        if not self.foreign:
            return ()
        more = f" and {len(self.foreign) - SHOWN_MAX} more" if len(self.foreign) > SHOWN_MAX else ""
        names = f"{', '.join(self.foreign[:SHOWN_MAX])}{more}"
        one = len(self.foreign) == 1
        return (
            f"environment: {names} {'is no setting and is' if one else 'are no settings and are'} passed over; "
            f"docs/settings.md lists the settings",
        )


def sort_out(env: Mapping[str, str]) -> Variables:
    by_variable = {setting.env: setting for setting in SETTINGS.values()}
    sorted_out = Variables([], [], [])
    for variable in sorted(env):
        if not variable.startswith(PREFIX) or variable in NOT_SETTINGS or variable.startswith(TESTS_PREFIX):
            continue
        if variable in by_variable:
            sorted_out.found.append((by_variable[variable], variable))
        elif not _is_of_a_service(variable, env[variable]) and (meant := _meant(variable, by_variable)):
            sorted_out.typos.append(f"environment: {variable} is not a setting; did you mean {meant}?")
        else:
            sorted_out.foreign.append(variable)
    return sorted_out


def _is_of_a_service(variable: str, value: str) -> bool:
    return bool(SERVICE.search(variable) or (variable.endswith("_PORT") and SERVICE_URL.match(value)))


def _meant(variable: str, known: Iterable[str]) -> str | None:
    """The variable that was surely meant. In a section of ours its key decides, as the section makes all alike."""
    word = variable.upper()
    section, _, key = word.removeprefix(PREFIX).partition("_")
    if section.lower() in section_names():
        begin = f"{PREFIX}{section}_"
        keys = {each.removeprefix(begin): each for each in known if each.startswith(begin)}
        if near := closest(key, keys, cutoff=LIKE_A_KEY):
            return keys[near]
        # `QUORATE_HTTP_DEDUP_WINDOW`. A key of one word, as `path`, stands in other programs' variables too.
        if elsewhere := [setting.env for setting in SETTINGS.values() if setting.key.upper() == key and "_" in key]:
            return " or ".join(elsewhere)
        return None
    return closest(word, known, cutoff=LIKE_A_SETTING)
