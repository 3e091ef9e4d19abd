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
OF_COMMANDS = ("QUORATE_NODES", "QUORATE_CONSUL", "QUORATE_TOKEN_FILE", "QUORATE_CA", "QUORATE_CONFIG")
NOT_SETTINGS = {
    *OF_COMMANDS,
    *("QUORATE_TRACEBACK", "QUORATE_PYTHON", "QUORATE_REQUIRE_SERVICES", "QUORATE_SERVICES_DIR"),
    *("QUORATE_SERVICES_FETCH", "QUORATE_SERVICES_NSQ_DURABLE", "QUORATE_CHROMIUM", "QUORATE_SEED", "QUORATE_SEEDS"),
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
    """`found`: each setting that the environment sets, with its variable. `typos`: a variable, and what it means."""

    found: list[tuple[Setting, str]]
    typos: list[tuple[str, str]]
    foreign: list[str]

    def refusals(self) -> list[str]:
        return [f"environment: {variable} is not a setting; did you mean {meant}?" for variable, meant in self.typos]

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
            sorted_out.typos.append((variable, meant))
        else:
            sorted_out.foreign.append(variable)
    return sorted_out


def unknown_to_commands(env: Mapping[str, str]) -> list[str]:
    """A sentence for each variable that no setting and no command knows, but for those of services in Kubernetes.

    A command that asks nodes refuses none of them: settings are the business of nodes.
    """
    variables = sort_out(env)
    typos = dict(variables.typos)
    others = [variable for variable in variables.foreign if not _is_of_a_service(variable, env[variable])]
    near = {variable: closest(variable.upper(), OF_COMMANDS, cutoff=LIKE_A_SETTING) for variable in [*typos, *others]}
    return [
        f"environment: no setting and no command knows {variable}, so it is passed over"
        + (f"; did you mean {meant}?" if (meant := near[variable] or typos.get(variable)) else "")
        for variable in sorted(near)
    ]


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
