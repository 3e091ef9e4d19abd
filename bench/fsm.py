"""Measures the state machine alone: CPU time of a vote, memory of an id, and the time of a snapshot.

    python -m bench.fsm [--window 1000000] [--votes 10000] [--rounds 20]

Times are CPU time of this thread, because other load on the machine affects that less. The median and the best of the
rounds are shown. "Apply" is one entry of `--votes` votes with ids, from bytes to outcomes, with a full dedup window.
"""

from __future__ import annotations

import argparse
import os
import platform
import random
import resource
import statistics
import sys
import threading
import time
from array import array
from collections.abc import Callable, Sequence

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command
from quorate.cluster.fsm import StateMachine

KEY = b"k" * 16


def apply(machine: StateMachine, *commands: Command) -> None:
    machine.apply(entry.encode_entry(1, [entry.encode_batch(list(commands))]))


def new_machine(window: int, options: Sequence[str], polls: int) -> StateMachine:
    machine = StateMachine()
    apply(machine, entry.FormCluster("bench", KEY, window))
    for number in range(polls):
        apply(machine, entry.CreatePoll(f"p{number}", "", list(options), "open", None, False))
    return machine


def choice_of(option: str) -> Choice:
    return Choice(option, None, 1, entry.fingerprint_of(option, None, 1))


def entry_of(options: Sequence[str], votes: int) -> bytes:
    index: dict[str, int] = {}
    picks = array("I", [index.setdefault(option, len(index)) for option in random.choices(options, k=votes)])
    command = entry.CastVotes(list(map(choice_of, index)), os.urandom(8 * votes), picks.tobytes())
    return entry.encode_entry(1, [entry.encode_batch([command])])


def fill(machine: StateMachine, options: Sequence[str], ids: int) -> None:
    for _ in range(ids // 10_000):
        machine.apply(entry_of(options, 10_000))


def cpu_s(work: Callable[[], object]) -> float:
    start = time.thread_time()
    work()
    return time.thread_time() - start


def vote_us(machine: StateMachine, options: Sequence[str], votes: int, rounds: int) -> tuple[float, float]:
    entries = [entry_of(options, votes) for _ in range(rounds)]
    times = [cpu_s(lambda data=data: machine.apply(data)) / votes * 1e6 for data in entries]  # type: ignore[misc]  # bound now
    return statistics.median(times), min(times)


def report_votes(args: argparse.Namespace) -> None:
    print("apply, each vote with an id (microseconds a vote: median, best)")
    for options_count, polls in ((10, 1), (10, 1_000), (1_000, 1), (100_000, 1)):
        options = [f"option {i}" for i in range(options_count)]
        machine = new_machine(args.window, options, polls)
        fill(machine, options[:10], args.window + args.window // 2)
        median, best = vote_us(machine, options, args.votes, args.rounds)
        print(f"  {options_count:>7,} options, {polls:>5,} polls sharing them   {median:6.3f}  {best:6.3f}")


def report_whole(args: argparse.Namespace) -> None:
    options = [f"option {i}" for i in range(10)]
    machine = new_machine(args.window, options, 1)
    choices = list(map(choice_of, options))
    times = []
    for _ in range(args.rounds):
        commands: list[Command] = [
            entry.CastOnce(os.urandom(8), 1, choices, [(pick, 100) for pick in range(10)]) for _ in range(100)
        ]
        data = entry.encode_entry(1, [entry.encode_batch(commands)])
        times.append(cpu_s(lambda data=data: machine.apply(data)) / 100 * 1e6)  # type: ignore[misc]  # bound now
    median = statistics.median(times)
    print(f"apply, 1,000 votes under one idempotency key: {median:.1f} us a request, {median / 1000:.4f} us a vote")


def report_memory(args: argparse.Namespace) -> None:
    before_kib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    machine = new_machine(args.window, ["a", "b"], 1)
    for held in (args.window, args.window * 199 // 100):
        fill(machine, ["a", "b"], held - machine.dedup().held)
        view = machine.dedup()
        grown_mb = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kib) * 1024 / 1e6
        each = view.memory_bytes / args.window * 1e6 / 1e6
        print(
            f"memory with {view.held:,} ids held: {view.memory_bytes / 1e6:.1f} MB by getsizeof = {each:.1f} MB "
            f"a million protected ids; the process grew by {grown_mb:.0f} MB at its peak"
        )


class Stalls:
    """The longest time that a loop in this thread had to wait while `work` ran on another thread."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.longest_s = 0.0
        worker = threading.Thread(target=work)
        worker.start()
        last = time.perf_counter()
        while worker.is_alive():
            time.sleep(0.0005)
            now = time.perf_counter()
            self.longest_s = max(self.longest_s, now - last)
            last = now
        worker.join()


def report_snapshot(args: argparse.Namespace) -> None:
    options = [f"option {i}" for i in range(100)]
    machine = new_machine(args.window, options, 1_000)
    creating_s = cpu_s(
        lambda: apply(machine, entry.CreatePoll("big", "", [f"big {i}" for i in range(100_000)], "open", None, False))
    )
    closing_s = cpu_s(lambda: apply(machine, entry.SetPollState("big", "closed")))
    fill(machine, options, args.window)
    print(f"a state of {args.window:,} ids, 1,000 polls of 100 options, one of 100,000 (milliseconds: median, worst)")
    freezes = [cpu_s(machine.freeze) * 1000 for _ in range(args.rounds)]
    image = machine.freeze()
    encodes = [cpu_s(image.encode) * 1000 for _ in range(5)]
    data = image.encode()
    restores = [cpu_s(lambda: StateMachine.restore(data)) * 1000 for _ in range(5)]
    stalls = [Stalls(image.encode).longest_s * 1000 for _ in range(5)]
    for what, times in (
        ("freeze, on the loop", freezes),
        ("encode, on a thread", encodes),
        ("the loop's longest wait meanwhile", stalls),
        ("restore", restores),
    ):
        print(f"  {what:36} {statistics.median(times):8.1f} {max(times):8.1f}")
    print(
        f"  {len(data) / 1e6:.1f} MB; the poll of 100,000 options: created in {creating_s * 1000:.0f}, closed in "
        f"{closing_s * 1000:.0f} ms"
    )
    turns = [cpu_s(lambda: fill(machine, options, 10_000)) * 1000 for _ in range(args.window // 10_000)]
    ordinary, longest = statistics.median(turns), max(turns)
    print(f"  an entry of 10,000 votes: {ordinary:.0f} ms; where it turns the generations, {longest:.0f} ms")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--window", type=int, default=1_000_000, help="the dedup window")
    parser.add_argument("--votes", type=int, default=10_000, help="votes an entry")
    parser.add_argument("--rounds", type=int, default=20)
    args = parser.parse_args()
    random.seed(1)
    print(
        f"Python {platform.python_version()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; window "
        f"{args.window:,}, {args.votes:,} votes an entry, {args.rounds} rounds; {sys.platform}"
    )
    report_memory(args)  # first, because it is read from the peak memory of this process
    report_votes(args)
    report_whole(args)
    report_snapshot(args)


if __name__ == "__main__":
    main()
