"""All nemeses by name. `chosen` reads what `--faults` asks for."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses import (
    clocks,
    crashes,
    damage,
    disks,
    links,
    members,
    partitions,
    processes,
    programs,
    services,
)
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.errors import Invalid
from quorate.words import did_you_mean

FAMILIES = {
    "processes": processes.NEMESES,
    "partitions": partitions.NEMESES,
    "links": links.NEMESES,
    "clocks": clocks.NEMESES,
    "disks": disks.NEMESES,
    "damage": damage.NEMESES,
    "members": members.NEMESES,
    "crashes": crashes.NEMESES,
    "programs": programs.NEMESES,
    "services": services.NEMESES,
}
ALL: dict[str, Nemesis[ChaosCluster]] = {nemesis.name: nemesis for family in FAMILIES.values() for nemesis in family}
EVERY = "all"


def chosen(asked: Iterable[str]) -> list[str]:
    """The nemeses that are asked for: by name, by family, or all. Raises `Invalid`, which tells what there is."""
    found: dict[str, None] = {}
    for name in asked:
        if name == EVERY:
            found |= dict.fromkeys(ALL)
        elif name in FAMILIES:
            found |= dict.fromkeys(nemesis.name for nemesis in FAMILIES[name])
        elif name in ALL:
            found[name] = None
        else:
            near = did_you_mean(name, [EVERY, *FAMILIES, *ALL]) or ":"
            raise Invalid(f"no fault is called {name!r}{near} quorate chaos --list shows all")
    return list(found)


def usable(cluster: ChaosCluster, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Of these names those that can work here, and for each other one what is missing."""
    missing = {name: why for name in names if (why := ALL[name].missing(cluster)) is not None}
    return [name for name in names if name not in missing], missing


def refused(asked: Collection[str], names: Collection[str], missing: Mapping[str, str]) -> dict[str, str]:
    """What the run cannot go without: what was asked for by its own name, and all of it if nothing else is left.

    Of a family, and of all, those that cannot work are left out. `names` and `missing` are of `usable`.
    """
    return {name: why for name, why in missing.items() if name in asked or not names}
