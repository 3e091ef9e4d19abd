"""`quorate stream replay`"""

from __future__ import annotations

from pathlib import Path

import click

from quorate.cli.output import echo
from quorate.cli.stream_options import StreamOptions, stream_options
from quorate.cli.stream_run import run_stream
from quorate.exit_code import PASSED_OVER
from quorate.words import count

BAD_LINES_SHOWN = 10
SPEED_MAX = 1_000_000


def read_speed(ctx: click.Context, param: click.Parameter, value: str) -> float | None:
    if value in ("full", "recorded"):
        return 1.0 if value == "recorded" else None
    try:
        speed = float(value)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= SPEED_MAX:
        wrong = f"{value!r} is no speed; give full, recorded, or how many times as fast as recorded"
        raise click.BadParameter(wrong, ctx, param)
    return speed


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "--speed",
    callback=read_speed,
    metavar="full|recorded|N",
    default="full",
    show_default=True,
    help="As fast as votes are counted, as the posts were written, or N times as fast.",
)
@click.option("--skip-bad", is_flag=True, help="Pass over lines that are no posts, and end with exit code 6.")
@click.option("--follow", is_flag=True, help="At its end, wait for more, until a signal stops it.")
@click.option("--session", metavar="NAME", help="Name under which the position is kept, instead of the file's path.")
@stream_options
def replay(
    file: Path, speed: float | None, skip_bad: bool, follow: bool, session: str | None, options: StreamOptions
) -> int:
    """Read the posts in FILE (- is standard input), plain or packed with gzip or zstd.

    A post in JSON on each line: {"id": "1", "text": "So happy today"}. It may have author, tags (a list), is_repost and
    created_ms (Unix, in milliseconds), by which --speed goes. A file in which lines changed that were read already is
    refused. Standard input has no name, so it is read from its beginning each time, unless --session gives it one.
    `quorate stream generate` makes such files up.
    """
    from quorate.ingest.social.networks.replay import ReplayNetwork

    path = None if str(file) == "-" else file
    network = ReplayNetwork(path, speed=speed, skip_bad=skip_bad, follow=follow, session=session)
    code = run_stream(network, options)
    if network.synthetic:
        echo(f"{count(network.synthetic, 'post')} of them synthetic: nobody wrote them")
    for number, why in network.bad[:BAD_LINES_SHOWN]:
        echo(f"line {number:,} passed over: {why}", err=True)
    if network.bad_lines:
        echo(f"{count(network.bad_lines, 'bad line')} passed over", err=True)
    return PASSED_OVER if network.bad_lines else code
