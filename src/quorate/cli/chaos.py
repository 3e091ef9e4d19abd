"""`quorate chaos`"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from quorate.cli.check import read_output, refuse_same_file, report_option
from quorate.cli.node_options import EMPTY, as_json, ca_given, ca_option, is_by_flag, token_given, token_option

if TYPE_CHECKING:
    from quorate.config import Address

SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d{1,6}(?:\.\d+)?)([smh]?)", re.ASCII)
LONGEST_S = 24 * 3600
OF_OUR_OWN = {
    "nodes": "--nodes",
    "faults": "--faults",
    "services": "--services",
    "mutant": "--mutant",
    "mixed_with": "--mixed-with",
    "network": "--network",
}


def read_duration(ctx: click.Context, param: click.Parameter, value: str) -> float:
    """`90`, `90s`, `2m` or `1h`, in seconds."""
    match = DURATION.fullmatch(value.strip())
    seconds = float(match[1]) * SECONDS[match[2]] if match else 0.0
    if not 1 <= seconds <= LONGEST_S:
        raise click.BadParameter(f"give a time as 90s, 2m or 1h, from 1s to 24h, not {value[:40]!r}", ctx, param)
    return seconds


def read_names(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    """Names that are given several times, or divided by commas."""
    names = [name for value in values for name in re.split(r"[,\s]+", value) if name]
    if not names:  # a variable of a script that is empty must not pass for `none`
        raise click.BadParameter(f"{EMPTY}; `none` stands for no fault", ctx, param)
    return names


def read_services(ctx: click.Context, param: click.Parameter, value: str | None) -> dict[str, str]:
    from quorate.chaos.services import chaos_services
    from quorate.errors import Invalid

    try:
        return {} if value is None else chaos_services.read_services(value)
    except Invalid as error:
        raise click.BadParameter(error.detail, ctx, param) from None


def read_against(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[str]:
    from quorate.cli.node_options import read_nodes

    return read_nodes(ctx, param, values) if values else []


def read_redis(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> list[Address]:
    from quorate.config import parse_address
    from quorate.errors import ConfigError

    try:
        return [parse_address(value) for value in values]
    except ConfigError as error:
        raise click.BadParameter(error.detail, ctx, param) from None


@click.command()
@click.option("--nodes", type=click.Choice(["3", "5", "7"]), default="3", show_default=True, help="How many nodes.")
@click.option(
    "--duration",
    "duration_s",
    default="2m",
    show_default=True,
    callback=read_duration,
    metavar="TIME",
    help="How long things break, as 90s, 2m or 1h.",
)
@click.option(
    "--faults",
    multiple=True,
    default=("all",),
    callback=read_names,
    metavar="NAME,…",
    help="Faults or families of faults by name; all; or none. --list shows them.  [default: all that can work here]",
)
@click.option("--list", "lists", is_flag=True, help="Show the faults that there are, and end.")
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), help="The same seed gives the same schedule.  [default: any]"
)
@click.option(
    "--services",
    is_flag=False,
    flag_value="all",
    callback=read_services,
    metavar="NAME,…",
    help="Servers beside the nodes, which break as well: mongo, consul, nsqd, each perhaps with an address, as "
    "mongo=mongodb://127.0.0.1:27017. Without names: all that can be had here.",
)
@click.option(
    "--mixed-with",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="PYTHON",
    help="A Python with another Quorate, or another Python: nodes are restarted with it under load, and back.",
)
@click.option(
    "--network",
    type=click.Choice(["relays", "namespaces"]),
    default="relays",
    show_default=True,
    help="What is between the nodes: relays on this machine, or, for root on Linux, network namespaces and the kernel.",
)
@click.option(
    "--against",
    multiple=True,
    callback=read_against,
    metavar="URL",
    help="Send votes to this cluster, which somebody else runs and breaks. Give the URLs of all of its nodes.",
)
@click.option(
    "--resp",
    "redis",
    multiple=True,
    callback=read_redis,
    metavar="HOST:PORT",
    help="With --against: where its nodes answer Redis clients, one for each URL, in the same order.",
)
@click.option(
    "--mutant",
    metavar="NAME",
    help="Give all nodes this planted bug, to see it caught. From a source checkout only. `list` shows them.",
)
@click.option(
    "--history",
    type=click.Path(dir_okay=False, path_type=Path),
    callback=read_output,
    metavar="FILE",
    help="Write the history here.  [default: history.ndjson in the folder that is named]",
)
@report_option
@token_option
@ca_option
@as_json
@click.pass_context
def chaos(
    ctx: click.Context,
    nodes: str,
    duration_s: float,
    faults: list[str],
    lists: bool,
    seed: int | None,
    services: dict[str, str],
    mixed_with: Path | None,
    network: str,
    against: list[str],
    redis: list[Address],
    mutant: str | None,
    history: Path | None,
    report: Path | None,
    as_json: bool,
) -> int:
    """Break a real cluster on this machine while clients vote and read, and say whether the promise was kept.

    It starts nodes of its own, kills them, pauses them and cuts them off. Clients write down all that they sent and
    were told. In the end everything is mended, and the history is checked. Ctrl-C ends the run early; what there is by
    then is judged.

    Ends with exit code 0 if the history is clean, 1 if the promise was broken, and 5 if too little happened to say.
    """
    from quorate.cli.chaos_run import ChaosOptions, list_faults, list_mutants, run_chaos

    if lists:
        list_faults(as_json=as_json)
        return 0
    if mutant == "list":
        list_mutants(as_json=as_json)
        return 0
    if against and (wrong := [flag for name, flag in OF_OUR_OWN.items() if is_by_flag(ctx, name)]):
        raise click.UsageError(f"{' and '.join(wrong)}: not with --against, where somebody else runs the cluster.", ctx)
    if redis and len(redis) != len(against):
        raise click.UsageError("--resp: give one for each --against, in the same order, or none.", ctx)
    if mutant is not None and mixed_with is not None:
        raise click.UsageError("--mixed-with: not with --mutant, since the other program has no planted bug.", ctx)
    refuse_same_file(ctx, history, report)
    options = ChaosOptions(
        int(nodes),
        duration_s,
        faults,
        seed,
        services,
        against,
        history,
        as_json,
        token_given(),
        ca_given(),
        mutant,
        faults_are_chosen=is_by_flag(ctx, "faults"),
        report=report,
        mixed_with=mixed_with,
        in_namespaces=network == "namespaces",
        redis=redis,
    )
    return run_chaos(options)
