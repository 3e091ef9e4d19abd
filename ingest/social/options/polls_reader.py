"""What polls can be read from: the cluster, or the database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from quorate.errors import TooLarge
from quorate.ingest.social.options.stream_poll import StreamPoll

OPTIONS_MAX = 1_000_000  # of all polls together: up to a gigabyte, with what they are found by
OPTION_TEXT_MAX = 32 * 1024 * 1024  # characters


@dataclass(frozen=True, slots=True)
class PollsRead:
    """`left_out` says why of polls that make no sense, by their ids. `ruled` are the ids for which the settings have
    rules, whether there are such polls or not."""

    polls: Sequence[StreamPoll]
    left_out: Mapping[str, str] = field(default_factory=dict)
    ruled: Collection[str] = ()


class PollsReader(Protocol):
    def read(self) -> PollsRead:
        """The open polls. Raises `QuorateError`, or `OSError`."""
        ...


class PollsNews(Protocol):
    """Whoever tells at once that polls have changed."""

    def start(self, on_news: Callable[[], None]) -> None:
        """`on_news` may be called from any thread, and too often."""
        ...

    def stop(self) -> None: ...


class BoundedPolls:
    """Collects polls as they are read, and refuses more than memory is meant for."""

    def __init__(self) -> None:
        self.polls: list[StreamPoll] = []
        self._options = self._characters = 0

    def add(self, poll: StreamPoll) -> None:
        self._options += len(poll.options)
        self._characters += sum(map(len, poll.options))
        if self._options > OPTIONS_MAX or self._characters > OPTION_TEXT_MAX:
            raise TooLarge(
                f"the open polls have over {OPTIONS_MAX:,} options together, or over {OPTION_TEXT_MAX:,} characters in "
                "them, which is more than a stream can look for; close some",
                limit=OPTIONS_MAX,
            )
        self.polls.append(poll)


class FixedPolls:
    def __init__(self, polls: Sequence[StreamPoll], ruled: Collection[str] = ()) -> None:
        self._polls, self._ruled = polls, ruled

    def read(self) -> PollsRead:
        return PollsRead(self._polls, ruled=self._ruled)
