"""A file of posts: read once, in whatever form, at whatever speed, and refused if what was read has changed."""

from __future__ import annotations

import gzip
import json
import os
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from quorate.errors import Conflict, Invalid
from quorate.ingest.social.networks.replay import ReplayNetwork
from quorate.ingest.social.reading.compressed import zstd
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for

POSTS = 3_000  # more than are read at once


def lines(count: int = POSTS, *, first: int = 0, apart_ms: int = 0) -> bytes:
    posts = [{"id": f"p{n}", "text": f"text {n}", "created_ms": 1 + n * apart_ms} for n in range(first, first + count)]
    return b"".join(json.dumps(post).encode() + b"\n" for post in posts)


def read(path: Path, positions: dict[str, str] | None = None, *, skip_bad: bool = False) -> SocialInlet:
    inlet = SocialInlet()
    ReplayNetwork(path, skip_bad=skip_bad).run(inlet, positions or {})
    return inlet


def two_members(text: bytes) -> bytes:
    half = len(text) // 2
    return gzip.compress(text[:half]) + gzip.compress(text[half:])


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd.compress, two_members])
def test_all_posts_are_read_in_order_whatever_packed_them(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    """Its name tells nothing."""
    (tmp_path / "posts.txt").write_bytes(pack(lines()))
    assert [f"text {n}" for n in range(POSTS)] == read(tmp_path / "posts.txt").texts


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_cut_file_is_told_as_that(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / "posts").write_bytes(pack(lines())[:-20])
    with pytest.raises(Invalid, match="posts is damaged"):
        read(tmp_path / "posts")


def test_it_goes_on_after_any_position_in_another_packing_too(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines())
    whole = read(posts)
    assert len(whole.moves) > 2
    posts.write_bytes(zstd.compress(lines()))
    for read_before, positions in whole.moves:
        assert whole.texts[read_before:] == read(posts, positions).texts


def test_a_file_that_has_grown_goes_on(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(10))
    before = read(posts)
    posts.write_bytes(lines(12))
    assert ["text 10", "text 11"] == read(posts, before.positions).texts


def test_a_file_whose_last_line_had_no_end_goes_on_when_it_has_grown(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(10).removesuffix(b"\n"))
    before = read(posts)
    assert 10 == len(before.posts)
    posts.write_bytes(lines(12))
    assert ["text 10", "text 11"] == read(posts, before.positions).texts


@pytest.mark.parametrize("position", ["garbage", "[1]", '{"line": "1"}', '{"line": -1, "digest": ""}', "{"])
def test_a_position_that_makes_no_sense_is_told_as_that(tmp_path: Path, position: str) -> None:
    (tmp_path / "posts").write_bytes(lines(10))
    with pytest.raises(Invalid, match=r"the position that was kept makes no sense .*--new"):
        read(tmp_path / "posts", {"": position})


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (lines(4) + lines(8, first=3), "changed in its first 10 lines"),
        (lines(9), "has 9 lines, and 10 were read already"),
        (b"", "has 0 lines, and 10 were read already"),
    ],
)
def test_a_file_that_has_changed_is_refused(tmp_path: Path, now: bytes, words: str) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(10))
    before = read(posts)
    posts.write_bytes(now)
    inlet = SocialInlet()
    with pytest.raises(Conflict, match=words):
        ReplayNetwork(posts).run(inlet, before.positions)
    assert [] == inlet.posts


BAD = [
    (b"not JSON: my secret", "JSON is malformed"),
    (b'{"id": "1"}', "missing required field `text`"),
    (b'{"id": 1, "text": "my secret"}', "Expected `str`, got `int`"),
    (b'{"id": "", "text": "my secret"}', "its id is empty"),
    (b'{"id": "1", "text": "\xff my secret"}', "not UTF-8"),
    (b'{"id": "1", "text": "' + b"my secret" * 40_000 + b'"}', "longer than 262,144 bytes"),
]


@pytest.mark.parametrize(("bad", "words"), BAD)
def test_a_bad_line_is_told_by_its_number_without_its_text_and_goes_on_when_it_is_corrected(
    tmp_path: Path, bad: bytes, words: str
) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(3) + bad + b"\n" + lines(2, first=4))
    inlet = SocialInlet()
    with pytest.raises(Invalid, match=f"line 4 is no post: .*{words}") as raised:
        ReplayNetwork(posts).run(inlet, {})
    assert "secret" not in raised.value.detail
    posts.write_bytes(lines(6))
    assert ["text 3", "text 4", "text 5"] == read(posts, inlet.positions).texts


def test_bad_lines_are_passed_over_if_that_is_asked_for(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(b"\n".join([b"", lines(1), *(line for line, _ in BAD)]))
    network, inlet = ReplayNetwork(posts, skip_bad=True), SocialInlet()
    network.run(inlet, {})
    assert ["text 0"] == inlet.texts
    assert len(BAD) == network.bad_lines
    assert [4, 5, 6, 7, 8, 9] == [number for number, _ in network.bad]
    assert [] == read(posts, inlet.positions, skip_bad=True).posts


@pytest.mark.parametrize(("speed", "seconds"), [(1.0, 10.0), (4.0, 2.5)])
def test_the_posts_come_as_far_apart_as_they_were_written(tmp_path: Path, speed: float, seconds: float) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(11, apart_ms=1_000))
    inlet = SocialInlet()
    began_s = inlet.clock()
    ReplayNetwork(posts, speed=speed, clock=inlet.clock).run(inlet, {})
    assert 1 <= len(inlet.pauses) <= 10
    # What the reading itself takes is no pause, so on a busy machine the pauses are shorter.
    assert sum(inlet.pauses) <= seconds + 0.001
    assert seconds - 0.001 <= inlet.clock() - began_s
    assert list(range(1, 12)) == sorted({posts for posts, _ in inlet.moves} - {0})


