"""`quorate audit`: whether all nodes, and every sink, have what the cluster counted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.node_options import as_json, asks_nodes, client_of, print_json
from quorate.cli.numbers import NumberRange
from quorate.cli.output import change_is_made, echo
from quorate.cli.refusals import in_own_words
from quorate.exit_code import DONE, FAILED, INCONCLUSIVE
from quorate.words import count

if TYPE_CHECKING:
    from quorate.client.http import JsonClient
    from quorate.client.node_audit import NodesAudited

BEGUN_MAX = 4  # times, if another node leads meanwhile
LEADER_S = 5.0  # a failover is over sooner

Say = Callable[[str], None]


@click.command()
@click.option("--repair", is_flag=True, help="Write again, to the sinks, what differs there. Nodes are never repaired.")
@click.option(
    "--leader-timeout",
    "leader_s",
    type=NumberRange(0.1, 3600),
    default=LEADER_S,
    show_default=True,
    help="Seconds to wait for a leader. Without one, nodes are compared as they are, and no sink is.",
)
@as_json
@asks_nodes(timeout_s=60.0)
def audit(repair: bool, leader_s: float, as_json: bool, nodes: list[str], timeout_s: float) -> int:
    """Compare all nodes with each other, and every sink with the tallies.

    The nodes are asked for the digest of their state at one version, and for the chain of their logs at one index.
    The leader compares what stands in each sink with what it counted. Votes go on being counted meanwhile.

    Ends with exit code 0 if all agree (or were repaired), 1 if something differs, and 5 if something could not be told.
    """
    from quorate.client.node_audit import audit_nodes, compare_present

    leader_s = min(leader_s, timeout_s)
    with client_of(nodes, leader_s, shows_wait=False) as client, _progress(as_json) as say:
        say("asking who leads")
        led = _is_led(client)
        say(f"asking all nodes for the digest {'at one version' if led else 'that they have now'}")
        told = (audit_nodes if led else compare_present)(client, _open)
        sinks = _Sinks(client, timeout_s, repair, say).audited() if led else _untold(f"{NO_LEADER} {leader_s:g} s")
    if repair and led:
        change_is_made()
    verdict, code = _verdict(told, sinks, repair)
    if as_json:
        import msgspec

        print_json({"verdict": verdict, **msgspec.to_builtins(told), **sinks})
    else:
        _show(told, sinks)
        echo(_SENTENCES[verdict], *(() if led else [NEEDS_LEADER]))
    return code


NO_LEADER = "the leader compares them, and none was known within"
NEEDS_LEADER = "Without a leader no more could be compared. Which nodes are missing: quorate status. Then audit again."


def _is_led(client: JsonClient) -> bool:
    """Raises `Unreached` if no node is there to tell."""
    from quorate.client.error_replies import Unreached
    from quorate.errors import NoLeader

    try:
        client.leader()
    except Unreached:
        raise
    except NoLeader:
        return False
    return True


def _open(urls: Sequence[str], timeout_s: float) -> JsonClient:
    return client_of(list(urls), timeout_s, shows_wait=False)


_SENTENCES = {
    "agree": "All agree.",
    "repaired": "The sinks were repaired, and all agree now.",
    "differ": "Not all agree: see above.",
    "untold": "Nothing differs that could be compared, and not all could.",
}


class _Sinks:
    """The leader's comparison of the sinks, page after page."""

    def __init__(self, client: JsonClient, timeout_s: float, repair: bool, say: Say) -> None:
        self._client, self._timeout_s, self._say = client, timeout_s, say
        self._params = {"repair": ""} if repair else {}

    def audited(self) -> dict[str, Any]:
        """What was found in all pages. `why` says why nothing could be told."""
        from quorate.errors import NoLeader, OutcomeUnknown, QuorateError

        why = ""
        for _ in range(BEGUN_MAX):
            try:
                leader = self._client.leader()
                with _open([leader["http"]], self._timeout_s) as client:
                    return {"leader": leader["id"], **self._all_pages(client)}
            except (NoLeader, OutcomeUnknown) as error:  # it died, or another one leads by now: begin again
                why = in_own_words(error)
            except QuorateError as error:
                why = in_own_words(error)
                break
        return _untold(why)

    def _all_pages(self, client: JsonClient) -> dict[str, Any]:
        from quorate.errors import NoLeader

        sinks: dict[str, dict[str, Any]] = {}
        polls, after, term = 0, None, None
        while True:
            page = client.request("POST", "/audit", params={**self._params, "after": after}).json()
            if term not in (None, page["term"]):
                raise NoLeader("another leadership began during the audit")
            term, after = page["term"], page["next"]
            polls += page["polls"]
            for each in page["sinks"]:
                _add(sinks.setdefault(each["sink"], {"documents": 0, "differences": [], "undecided": []}), each)
            if after is None:
                return {"polls": polls, "sinks": sinks, "why": None}
            self._say(f"comparing the sinks: {count(polls, 'poll')} so far")


