"""Text that others wrote, as people are shown it."""

from __future__ import annotations

import json

import pytest

from quorate import shown

SCOTLAND = "\U0001f3f4\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("n1 says: 3 votes", "n1 says: 3 votes"),
        ("Grüße an 東京 und 👩\u200d💻", "Grüße an 東京 und 👩\u200d💻"),
        (SCOTLAND, SCOTLAND),
        ("a\nb", r"a\nb"),
        ("a\r\x1b[2Jb", r"a\r\x1b[2Jb"),
        ("\x9b31m\x7f", r"\x9b31m\x7f"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b\u2066c\ufeff", r"a\u2028b\u2066c\ufeff"),
        ("\ud800", r"\ud800"),
        ("hidden \U000e0041", r"hidden \U000e0041"),
        ("nothing\u3164to\u2800see", r"nothing\u3164to\u2800see"),
        ("x" * 5_000, "x" * 4_000 + "… (5,000 characters)"),
    ],
)
def test_a_line_is_one_line_and_acts_on_no_terminal(text: str, expected: str) -> None:
    assert expected == shown.line(text)
    shown.line(text).encode()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("http://127.0.0.1:8500/v1", "http://127.0.0.1:8500/v1"),
        ("consul at http://user:secret@c:8500: no", "consul at http://***@c:8500: no"),
        ("mongodb://user:se/cr:et@a,b/db", "mongodb://***@a,b/db"),
        ("http://user:se@cret@host", "http://***@host"),
        ("https://token@host/x and http://a:b@c", "https://***@host/x and http://***@c"),
        ("https://mastodon.social/@user", "https://mastodon.social/@user"),
        ("write to ann@example.org", "write to ann@example.org"),
    ],
)
def test_what_stands_before_the_at_of_a_url_is_masked(text: str, expected: str) -> None:
    assert (expected, expected, expected) == (shown.without_userinfo(text), shown.line(text), shown.lines(text))


@pytest.mark.parametrize("text", ["\n" * 3_990, "\U000e0001" * 3_990, "\n" * 1_000_000])
def test_a_line_is_no_longer_for_its_escapes(text: str) -> None:
    shown_text = shown.line(text)
    assert len(shown_text) < shown.LINE_MAX + 50
    assert f"({len(text):,} characters)" in shown_text


@pytest.mark.parametrize("length", [500, 5_000, 200_000])
def test_a_password_of_any_length_is_masked(length: int) -> None:
    """Access tokens that stand in for passwords have some thousand characters."""
    text = f"mongodb://user:{'s3cret' * (length // 6)}@db.example/x and more"
    assert "mongodb://***@db.example/x and more" == shown.without_userinfo(text)
    assert "s3cret" not in shown.line(text)
    assert "s3cret" not in shown.lines(text)


def test_masking_takes_no_time_to_speak_of_whatever_the_text_is() -> None:
    """Of a million characters: a step for each pair of them would take hours."""
    for text in (
        "://" * 300_000,
        "://a:" * 200_000,
        "://" + "a" * 1_000_000,
        "://a:b" * 160_000 + "@",
        "@://" * 250_000,
    ):
        shown.without_userinfo(text)


def test_a_cut_never_uncovers_a_password() -> None:
    text = "x" * (shown.LINE_MAX - 20) + "http://user:a-long-secret@host"
    assert "secret" not in shown.line(text)


def test_lines_keep_their_breaks() -> None:
    assert "one\n\ttwo\\x1b[31m" == shown.lines("one\n\ttwo\x1b[31m")


def test_json_stays_the_same_json() -> None:
    value = {"a\x7f\x9b": ["\u202eb", "\U000e0041", "plain\n", SCOTLAND]}
    text = json.dumps(value, ensure_ascii=False, indent=2)
    found = shown.json_text(text)
    assert value == json.loads(found)
    assert not {"\x7f", "\x9b", "\u202e", "\U000e0041"} & set(found)
