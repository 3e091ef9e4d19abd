"""A network that says more than the stream can take: the reading waits, and nothing is missed."""

from __future__ import annotations

import json
from pathlib import Path

from quorate.ingest.social.networks.bluesky.network import Bluesky
from tests.doubles.social.firehose import FirehoseDouble
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for

POSTS, TAKEN = 30_000, 1_000
TEXT = "so much is said here " * 40  # together more than what the sockets' buffers hold


def test_a_reader_that_is_too_slow_is_sent_away_and_misses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "posts.ndjson"
    line = {"text": TEXT, "author": "ana", "tags": [], "is_edit": False}
    file.write_text("".join(json.dumps({"id": f"p{number}", **line}) + "\n" for number in range(POSTS)))
    inlet = SocialInlet(room=TAKEN)
    with FirehoseDouble(behind_max=TAKEN) as double:
        double.load(str(file), rate=100_000)
        with running(Bluesky([double.url]), inlet):
            wait_for("it is connected", lambda: inlet.connects)
            double.begin()
            wait_for("all is said, and little is taken", lambda: POSTS == double.seen()["said"] and inlet.posts)
            assert len(inlet.posts) < 2 * TAKEN
            inlet.take_more(2 * POSTS)
            wait_for("all is taken", lambda: POSTS == len({post.id for post in inlet.posts}), deadline_s=60)
        # More than once if it comes back, catches up, and falls behind again while there is more to say.
        assert ({"too_slow"}, []) == (set(inlet.reasons), inlet.losses)
        assert [] == double.violations