def _untold(why: str) -> dict[str, Any]:
    return {"leader": None, "polls": 0, "sinks": {}, "why": why}


def _add(sink: dict[str, Any], page: Mapping[str, Any]) -> None:
    sink["documents"] += page.get("documents", 0)
    sink["differences"] += page.get("differences", [])
    sink["undecided"] += page.get("undecided", [])
    if page.get("why"):
        sink["why"] = page["why"]


def _verdict(told: NodesAudited, sinks: Mapping[str, Any], repair: bool) -> tuple[str, int]:
    each_sink = sinks["sinks"].values()
    found = [difference for sink in each_sink for difference in sink["differences"]]
    if told.differ or any(not _is_settled(each, repair) for each in found):
        return "differ", FAILED
    if told.untold or sinks["why"] or any(sink["undecided"] or "why" in sink for sink in each_sink):
        return "untold", INCONCLUSIVE
    return ("repaired" if found else "agree"), DONE


def _is_settled(difference: Mapping[str, Any], repair: bool) -> bool:
    """An audit that repairs is done when all is right. One that looks tells what the flush has just mended, too."""
    return repair and difference.get("repaired", False)


def _show(told: NodesAudited, sinks: Mapping[str, Any]) -> None:
    for node in told.nodes:
        if node.differs:
            echo(f"node {node.id} differs: {node.differs}")
        elif node.why:
            echo(f"node {node.id} could not be compared: {node.why}")
    log = f", and one log up to entry {told.index:,}" if told.index else ""
    well = [node for node in told.nodes if node.version is not None and not (node.differs or node.why)]
    for version in sorted({node.version for node in well if node.version is not None}):
        ids = ", ".join(node.id for node in well if node.version == version)
        echo(f"{ids}: the same state at version {version:,}{log}")
    if sinks["why"]:
        echo(f"the sinks could not be compared: {sinks['why']}")
    elif not sinks["sinks"]:
        echo(f"{sinks['leader']} leads and has no sink (flush.sinks is empty)")
    for name, sink in sinks["sinks"].items():
        _show_sink(name, sink, sinks["polls"])


def _show_sink(name: str, sink: Mapping[str, Any], polls: int) -> None:
    if "why" in sink:
        echo(f"{name} could not be compared: {sink['why']}")
    for each in sink["differences"]:
        option = f", option {each['option']!r}" if "option" in each else ""
        values = "" if each["kind"] == "result" else _values(each)
        done = " (it is right now)" if each.get("repaired") else _hint(each["kind"])
        echo(f"{name} differs: poll {each['poll']!r}{option}: {each['words']}{values}{done}")
    for each in sink["undecided"]:
        echo(f"{name}: nothing can be told of poll {each['poll']!r}: {each['why']}")
    differ = {each["poll"] for each in sink["differences"]} | {each["poll"] for each in sink["undecided"]}
    if "why" not in sink:
        well = "all as the cluster has them" if not differ else f"all but {len(differ):,} as the cluster has them"
        echo(f"{name}: {count(sink['documents'], 'document')} of {count(polls, 'poll')}, {well}")


def _values(difference: Mapping[str, Any]) -> str:
    if "cluster" not in difference and "sink" not in difference:
        return ""
    return f": the cluster has {difference.get('cluster')!r}, the sink {difference.get('sink')!r}"


def _hint(kind: str) -> str:
    """What to do."""
    if kind == "by_hand":
        return ". Move it away by hand, if its numbers are to count nowhere"
    if kind == "unknown_poll":
        return ". Nobody writes it: remove it by hand"
    return ". Write it again: quorate audit --repair"


@contextmanager
def _progress(as_json: bool) -> Iterator[Say]:
    """On a terminal, what is being done."""
    if as_json or not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status("") as status:
        yield lambda text: status.update(text)
