"""Twitter's connections between two threads: the companion replaces one while the reader has connected anew."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from quorate.ingest.social.network import Terms
from quorate.ingest.social.networks.twitter.connections import Connections
from quorate.ingest.social.networks.twitter.filter_stream import FilterStream
from quorate.ingest.social.networks.twitter.succession import Succession
from quorate.ingest.social.networks.twitter.track import Track, TrackLimits, track_of
from quorate.ingest.social.reading.pauses import ReconnectPauses
from tests.support.social_inlet import SocialInlet


class TrackedStream(FilterStream):
    """It is never connected."""

    def __init__(self, *phrases: str) -> None:
        self.track = Track(phrases)
        self.is_woken = False

    def wake(self) -> None:
        self.is_woken = True

    def close(self) -> None:
        pass


class StagedConnections(Connections):
    """What the reader does, turn by turn: while the companion waits for a connection, and when it has just got one."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[tuple[Callable[[], None], Callable[[], None]]] = []

    def settled(self, timeout_s: float) -> FilterStream | None:
        meanwhile, then = self.turns.pop(0)
        meanwhile()
        found = super().settled(timeout_s)
        then()
        return found

    def give_up(self, old: FilterStream) -> None:
        super().give_up(old)
        self.close()


def nothing() -> None:
    pass


def followed(inlet: SocialInlet, connections: Connections, *, refused: int = 0) -> list[Track]:
    """Which successors are opened until the network ends, as it does after the first one."""
    opened: list[Track] = []

    def open_stream(track: Track) -> FilterStream:
        opened.append(track)
        connections.close()
        return TrackedStream(*track.phrases)

    def track(terms: Terms) -> Track:
        return track_of(terms.texts, TrackLimits())

    Succession(inlet, connections, track, open_stream, ReconnectPauses(), drain_s=0.0, _refused=refused).follow()
    return opened


@pytest.mark.parametrize("refused", [0, 2])
def test_a_connection_with_newer_options_is_not_replaced_by_one_with_older_options(refused: int) -> None:
    """Its posts would be lost until the newer options are asked for again. `refused`: the old one is closed first."""
    inlet, connections, newer = SocialInlet("happy"), StagedConnections(), TrackedStream("sad")

    def connects_with_newer_options() -> None:
        inlet.change("sad")
        connections.begin(newer)

    connections.turns = [(connects_with_newer_options, nothing), (connections.close, nothing)]
    assert ([], False) == (followed(inlet, connections, refused=refused), newer.is_woken)


def test_a_connection_that_ends_just_now_has_no_successor() -> None:
    """The reader pauses, as the documents ask for, and connects with the options of then."""
    inlet, connections = SocialInlet("happy", "sad"), StagedConnections()
    old, newer = TrackedStream("happy"), TrackedStream("happy", "sad")
    connections.turns = [
        (lambda: connections.begin(old), connections.end),
        (lambda: connections.begin(newer), connections.close),
    ]
    assert [] == followed(inlet, connections)