def test_a_new_text_of_a_post_is_no_post(tmp_path: Path) -> None:
    edit = b'{"id": "p0", "text": "another text", "is_edit": true}\n'
    (tmp_path / "posts").write_bytes(lines(1) + edit + lines(1, first=1))
    assert ["text 0", "text 1"] == read(tmp_path / "posts").texts


def test_a_file_whose_name_is_no_text_has_a_source_that_is(tmp_path: Path) -> None:
    """Its position is kept under it, and it is shown."""
    posts = tmp_path / os.fsdecode(b"posts\xff")
    posts.write_bytes(lines(1))
    assert f"{tmp_path}/posts\\udcff" == ReplayNetwork(posts).source
    assert ["text 0"] == read(posts).texts


def test_made_up_posts_are_shown_as_such(tmp_path: Path) -> None:
    posts = tmp_path / "posts"
    posts.write_bytes(lines(2))
    network = ReplayNetwork(posts)
    network.run(SocialInlet(), {})
    assert {} == network.figures()
    posts.write_bytes(lines(2) + b'{"id": "s1", "text": "so happy", "synthetic": true}\n')
    network = ReplayNetwork(posts)
    network.run(SocialInlet(), {})
    assert {"synthetic_posts": 1} == network.figures()


def has(inlet: SocialInlet, posts: int) -> bool:
    return len(inlet.posts) == posts


def test_a_file_is_followed_while_others_write_it(tmp_path: Path) -> None:
    posts, inlet = tmp_path / "posts", SocialInlet()
    posts.write_bytes(b"")
    with running(ReplayNetwork(posts, follow=True), inlet), posts.open("ab") as writer:
        for number in range(3):
            line = lines(1, first=number)
            for part in (line[:10], line[10:]):
                writer.write(part)
                writer.flush()
            wait_for("it is read", partial(has, inlet, number + 1))
    assert ["text 0", "text 1", "text 2"] == inlet.texts
    goes_on = SocialInlet()
    with running(ReplayNetwork(posts, follow=True), goes_on, inlet.positions):
        with posts.open("ab") as writer:
            writer.write(lines(1, first=3))
        wait_for("it goes on", lambda: goes_on.texts == ["text 3"])


def test_a_followed_file_that_is_cut_is_told(tmp_path: Path) -> None:
    posts, inlet = tmp_path / "posts", SocialInlet()
    posts.write_bytes(lines(5))
    cut = threading.Thread(target=lambda: wait_for("all is read", lambda: inlet.posts) and posts.write_bytes(lines(1)))
    cut.start()
    with pytest.raises(Conflict, match="was cut while it was read"):
        ReplayNetwork(posts, follow=True).run(inlet, {})
    cut.join()


def test_a_followed_file_that_is_shorter_than_what_was_read_is_told_at_once(tmp_path: Path) -> None:
    """Somebody began a new one in its place. Its posts would be taken for those that were read."""
    posts = tmp_path / "posts"
    posts.write_bytes(lines(5))
    before = read(posts)
    posts.write_bytes(lines(2, first=5))
    with pytest.raises(Conflict, match="has 2 lines, and 5 were read already"):
        ReplayNetwork(posts, follow=True).run(SocialInlet(), before.positions)


def test_a_followed_file_that_another_one_replaces_is_read_to_its_end_and_that_is_told(tmp_path: Path) -> None:
    posts, inlet, old = tmp_path / "posts", SocialInlet(), tmp_path / "posts.1"
    posts.write_bytes(lines(5))

    def rotate() -> None:
        wait_for("all is read", lambda: has(inlet, 5))
        posts.rename(old)
        with old.open("ab") as writer:
            writer.write(lines(1, first=5))
        wait_for("its writer is waited for", lambda: has(inlet, 6))
        posts.write_bytes(lines(1, first=6))

    rotating = threading.Thread(target=rotate)
    rotating.start()
    with pytest.raises(Conflict, match="posts was replaced by another file"):
        ReplayNetwork(posts, follow=True).run(inlet, {})
    rotating.join()
    assert has(inlet, 6)


@pytest.mark.parametrize("pack", [gzip.compress, zstd.compress])
def test_a_packed_file_is_followed_as_far_as_it_is_written(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    posts, inlet = tmp_path / "posts", SocialInlet()
    posts.write_bytes(pack(lines(5)))
    with running(ReplayNetwork(posts, follow=True), inlet):
        wait_for("what is there is read", lambda: has(inlet, 5))
        with posts.open("ab") as writer:
            writer.write(pack(lines(2, first=5)))
        wait_for("what comes is read", lambda: has(inlet, 7))


def test_a_named_pipe_is_followed_from_one_writer_to_the_next_and_has_no_position(tmp_path: Path) -> None:
    pipe, inlet = tmp_path / "pipe", SocialInlet()
    os.mkfifo(pipe)
    with running(ReplayNetwork(pipe, follow=True), inlet):
        for number in range(2):
            with pipe.open("wb") as writer:
                writer.write(lines(1, first=number))
            wait_for("it is read", partial(has, inlet, number + 1))
    assert {} == inlet.positions


def test_a_stop_ends_it_between_two_posts(tmp_path: Path) -> None:
    (tmp_path / "posts").write_bytes(lines(3, apart_ms=3_600_000))
    inlet = SocialInlet()
    with running(ReplayNetwork(tmp_path / "posts", speed=1.0), inlet):
        wait_for("the first post has come", lambda: inlet.posts)
