"""Measures the matching of posts: `python -m bench.matching`. Each case runs in a process of its own, on one thread.

The posts are made up, with a seed: words by Zipf's law, hashtags, people, links, emoji, and some in other scripts. The
options are words of the same vocabulary, each seventh of two words, spread over common and rare ones.
"""

from __future__ import annotations

import argparse
import random
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post

SEED = 12
WORDS = 120_000
POSTS = 20_000
OPTIONS = (10, 1_000, 50_000)
SYLLABLES: list[str] = re.findall(
    r"\w+", "ka to mi ra lu sen pol gre bri ton ad est ver an o shi nel da cor ux be zul mo ta pe"
)
SMALL_WORDS: list[str] = re.findall(
    r"\S+", "the a I to and of is it my you in this for on that so not be just me with it's don't"
)
OTHER_SCRIPTS = (
    "東京タワーが好きです",
    "오늘 날씨가 좋다",
    "วันนี้อากาศดี",
    "нет, сегодня не так",
    "¡qué día más bonito!",
    "你好世界",
)
EMOJI = ("😂", "❤️", "🔥", "👍🏽", "👩‍💻", "🇫🇷")


class MatchingRow(msgspec.Struct):
    """`cpu_us` is of a post. `resident_bytes`: how much the process grew when the matcher was made."""

    match: str
    options: int
    posts_per_s: float
    cpu_us: float
    mentions: float
    build_s: float
    resident_bytes: int

    def line(self) -> str:
        speed = f"{self.posts_per_s:>9,.0f} posts/s, {self.cpu_us:5.1f} µs CPU and {self.mentions:.2f} mentions a post"
        size = f"made in {self.build_s:.2f} s, {self.resident_bytes / 1e6:.0f} MB"
        return f"{self.match:>9} {self.options:>7,} options: {speed}; {size}"


def vocabulary(chance: random.Random) -> list[str]:
    """The common ones first, and short."""
    words: dict[str, None] = {}
    while len(words) < WORDS:
        words["".join(chance.choices(SYLLABLES, k=min(5, 2 + int(chance.paretovariate(2)))))] = None
    return list(words)


def posts(chance: random.Random, words: Sequence[str], number: int) -> list[Post]:
    return [Post(str(each), _text(chance, words)) for each in range(number)]


def _text(chance: random.Random, words: Sequence[str]) -> str:
    parts = [_part(chance, words) for _ in range(chance.randint(4, 30))]
    if chance.random() < 0.15:
        parts.append(chance.choice(OTHER_SCRIPTS))
    return " ".join(parts).capitalize() + chance.choice(("", ".", "!", "?", " …"))


def _part(chance: random.Random, words: Sequence[str]) -> str:
    kind = chance.random()
    if kind < 0.45:
        return chance.choice(SMALL_WORDS)
    word = words[min(int(chance.paretovariate(0.7)) - 1, len(words) - 1)]
    if kind < 0.92:
        return word + ("," if kind < 0.5 else "")
    if kind < 0.96:
        return f"#{word.title()}"
    return f"@{word}" if kind < 0.98 else f"https://t.co/{word}" if kind < 0.99 else chance.choice(EMOJI)


def options(words: Sequence[str], number: int) -> tuple[str, ...]:
    """Every n-th word, beginning with one that is mentioned now and then."""
    step = (len(words) - 100) // number
    singles = [words[100 + step * each] for each in range(number)]
    return tuple(
        f"{word} {words[(each * 31) % len(words)]}" if each % 7 == 6 else word for each, word in enumerate(singles)
    )


def measure(match: str, number: int) -> MatchingRow:
    chance = random.Random(SEED)
    words = vocabulary(chance)
    made = posts(chance, words, POSTS)
    poll = StreamPoll("bench", options(words, number), Rules(match="substring" if match == "substring" else "words"))
    before, began_s = resident_bytes(), time.perf_counter()
    matcher = Matcher([poll])
    build_s, grown = time.perf_counter() - began_s, resident_bytes() - before
    mentions, (wall_s, cpu_s) = 0, (time.perf_counter(), time.process_time())
    for post in made:
        mentions += len(matcher.match(post))
    wall_s, cpu_s = time.perf_counter() - wall_s, time.process_time() - cpu_s
    return MatchingRow(match, number, POSTS / wall_s, cpu_s / POSTS * 1e6, mentions / POSTS, build_s, grown)


def resident_bytes() -> int:
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * 4096 if status.exists() else 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="the median by CPU counts")
    parser.add_argument("--case", nargs=2, metavar=("MATCH", "OPTIONS"), help="only this one, in this process")
    arguments = parser.parse_args()
    if arguments.case:
        print(msgspec.json.encode(measure(arguments.case[0], int(arguments.case[1]))).decode())
        return
    for match in ("words", "substring"):
        for number in OPTIONS:
            rows = [_alone(match, number) for _ in range(arguments.rounds)]
            print(sorted(rows, key=lambda row: row.cpu_us)[len(rows) // 2].line())


def _alone(match: str, number: int) -> MatchingRow:
    command = [sys.executable, "-m", "bench.matching", "--case", match, str(number)]
    return msgspec.json.decode(subprocess.run(command, check=True, capture_output=True).stdout, type=MatchingRow)


if __name__ == "__main__":
    main()
