"""`quorate export`: the results of a poll as a file, for spreadsheets and programs."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Mapping
from typing import Any

import click

from quorate.cli.node_options import asks_nodes, client_of, level_option
from quorate.cli.output import write

FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet takes a text that begins so for a formula, and runs it
HEADINGS = ("poll", "option", "votes", "version")


@click.command()
@click.argument("poll")
@click.argument("file", default="-", metavar="[FILE|-]")
@click.option("--csv", "as_csv", is_flag=True, help="A row for each option. This is the default.")
@click.option("--json", "as_json", is_flag=True, help="One object, as the API answers.")
@click.option("--raw", is_flag=True, help="Leave texts in CSV as they are, also those that a spreadsheet would run.")
@level_option("linearizable")
@asks_nodes()
def export(
    poll: str, file: str, as_csv: bool, as_json: bool, raw: bool, level: str, nodes: list[str], timeout_s: float
) -> None:
    """Write the results of POLL, all at one version, to FILE or to the output.

    People choose the texts of options, and spreadsheets run a text that begins with = + - or @ as a formula. In CSV
    such a text gets an apostrophe in front, unless --raw is given. FILE is replaced when all is written.
    """
    if as_csv and as_json:
        raise click.UsageError("Give --csv or --json, and not both.")
    with client_of(nodes, timeout_s) as client:
        found = client.results(poll, level=level)
    text = _json(found) if as_json else _csv(found, raw)
    if file == "-":
        write(text)
        return
    try:
        _replace(file, text.encode())
    except OSError as error:  # it would name no file, or one that nobody gave
        raise OSError(error.errno, f"cannot be written: {error.strerror or error}", file) from None


def _json(found: Mapping[str, Any]) -> str:
    import msgspec

    return msgspec.json.encode(found).decode() + "\n"


def _csv(found: Mapping[str, Any], raw: bool) -> str:
    text = io.StringIO()
    rows = csv.writer(text)  # with line ends as RFC 4180 has them
    rows.writerow(HEADINGS)
    plain = str if raw else no_formula
    for option, votes in found["results"].items():
        rows.writerow((plain(found["id"]), plain(option), votes, found["version"]))
    return text.getvalue()


def no_formula(text: str) -> str:
    return f"'{text}" if text.startswith(FORMULA) else text


def _replace(file: str, data: bytes) -> None:
    """Whole, or as it was. What is no file, as /dev/stdout, is written to."""
    if os.path.exists(file) and not os.path.isfile(file):
        with open(file, "wb") as stream:
            stream.write(data)
        return
    part = f"{file}.part"
    with open(part, "wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    os.replace(part, file)
