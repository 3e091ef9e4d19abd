"""Run a double as a process, with the flags and the "listening on" lines of the real program."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import re
import signal
import sys

from tests.doubles.nsq.lookupd import Lookupd
from tests.doubles.nsq.nsqd import Nsqd
from tests.doubles.nsq.wire import Options

UNITS_MS = {"ms": 1, "s": 1_000, "m": 60_000, "h": 3_600_000}


def duration_ms(text: str) -> int:
    """The milliseconds of a duration that is written as in Go: 500ms, 1m30s."""
    parts = re.findall(r"([\d.]+)(ms|s|m|h)", text)
    if not parts or "".join(n + unit for n, unit in parts) != text:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration; write 500ms, 10s, 1m30s")
    return round(sum(float(number) * UNITS_MS[unit] for number, unit in parts))


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="python -m tests.doubles.nsq", description=__doc__)
    programs = root.add_subparsers(dest="program", required=True)
    nsqd = programs.add_parser("nsqd", allow_abbrev=False)
    for option in dataclasses.fields(Options):
        flag = "--" + option.name.removesuffix("_ms").replace("_", "-")
        if option.name.endswith("_ms"):
            nsqd.add_argument(flag, dest=option.name, type=duration_ms, default=option.default)
        elif option.name == "lookupd_tcp_address":
            nsqd.add_argument(flag, action="append", default=[])
        else:
            nsqd.add_argument(flag, type=type(option.default), default=option.default)
    lookupd = programs.add_parser("nsqlookupd", allow_abbrev=False)
    for name in ("tcp-address", "http-address"):
        lookupd.add_argument(f"--{name}", default="127.0.0.1:0")
    lookupd.add_argument("--broadcast-address", default="127.0.0.1")
    return root


async def run(server: Nsqd | Lookupd) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await server.start()
    print(f"TCP: listening on 127.0.0.1:{server.tcp_port}", file=sys.stderr)
    print(f"HTTP: listening on 127.0.0.1:{server.http_port}", file=sys.stderr, flush=True)
    await stop.wait()
    await server.stop()


def main() -> None:
    flags = vars(parser().parse_args())
    if flags.pop("program") == "nsqd":
        asyncio.run(run(Nsqd(Options(**flags))))
    else:
        asyncio.run(run(Lookupd(flags["tcp_address"], flags["http_address"])))


if __name__ == "__main__":
    main()
