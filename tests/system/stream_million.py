"""A long run of `test_stream_through_nsq.py`: a million posts, hundreds of broken connections, each part killed thrice.

    python -m tests.system.stream_million [--posts 1000000] [--network wikimedia] [--hang-ups 500] [--times 3]
                                          [--seed N] [--mongo]

Posts go from a double of a network, which speaks its protocol, or from a file, through `quorate stream`, two nsqds (the
real one where it is on PATH, with its default flags: killed, it forgets) and three nodes to the database. They come in
parts, with one fault in each: the stream, an nsqd, a node, and with --mongo the database are killed by `kill -9` at a
random moment. In the middle a poll comes, and another is closed. Each part must count exactly, and at the end all nodes
and the database. With --mongo, scripts/services.sh gets the database. If a run fails, the folder with all logs is kept.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from quorate.processes.node import EndedAtStart
from tests.support.waiting import NeverHappened
from tests.system.stream_chain import EARLY, LATE, StreamChain, parts_of
from tests.system.stream_database import Database, mongo_database, sqlite_database
from tests.system.stream_faults import kill_follower, kill_leader, kill_nsqd, kill_stream, lose_nsqd
from tests.system.stream_networks import NETWORKS


def faults_of(chain: StreamChain, database: Database, times: int) -> list[tuple[str, Callable[[], None]]]:
    """Each `times` times, mixed. One nsqd in three stays away until the stream goes on with the other one alone."""
    found: list[tuple[str, Callable[[], None]]] = []
    for number in range(times):
        nsqd, node = (lose_nsqd if number % 3 == 2 else kill_nsqd), (kill_follower if number % 3 == 1 else kill_leader)
        found.append(("the stream", partial(kill_stream, chain)))
        found.append((f"nsqd {number % 2 + 1}", partial(nsqd, chain, number % 2)))
        found.append(("a node", partial(node, chain)))
        if database.kill is not None:
            found.append((database.name, database.kill))
    chain.chance.shuffle(found)
    return found


def run(chain: StreamChain, database: Database, posts: int, times: int) -> None:
    begun_s = time.monotonic()
    faults = faults_of(chain, database, times)
    sizes = parts_of(posts, len(faults))
    for number, (size, (name, fault)) in enumerate(zip(sizes, faults, strict=True)):
        if number == len(faults) // 3:
            chain.add_poll(LATE)
            print("  a poll is added", flush=True)
        if number == 2 * len(faults) // 3:
            chain.close_poll(EARLY)
            print("  a poll is closed", flush=True)
        part_s = time.monotonic()
        chain.run_part(size, fault)
        took_s = time.monotonic() - part_s
        print(
            f"  part {number + 1} of {len(faults)}: {size:,} posts in {took_s:.1f} s, {name} killed: exact", flush=True
        )
    chain.assert_exact_everywhere(database.results)
    tell(chain, time.monotonic() - begun_s)


def tell(chain: StreamChain, took_s: float) -> None:
    kinds = ", ".join(f"{number:,} {kind}" for kind, number in sorted(chain.kinds.items()))
    votes = sum(sum(results.values()) for results in chain.expected.values())
    rate, connections = chain.posts / took_s, chain.network.connections()
    print(f"exact in all nodes and the database: {votes:,} votes of {chain.posts:,} lines ({kinds}) in {took_s:.0f} s")
    print(f"{rate:,.0f} lines a second with all faults; {connections:,} connections to the network")


@contextlib.contextmanager
def chain_in(folder: Path, args: argparse.Namespace) -> Iterator[tuple[StreamChain, Database]]:
    choose = mongo_database if args.mongo else sqlite_database
    breaks: dict[str, int] = {"hang_ups": args.hang_ups, "of": args.posts}
    with (
        choose(folder) as database,
        StreamChain(folder, args.network, args.seed, **breaks, sink=database.settings) as chain,
    ):
        what = f"{args.posts:,} posts of {args.network}, {args.hang_ups} hang-ups, each part killed {args.times} times"
        print(f"seed {args.seed}: {what}; two nsqds ({chain.nsqd_kind}), {database.name}", flush=True)
        yield chain, database


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--posts", type=int, default=1_000_000)
    parser.add_argument("--network", choices=NETWORKS, default="wikimedia")
    parser.add_argument("--hang-ups", type=int, default=500)
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6))
    parser.add_argument("--mongo", action="store_true")
    args = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="quorate-million-"))
    try:
        with chain_in(folder, args) as (chain, database):
            run(chain, database, args.posts, args.times)
    except (AssertionError, NeverHappened, EndedAtStart) as error:
        why = str(error) or traceback.format_exc(limit=-1)
        print(f"FAILED (seed {args.seed}, logs in {folder}): {why}", file=sys.stderr)
        return 1
    shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
