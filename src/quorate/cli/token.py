"""`quorate token`: make tokens, for the file that `auth.file` names. Nothing is asked and nothing sent."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from quorate.cli.node_options import as_json, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import change_is_made, echo

ROLES = ("read", "vote", "manage", "operate")  # as `security/roles.py` has them, which the start of a command spares


@click.group()
def token() -> None:
    """Make tokens for the file of tokens (auth.file) of the nodes."""


@token.command()
@click.option("--role", type=click.Choice(ROLES), required=True, help="What it may do; each role may all before it.")
@click.option("--name", help="Whose it is: its producers belong to this name.  [default: made of the role]")
@click.option("--poll", "polls", multiple=True, metavar="ID", help="Bind it to this poll; several are possible.")
@click.option(
    "--share",
    type=click.IntRange(0, 8),
    help="Its share of the dedup window, 1 to 8, or 0 for the common one: its ids push out those of its share alone.  "
    "[default: with --file the first that no token there has, if its role is vote or manage]",
)
@click.option(
    "--rate",
    type=NumberRange(0.001, 1_000_000),
    help="Votes a second at each node; any other request counts as one.",
)
@click.option(
    "--burst",
    type=click.IntRange(1, 1_000_000),
    help="Votes at once after a quiet time, with --rate.  [default: those of a second, ten at least]",
)
@click.option(
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append it to this file of tokens, which is made with mode 600. Without, the lines for it are printed.",
)
@as_json
def new(
    role: str,
    name: str | None,
    polls: tuple[str, ...],
    share: int | None,
    rate: float | None,
    burst: int | None,
    file: Path | None,
    as_json: bool,
) -> None:
    """Make a token, and show it once: the file of tokens has only its hash.

    The first line of the answer is the token. Keep it in a file that only its user may read, for --token-file, or send
    it as Authorization: Bearer TOKEN. Nodes read a file of tokens again when it changes: give the same to all of them.
    """
    from quorate.security.token_file import append_token
    from quorate.security.tokens import IN_COMMON, SHARED_ROLES, Tokens, new_secret, read_tokens, share_for, table_of

    steady = int(rate) if rate is not None and rate.is_integer() else rate  # as people write it
    secret, owner = new_secret(), name or f"{role}-{secrets.token_hex(3)}"

    def table_beside(others: Tokens) -> str:
        number = share_for(others, owner, role) if share is None and file is not None else share
        return table_of(owner, role, secret, polls=list(polls), share=number, rate=steady, burst=burst)

    table = table_beside(Tokens()) if file is None else append_token(file, table_beside)
    made = read_tokens(table).find(secret.encode())  # refuses a name or a poll that cannot be
    assert made is not None
    if file is not None:
        change_is_made()
    if as_json:
        bounds = {"share": made.share, "rate": made.rate, "burst": burst}
        print_json({"token": secret, "name": owner, "role": role, "polls": list(polls), **bounds, "lines": table})
        return
    echo(secret)
    if file is None:
        echo("", "# for the file that auth.file names, on each node:", *table.splitlines())
    else:
        where = f" and share {made.share} of the dedup window" if made.share else ""
        echo(f"Appended to {file} as {owner}, with the role {role}{where}. The token is not shown again.", err=True)
        if share is None and not made.share and role in SHARED_ROLES:
            echo(f"All shares of the dedup window are taken, so {owner} has the common one: {IN_COMMON}.", err=True)
