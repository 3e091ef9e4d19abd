"""`quorate version`"""

from __future__ import annotations

import platform

import click

from quorate import __version__
from quorate.cli.node_options import as_json, print_json
from quorate.cli.output import echo


@click.command()
@as_json
def version(as_json: bool) -> None:
    """Show which version this is, and which Python runs it. A node tells its own at /version."""
    if as_json:
        print_json({"version": __version__, "python": platform.python_version()})
    else:
        echo(f"quorate {__version__}, Python {platform.python_version()}")
