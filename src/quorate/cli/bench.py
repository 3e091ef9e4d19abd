"""`quorate bench`"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.busy import busy
from quorate.cli.chaos import read_duration
from quorate.cli.node_options import as_json, asks_nodes, ca_given, client_of, print_json, token_given
from quorate.cli.output import echo
from quorate.cli.question import agree
from quorate.cli.table import print_table
from quorate.exit_code import DONE, FAILED
from quorate.words import count

if TYPE_CHECKING:
    from quorate.benchmark.measuring import BenchMeasured
    from quorate.benchmark.stages import StageView
    from quorate.benchmark.surroundings import Surroundings

CLIENTS_MAX = 1_000
STAGES_MAX = 10
NAMED_MAX = 5  # polls


def read_clients(ctx: click.Context, param: click.Parameter, value: str) -> list[int]:
    """`1,32,256`"""
    words = [word for word in value.replace(",", " ").split() if word]
    numbers = [int(word) if word.isdecimal() and len(word) < 6 else 0 for word in words]
    if not 1 <= len(numbers) <= STAGES_MAX or not all(1 <= number <= CLIENTS_MAX for number in numbers):
        raise click.BadParameter(
            f"give up to {STAGES_MAX} numbers from 1 to {CLIENTS_MAX:,}, as 1,32,256, not {value[:40]!r}", ctx, param
        )
    return numbers


@click.command()
@click.option(
    "--clients",
    default="1,32,256",
    show_default=True,
    callback=read_clients,
    metavar="N,…",
    help="How many clients vote at once; each number is a stage.",
)
@click.option(
    "--duration",
    "duration_s",
    default="5s",
    show_default=True,
    callback=read_duration,
    metavar="TIME",
    help="How long each stage is measured, as 10s or 1m.",
)
@click.option(
    "--votes-per-request",
    type=click.IntRange(1, 10_000),
    default=1,
    show_default=True,
    metavar="N",
    help="Votes in each request, each with an id.",
)
@click.option("--yes", is_flag=True, help="Do not ask, also where the cluster is in use.")
@as_json
@asks_nodes()
def bench(
    clients: list[int],
    duration_s: float,
    votes_per_request: int,
    yes: bool,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> int:
    """Measure how many votes this cluster confirms a second, and how long one takes.

    It makes a poll of its own, votes there with ids from more and more clients, checks that the poll's tally is exactly
    what was confirmed, and removes the poll, also after Ctrl-C. Where others use the cluster, it says what that costs
    them and asks first. It needs a token that may manage polls, where tokens are on.

    Ends with exit code 0 if the tally is exact, and 1 if it is not, if nothing was confirmed, or if the poll is left.
    """
    from quorate.benchmark.measuring import WantedBench, measure
    from quorate.benchmark.surroundings import look_around

    with client_of(nodes, timeout_s, shows_wait=False) as client:
        with busy("looking at the cluster"):
            found = look_around(client, lambda url: client_of([url], min(timeout_s, 3.0), shows_wait=False))
        found.check_role()
        _agree(found, clients, duration_s, yes)
        wanted = WantedBench(
            list(found.asked.values()),
            clients,
            duration_s,
            votes_per_request,
            found.ids_max,
            token_given(),
            ca_given(),
        )
        with _progress(wanted.clients, duration_s, shown=not as_json) as show:
            measured = measure(client, wanted, show)
    if measured.left:
        echo(*(f"quorate: {line}" for line in measured.left.split("\n")), err=True)
    if as_json:
        print_json(_document(found, measured, votes_per_request))
    elif measured.stages:
        _show(found, measured, votes_per_request)
    return _code(measured)


def _agree(found: Surroundings, clients: Sequence[int], duration_s: float, yes: bool) -> None:
    """Say what it costs, and ask, if anybody else may use the cluster."""
    from quorate.benchmark.surroundings import costs

    for id in found.old_polls:
        echo(f"quorate: the poll {id} is of another bench, which runs now or was killed", err=True)
    if yes or (found.is_dev and not found.open_polls):
        return
    named = ", ".join(found.open_polls[:NAMED_MAX]) + (", …" if len(found.open_polls) > NAMED_MAX else "")
    why = f"it has open polls ({named})" if found.open_polls else "its nodes are not all on this machine alone"
    echo(f"Others may use this cluster: {why}.", *costs(found, clients, len(clients) * (duration_s + 1)), err=True)
    agree("Go on?")


def _code(measured: BenchMeasured) -> int:
    """Raises the error that ended it early."""
    if measured.check is not None and not measured.check.is_exact:
        return FAILED
    if measured.stopped_by is not None:
        return 128 + measured.stopped_by
    if measured.error is not None:
        raise measured.error
    if measured.left:
        return FAILED
    return DONE if measured.confirmed else FAILED


def _document(found: Surroundings, measured: BenchMeasured, votes_per_request: int) -> dict[str, Any]:
    import msgspec

    from quorate.benchmark.surroundings import bounds

    check = measured.check
    return {
        "leader": found.leader,
        "nodes": found.asked,
        "passed_over": found.passed_over,
        "settings": {"votes_per_request": votes_per_request, **found.settings()},
        "stages": msgspec.to_builtins(measured.stages),
        "bounds": bounds(found, measured.stages),
        "poll": measured.poll,
        "removed": measured.left is None,
        "confirmed": measured.confirmed,
        "in_doubt": measured.in_doubt,
        "total": None if check is None else check.total,
        "exact": None if check is None else check.is_exact,
    }


def _show(found: Surroundings, measured: BenchMeasured, votes_per_request: int) -> None:
    from quorate.benchmark.surroundings import bounds

    settings = found.settings()
    version = settings.pop("version")
    said = ", ".join(f"{name} {_word(value)}" for name, value in settings.items() if value is not None)
    echo(f"Quorate {version}, {found.leader} leads; {said}")
    echo(f"{count(votes_per_request, 'vote')} with an id in each request, to {', '.join(found.asked)}", "")
    headings = ["CLIENTS", "VOTES/S", "P50 MS", "P99 MS", "LONGEST MS", "REFUSED", "UNKNOWN"]
    rows = [
        [
            each.clients,
            round(each.votes_per_s),
            f"{each.p50_ms:.2f}",
            f"{each.p99_ms:.2f}",
            f"{each.max_ms:.2f}",
            sum(each.refused.values()),
            sum(each.unknown.values()),
        ]
        for each in measured.stages
    ]
    print_table(headings, rows)
    for each in measured.stages:
        for what, reasons in (("refused", each.refused), ("unknown at first, and sent again", each.unknown)):
            if reasons:
                listed = ", ".join(f"{reason} {number:,}" for reason, number in reasons.items())
                echo(f"{count(each.clients, 'client')}, {what}: {listed}")
    echo("")
    for why in bounds(found, measured.stages):
        echo(f"- {why}")
    for url, why in found.passed_over.items():
        echo(f"- {url} got no votes: {why}")
    _show_check(measured)


def _show_check(measured: BenchMeasured) -> None:
    check = measured.check
    if check is None:
        return
    doubt = f" and {count(check.in_doubt, 'vote')} of which nobody said whether they count" if check.in_doubt else ""
    if check.is_exact:
        echo(f"The tally is exactly what was confirmed: {count(check.confirmed, 'vote')}{doubt}.")
    else:
        echo(
            f"THE TALLY IS WRONG: {count(check.confirmed, 'vote')} were confirmed{doubt}, and {check.total:,} are "
            "counted. Please report this."
        )
    if measured.left is None:
        echo(f"The poll {measured.poll} is removed.")


def _word(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return " ".join(map(str, value)) or "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


@contextlib.contextmanager
def _progress(clients: Sequence[int], duration_s: float, *, shown: bool) -> Iterator[Callable[[StageView], None]]:
    """On a terminal, a bar over all stages and the rate. Nothing if a program reads along."""
    if not shown or not sys.stderr.isatty():
        yield lambda view: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.fields[clients]:>5} clients"),
        BarColumn(),
        TextColumn("{task.fields[rate]:>10} votes/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=len(clients) * duration_s, clients=clients[0], rate="-")

        def update(view: StageView) -> None:
            rate = f"{view.votes_per_s:,.0f}" if view.votes_per_s else "-"
            progress.update(task, completed=view.done_s, clients=view.clients, rate=rate)

        yield update
