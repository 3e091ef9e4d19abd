"""`quorate stream replay`"""

from __future__ import annotations

from pathlib import Path

import click

from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@stream_options
def replay(file: Path, options: StreamOptions) -> int:
    """Read the posts in FILE, a post in JSON on each line: {"id": "1", "text": "So happy today"}."""
    from quorate.ingest.social.networks.replay import ReplayNetwork

    return run_stream(ReplayNetwork(file), options)
