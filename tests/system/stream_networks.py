"""The networks that posts come from in `stream_chain.py`: doubles that speak their protocols, and a file."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from quorate.ingest.social.synthetic.posts import ALL_KINDS, LineShares
from tests.system.double_process import DoubleProcess

KEPT = 50  # posts of a part that a network still has when the next part comes
OFTEN = 0.8  # so many times as many posts as there are for each hang-up come before it, at the most


class ChainNetwork(Protocol):
    """`shares`: of which kinds its posts are."""

    shares: LineShares

    def start(self) -> None: ...

    def close(self) -> None: ...

    def arguments(self) -> list[str]:
        """Of `quorate stream`."""
        ...

    def publish(self, file: Path) -> None:
        """Say what the lines of the file say, which `quorate stream generate` could have written."""
        ...

    def forget(self) -> None:
        """What was said, but for the last of it."""
        ...

    def hang_up_often(self, times: int, seed: int, posts: int) -> None:
        """Break so many connections at random, in the course of so many posts."""
        ...

    def connections(self) -> int: ...

    def violations(self) -> list[str]:
        """What the stream did wrong."""
        ...

    def tail(self) -> str: ...


class _Double:
    def __init__(self, name: str, folder: Path) -> None:
        self.process = DoubleProcess(name, folder)

    def close(self) -> None:
        self.process.close()

    def publish(self, file: Path) -> None:
        self.process.order("publish_posts", file=str(file))

    def forget(self) -> None:
        self.process.order("forget", keep=KEPT)

    def connections(self) -> int:
        return int(self.process.seen()["connections"])

    def violations(self) -> list[str]:
        return list(self.process.seen()["violations"])

    def tail(self) -> str:
        return self.process.tail(8)


class Wikimedia(_Double):
    """It has all kinds, but that nobody edits what was said: an edit is a change of its own."""

    shares = ALL_KINDS
    POST_BYTES = 900

    def __init__(self, folder: Path) -> None:
        super().__init__("wikimedia", folder)

    def start(self) -> None:
        self.process.start("--changes=0")

    def arguments(self) -> list[str]:
        return ["wikimedia", f"--url={self.process.base}/v2/stream/recentchange", "--from=2020-01-01"]

    def hang_up_often(self, times: int, seed: int, posts: int) -> None:
        within = int(posts * self.POST_BYTES / max(1, times) * OFTEN)
        self.process.order("hang_up_often", times=times, seed=seed, within_bytes=within)


class Jetstream(_Double):
    """Who repeats a post there writes none."""

    shares = LineShares(reposts=0.0, repeats=0.0)

    def __init__(self, folder: Path) -> None:
        super().__init__("jetstream", folder)

    def start(self) -> None:
        self.process.start()

    def arguments(self) -> list[str]:
        return ["bluesky", f"--url={self.process.base.replace('http', 'ws', 1)}"]

    def hang_up_often(self, times: int, seed: int, posts: int) -> None:
        self.process.order("fail_often", times=times, seed=seed, within=int(posts / max(1, times) * OFTEN))


class Replay:
    """A file that grows, and is followed. It has no connections."""

    shares = ALL_KINDS

    def __init__(self, folder: Path) -> None:
        self._file = folder / "posts.ndjson"

    def start(self) -> None:
        self._file.touch()

    def close(self) -> None: ...

    def arguments(self) -> list[str]:
        return ["replay", str(self._file), "--follow"]

    def publish(self, file: Path) -> None:
        with self._file.open("ab") as opened:
            opened.write(file.read_bytes())

    def forget(self) -> None: ...

    def hang_up_often(self, times: int, seed: int, posts: int) -> None: ...

    def connections(self) -> int:
        return 0

    def violations(self) -> list[str]:
        return []

    def tail(self) -> str:
        return ""


NETWORKS: dict[str, type[Wikimedia | Jetstream | Replay]] = {
    "wikimedia": Wikimedia,
    "jetstream": Jetstream,
    "replay": Replay,
}
