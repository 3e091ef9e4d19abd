"""Error kinds: one spelling, and the older one for nodes and clients of 0.1.0."""

from __future__ import annotations

import re

import pytest

from quorate import errors
from quorate.errors import NoLeader, OutcomeUnknown, QuorateError

CLASSES: list[type[QuorateError]] = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, QuorateError)
]


@pytest.mark.parametrize("cls", CLASSES)
def test_a_kind_is_words_with_hyphens(cls: type[QuorateError]) -> None:
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", cls.kind)


@pytest.mark.parametrize("cls", CLASSES)
def test_what_is_sent_to_a_peer_is_read_as_the_same_class(cls: type[QuorateError]) -> None:
    assert cls is errors.class_of(errors.kind_for_peers(cls.kind))
    assert cls is errors.class_of(cls.kind)


@pytest.mark.parametrize("new", ["too-large", "unknown-poll", "unknown-option", "expired-id"])
def test_peers_get_the_spelling_of_0_1_0(new: str) -> None:
    old = new.replace("-", "_")
    assert (old, new) == (errors.kind_for_peers(new), errors.kind_from(old))
    assert errors.class_of(new) is errors.class_of(old) is not None


def test_a_kind_of_a_newer_version_has_no_class() -> None:
    assert errors.class_of("teapot") is None
    assert ("teapot", "teapot") == (errors.kind_for_peers("teapot"), errors.kind_from("teapot"))


def test_an_error_speaks_of_what_was_asked_and_no_other_one_does() -> None:
    voted = OutcomeUnknown("n1 did not answer").about("/votes")
    read = OutcomeUnknown("n1 did not answer").about("")
    refused = NoLeader("none").about("/polls/mood")
    assert ["It may or may not have been counted", OutcomeUnknown.title] == [voted.title, read.title]
    assert [("/votes", OutcomeUnknown), ("/polls/mood", NoLeader)] == [(e.asked, type(e)) for e in (voted, refused)]
    assert (NoLeader.title, "It is not known whether it was done") == (refused.title, OutcomeUnknown("").title)
