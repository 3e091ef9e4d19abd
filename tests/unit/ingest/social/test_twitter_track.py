"""From options to the phrases that Twitter v1.1 looks for."""

from __future__ import annotations

import pytest

from quorate.ingest.social.networks.twitter.track import TrackLimits, track_of

LIMITS = TrackLimits(phrases=3, phrase_bytes=12)


@pytest.mark.parametrize(
    ("texts", "track"),
    [
        (["happy", "sad"], "happy,sad"),
        (["very sad", "happy"], "very sad,happy,verysad"),
        (["a b", "c d", "e f"], "a b,c d,e f"),
        (["Happy", "HAPPY", "happy"], "Happy"),
        (["yes, of\tcourse"], "yes course,yesofcourse"),
        (["a,b"], "a b,ab"),
        (["an extremely long one"], "an extremely"),
        (["#Mood"], "Mood"),
        (["sad!!", "(so)"], "sad,so"),
        (["Ben & Joe's"], "Ben Joe's"),
        (["C++", "$C"], "C"),
        (["👍🏽", "_a_"], "👍🏽,_a_"),
        (["?!"], "?!"),
        (["日本語"], "日本語"),
        ([], ""),
    ],
)
def test_phrases(texts: list[str], track: str) -> None:
    found = track_of(texts, LIMITS)
    assert (track, "") == (str(found), found.left_out)


@pytest.mark.parametrize("text", ["x" * 13, "日本語日本", ",", " , "])
def test_what_no_phrase_can_be_is_told(text: str) -> None:
    found = track_of(["happy", text], LIMITS)
    assert "happy" == str(found)
    assert "1 option of 2 cannot be asked for" in found.left_out


def test_what_is_over_the_limit_is_told() -> None:
    found = track_of(["a", "b", "c", "d", "A"], LIMITS)
    assert "a,b,c" == str(found)
    assert "there are 4 options" in found.left_out
