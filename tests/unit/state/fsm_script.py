"""A small language for the state machine's tests: one line is a history, and its answer is the last command's outcome.

    poll mood happy sad [until 5000] | draft mood happy sad | writein mood [happy …] | import mood happy=3 sad=1
    open mood | close mood | archive mood | delete mood [3]      3 is the number of the creation that is meant
    knows 3                             the newest poll that took a used name, as far as the next proposers know
    vote u1 happy [in mood] [x5]        u1 is the id; - is a vote without one
    once k1 happy*3 sad [in mood]       a whole request under an idempotency key
    share 2                             the share of the dedup window that the votes which follow are in
    producer p | renew p | forget p | batch p 1 1 happy*3        epoch and sequence
    at 5000                             the leader's time of the commands that follow
    window 3 | generation | nothing

Each command is an entry of its own.
"""

from __future__ import annotations

from array import array

from quorate.cluster import entry
from quorate.cluster.entry import Choice, Command, Result
from quorate.cluster.fsm import Applied, StateMachine
from quorate.vote import Outcome

KEY = b"k" * 16
STATES: dict[str, entry.State] = {"open": "open", "close": "closed", "archive": "archived", "draft": "draft"}


def id_hash(id: str) -> bytes:
    return entry.hash_id(id, KEY)


def choice(option: str, poll: str | None = None, weight: int = 1) -> Choice:
    return Choice(option, poll, weight, entry.fingerprint_of(option, poll, weight))


def cast(votes: list[tuple[str | None, Choice]]) -> entry.CastVotes:
    """Votes as (id, choice). Votes without an id are counted after the others."""
    choices = list(dict.fromkeys(choice for _, choice in votes))
    with_ids = [(id, choices.index(choice)) for id, choice in votes if id is not None]
    return entry.CastVotes(
        choices,
        b"".join(id_hash(id) for id, _ in with_ids),
        array("I", [pick for _, pick in with_ids]).tobytes(),
        [(choices.index(choice), 1) for id, choice in votes if id is None],
    )


def sums_of(words: list[str], poll: str | None) -> tuple[list[Choice], list[tuple[int, int]]]:
    pairs = [word.partition("*") for word in words]
    choices = [choice(option, poll) for option, _, _ in pairs]
    return choices, [(pick, int(votes or 1)) for pick, (_, _, votes) in enumerate(pairs)]


def once(key: str, words: list[str], poll: str | None = None) -> entry.CastOnce:
    choices, sums = sums_of(words, poll)
    body = entry.fingerprint_of_body([(choices[pick], votes) for pick, votes in sums])
    return entry.CastOnce(id_hash(key), body, choices, sums)


def batch(producer: str, epoch: int, sequence: int, words: list[str], poll: str | None = None) -> entry.CastSession:
    choices, sums = sums_of(words, poll)
    body = entry.fingerprint_of_body([(choices[pick], votes) for pick, votes in sums])
    return entry.CastSession(producer, epoch, sequence, body, choices, sums)


def poll(
    id: str,
    options: list[str],
    state: entry.State = "open",
    *,
    title: str = "",
    closes_at_ms: int | None = None,
    write_ins: bool = False,
) -> entry.CreatePoll:
    return entry.CreatePoll(id, title, options, state, closes_at_ms, write_ins)


class Script:
    """Plays histories on one state machine."""

    def __init__(self, machine: StateMachine | None = None, *, window: int = 100) -> None:
        self.machine = machine or StateMachine()
        self.time_ms = 1_000
        self.seen = 0
        self.share = 0
        if machine is None:
            self.do(entry.FormCluster("c1", KEY, window))

    def apply(self, *commands: Command) -> Applied:
        knew: list[Command] = [entry.Seen(self.seen)] if self.seen else []
        share: list[Command] = [entry.InShare(self.share)] if self.share else []
        batch = entry.encode_batch([*knew, *share, *commands])
        return self.machine.apply(entry.encode_entry(self.time_ms, [batch]))

    def do(self, command: Command) -> Result:
        return self.apply(command).results[0][-1]

    def play(self, history: str) -> str:
        """Play every step. Returns the outcome of the last one."""
        outcome = ""
        for step in filter(None, map(str.strip, history.split(";"))):
            words = step.split()
            if words[0] == "at":
                self.time_ms = int(words[1])
            elif words[0] == "knows":
                self.seen = int(words[1])
            elif words[0] == "share":
                self.share = int(words[1])
            else:
                outcome = word_of(self.do(command_of(words)))
        return outcome


def command_of(words: list[str]) -> Command:
    verb, *rest = words
    match verb:
        case "vote":
            return _vote(rest)
        case "once" | "batch":
            rest, where = _cut(rest, "in")
            return (
                once(rest[0], rest[1:], where)
                if verb == "once"
                else batch(rest[0], int(rest[1]), int(rest[2]), rest[3:], where)
            )
        case "producer":
            return entry.OpenProducer(rest[0])
        case "renew":
            return entry.RenewProducer(rest[0])
        case "forget":
            return entry.ForgetProducer(rest[0], int(rest[1]) if rest[1:] else None)
        case "delete":
            return entry.DeletePoll(rest[0], int(rest[1]) if rest[1:] else None)
        case "window":
            return entry.SetDedupWindow(int(rest[0]))
        case "generation":
            return entry.RaiseGeneration("a test")
        case "nothing":
            return entry.CastVotes([])
        case _:
            return _poll(verb, rest)


def _vote(words: list[str]) -> Command:
    words, weight = (words[:-1], int(words[-1][1:])) if words[-1][:1] == "x" and words[-1][1:].isdigit() else (words, 1)
    words, where = _cut(words, "in")
    id, option = words
    return cast([(None if id == "-" else id, choice(option, where, weight))])


def _poll(verb: str, words: list[str]) -> Command:
    words, until = _cut(words, "until")
    id, *options = words
    closes_at_ms = None if until is None else int(until)
    if verb == "import":
        pairs = [option.split("=") for option in options]
        initial_results = [int(votes) for _, votes in pairs]
        return entry.CreatePoll(id, "", [option for option, _ in pairs], "open", None, False, initial_results, True)
    if verb == "poll" or (verb == "draft" and options):
        return poll(id, options, "open" if verb == "poll" else "draft", closes_at_ms=closes_at_ms)
    if verb == "writein":
        return poll(id, options, write_ins=True, closes_at_ms=closes_at_ms)
    return entry.SetPollState(id, STATES[verb])


def _cut(words: list[str], word: str) -> tuple[list[str], str | None]:
    """Split off `word X` at the end."""
    return (words[:-2], words[-1]) if words[-2:-1] == [word] else (words, None)


def word_of(result: Result) -> str:
    """The result as a word."""
    match result:
        case entry.VotesResult():
            return Outcome((result.outcomes + result.plain or b"\0")[0]).reason
        case entry.WholeResult():
            return Outcome(result.outcome).reason
        case entry.PollResult():
            return result.what
        case entry.ProducerResult():
            return f"epoch {result.epoch} after {result.sequence}"
        case entry.Done():
            return str(result.value)
        case entry.ForgetResult():
            return result.what
        case entry.Refused():
            return "refused"
