"""All nemeses by name. `chosen` reads what `--faults` asks for."""

from __future__ import annotations

from collections.abc import Iterable

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
            raise Invalid(f"no fault is called {name!r}: there are {', '.join([EVERY, *FAMILIES, *ALL])}")
    return list(found)


def usable(cluster: ChaosCluster, names: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Of these names those that can work here, and for each other one what is missing."""
    missing = {name: why for name in names if (why := ALL[name].missing(cluster)) is not None}
    return [name for name in names if name not in missing], missing
