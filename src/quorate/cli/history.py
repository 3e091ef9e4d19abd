"""`quorate history`: how a poll's tally came to be what it is, as one node has recorded it."""

from __future__ import annotations

import csv
import io
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import click

from quorate import shown
from quorate.cli import completing
from quorate.cli.export import no_formula
from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.output import echo, write
from quorate.cli.table import print_table
from quorate.words import count

LEVELS = "▁▂▃▄▅▆▇█"
GAP = "·"
RATE = "votes a minute"
NAME_COLUMNS = 24
LINE_COLUMNS = (10, 120)  # at least, and at most
MINUTE_S = 60

Values = Sequence[int | None]


@click.command()
@click.argument("poll", shell_complete=completing.polls)
@click.option(
    "--from",
    "begin",
    default="1h",
    show_default=True,
    metavar="TIME",
    help="How long ago (15m, 1h, 7d), or since when.",
)
@click.option("--step", metavar="TIME", help="From one value to the next: 1s, 5m.  [default: what fits]")
@click.option(
    "--table",
    is_flag=True,
    help="A row for each step, and one for each gap. This is the default where the output is no terminal.",
)
@click.option("--csv", "as_csv", is_flag=True, help="The same as CSV, with all that is known of each option.")
@as_json
@asks_nodes()
def history(
    poll: str,
    begin: str,
    step: str | None,
    table: bool,
    as_csv: bool,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> None:
    """Show how the tally of POLL changed: by seconds over the last hour, by minutes over the last week.

    Each node records for itself what it sees, so one that was down has a gap, and another node may have none: name it
    with --node.
    """
    if table + as_csv + as_json > 1:
        raise click.UsageError("Give one of --table, --csv and --json.")
    with client_of(nodes, timeout_s) as client:
        told = client.history(poll, begin=begin, step=step)
    if as_json:
        print_json(told)
    elif as_csv:
        write(_csv(told))
    elif table or not sys.stdout.isatty():
        print_table(["TIME", "VOTES", "A MINUTE"], list(_rows_with_gaps(told)))
    else:
        _draw(told)


def _moments(told: Mapping[str, Any]) -> Iterator[datetime]:
    begin, step = datetime.fromisoformat(told["from"]), timedelta(seconds=told["step_s"])
    return (begin + place * step for place in range(len(told["totals"])))


def _rows(told: Mapping[str, Any]) -> Iterator[tuple[str, int | None, int | None]]:
    rates = _a_minute(told["totals"], told["step_s"])
    for moment, total, rate in zip(_moments(told), told["totals"], rates, strict=True):
        yield moment.isoformat().replace("+00:00", "Z"), total, rate


def _rows_with_gaps(told: Mapping[str, Any]) -> Iterator[tuple[str, int | None, int | None]]:
    """One row for each gap, however long it is: most of the hour of a new poll is one."""
    in_gap = False
    for row in _rows(told):
        if not (in_gap and row[1] is None):
            yield row
        in_gap = row[1] is None


def _a_minute(totals: Values, step_s: int) -> list[int | None]:
    """Votes a minute, of each step since the one before. None where one of the two is not known."""
    pairs = zip([None, *totals], totals, strict=False)
    return [None if a is None or b is None else round((b - a) * MINUTE_S / step_s) for a, b in pairs]


def _csv(told: Mapping[str, Any]) -> str:
    text = io.StringIO()
    rows = csv.writer(text)
    options: Mapping[str, Values] = told["options"]
    rows.writerow(["time", "votes", *map(no_formula, options)])
    for place, (time, total, _) in enumerate(_rows(told)):
        rows.writerow([time, total, *(values[place] for values in options.values())])
    return text.getvalue()


# ---- on a terminal --------------------------------------------------------------------------------------------------


def _draw(told: Mapping[str, Any]) -> None:
    from rich.cells import set_cell_size  # names may have wide characters

    totals: Values = told["totals"]
    most = max(map(len, told["options"]), default=0)
    name_columns = min(max(most, len(RATE)), NAME_COLUMNS)
    low, high = LINE_COLUMNS
    columns = max(low, min(high, shutil.get_terminal_size().columns - name_columns - 16))
    span = f"{told['from']} to {told['to']}"
    echo(f"{told['id']}, from {span}, as {told['node']} recorded it ({GAP}: not known)")
    rates = _a_minute(totals, told["step_s"])
    highest = max((rate for rate in rates if rate is not None), default=None)
    lines = [(RATE, rates, f"at most {highest:,}" if highest is not None else "-")]
    lines += [(name, values, _last(values)) for name, values in {"all votes": totals, **told["options"]}.items()]
    for name, values, words in lines:
        label = set_cell_size(shown.line(name, name_columns), name_columns)
        echo(f"{label}  {_line(values, columns)}  {words}")
    known = [total for total in totals if total is not None]
    if not known:
        echo(f"{told['node']} has recorded nothing of that time")
    elif len(known) > 1:
        echo(f"{count(known[-1] - known[0], 'vote')} more than at the beginning of what is known")


def _highest(group: Values) -> int | None:
    known = [value for value in group if value is not None]
    return max(known) if len(known) == len(group) else None


def _last(values: Values) -> str:
    known = [value for value in values if value is not None]
    return f"{known[-1]:,}" if known else "-"


def _line(values: Values, columns: int) -> str:
    """A column for each value, or for several the biggest of them; a gap, where one of them is not known."""
    share = -(-len(values) // columns) or 1
    groups = [values[start : start + share] for start in range(0, len(values), share)]
    highs = [_highest(group) for group in groups]
    known = [high for high in highs if high is not None]
    least, most = min(known, default=0), max(known, default=0)
    scale = (len(LEVELS) - 1) / (most - least or 1)
    return "".join(GAP if high is None else LEVELS[round((high - least) * scale)] for high in highs)
