"""`quorate token`: make tokens, for the file that `auth.file` names. Nothing is asked and nothing sent."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from quorate.cli.node_options import as_json, print_json
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
    "--file",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Append it to this file of tokens, which is made with mode 600. Without, the lines for it are printed.",
)
@as_json
def new(role: str, name: str | None, polls: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Make a token, and show it once: the file of tokens has only its hash.

    The first line of the answer is the token. Keep it in a file that only its user may read, for --token-file, or send
    it as Authorization: Bearer TOKEN. Nodes read a file of tokens again when it changes: give the same to all of them.
    """
    from quorate.security.token_file import append_token
    from quorate.security.tokens import new_secret, read_tokens, table_of

    secret, name = new_secret(), name or f"{role}-{secrets.token_hex(3)}"
    table = table_of(name, role, secret, polls)
    if file is None:
        read_tokens(table)  # refuses a name or a poll that cannot be
    else:
        append_token(file, table)
        change_is_made()
    if as_json:
        print_json({"token": secret, "name": name, "role": role, "polls": list(polls), "lines": table})
        return
    echo(secret)
    if file is None:
        echo("", "# for the file that auth.file names, on each node:", *table.splitlines())
    else:
        echo(f"Appended to {file} as {name}, with the role {role}. The token is not shown again.", err=True)
