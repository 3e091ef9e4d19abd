"""The file of tokens: what it may hold, and that a token is found by nothing but itself."""

from __future__ import annotations

import pytest

from quorate.errors import ConfigError
from quorate.security.roles import RANKS, highest
from quorate.security.tokens import Token, hash_of, new_secret, read_tokens, share_for

ONE = '[[token]]\nname = "{name}"\nrole = "{role}"\nhash = "{hash}"\n{more}\n'


def table(name: str = "ann", role: str = "vote", hash: str = hash_of("s1"), more: str = "") -> str:  # noqa: A002
    return ONE.format(name=name, role=role, hash=hash, more=more)


def test_a_token_is_found_by_its_secret_alone() -> None:
    tokens = read_tokens(table() + table("bob", "operate", hash_of("s2")))
    ann, bob = tokens.find(b"s1"), tokens.find(b"s2")
    assert ann is not None
    assert bob is not None
    assert (("ann", "vote", None), ("bob", "operate", None)) == (
        (ann.name, ann.role, ann.polls),
        (bob.name, bob.role, bob.polls),
    )
    assert [None] * 4 == [tokens.find(secret) for secret in (b"", b"s3", b"s1 ", hash_of("s1").encode())]


def test_a_name_may_have_two_tokens_while_one_is_renewed() -> None:
    tokens = read_tokens(table() + table(hash=hash_of("s2")))
    assert ["ann", "ann"] == [token.name for token in tokens]


def test_polls_are_kept_in_the_spelling_of_polls() -> None:
    (token,) = read_tokens(table(more='polls = ["mood", "cafe\\u0301"]'))
    assert frozenset({"mood", "caf\u00e9"}) == token.polls


def test_a_token_that_changed_is_not_still_there() -> None:
    before, after = read_tokens(table()), read_tokens(table(role="read"))
    (token,) = before
    assert (True, False) == (before.still_has(token), after.still_has(token))


def test_a_token_has_bounds_only_if_its_line_says_so() -> None:
    (plain,), (bound,) = read_tokens(table()), read_tokens(table(more="share = 8\nrate = 0.5\nburst = 20"))
    assert ((0, None, 0.0), (8, 0.5, 20.0)) == tuple((token.share, token.rate, token.burst) for token in (plain, bound))
    assert read_tokens(table()).still_has(bound), "with other bounds it is the same token: its streams go on"


@pytest.mark.parametrize(
    ("there", "name", "role", "expected"),
    [
        ([], "ann", "vote", 1),
        ([], "ann", "manage", 1),
        ([], "ann", "read", 0),
        ([], "ann", "operate", 0),
        ([("bob", 1), ("carl", 3)], "ann", "vote", 2),
        ([("bob", 1), ("ann", 3)], "ann", "vote", 3),
        ([("bob", 0)], "ann", "vote", 1),
        ([("bob", share) for share in range(1, 9)], "ann", "vote", 0),
        ([("ann" if share == 5 else "bob", share) for share in range(1, 9)], "ann", "vote", 5),
    ],
)
def test_a_new_token_gets_a_share_that_no_other_name_has(
    there: list[tuple[str, int]], name: str, role: str, expected: int
) -> None:
    tokens = [Token(owner, "vote", bytes([number]) * 32, share=share) for number, (owner, share) in enumerate(there)]
    assert expected == share_for(tokens, name, role)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("token = 1", "[[token]]"),
        ("[token]", "[[token]]"),
        ("[[tokens]]", "nothing but"),
        ("[[token", "not TOML"),
        (table(name="a b"), "token 1 needs a name"),
        (table(name="a" * 33), "token 1 needs a name"),
        (table(name="a\\n"), "token 1 needs a name"),
        (table(role="admin"), "needs a role, one of read, vote, manage, operate"),
        (table(hash="s1"), "needs a hash"),
        (table(hash=hash_of("s1").upper()), "needs a hash"),
        (table(hash=hash_of("s1") + "\\n"), "needs a hash"),
        (table(more="pols = []"), "'pols'"),
        (table(more="polls = []"), "leave polls out"),
        (table(more="polls = [7]"), "leave polls out"),
        (table(more='polls = [""]'), "poll is empty"),
        (table(role="operate", more='polls = ["mood"]'), "cannot be bound"),
        (table() + table("bob"), "ann and bob have the same hash"),
        (table(more="share = 9"), "share of the dedup window 1 to 8"),
        (table(more="share = 0"), "share of the dedup window 1 to 8"),
        (table(more="share = true"), "share of the dedup window 1 to 8"),
        (table(more="share = 1.0"), "share of the dedup window 1 to 8"),
        (table(more="rate = 0"), "needs as rate votes a second"),
        (table(more="rate = true"), "needs as rate votes a second"),
        (table(more="rate = nan"), "needs as rate votes a second"),
        (table(more="rate = inf"), "needs as rate votes a second"),
        (table(more='rate = "10/s"'), "needs as rate votes a second"),
        (table(more="rate = 1\nburst = 0"), "needs as burst votes at once"),
        (table(more="burst = 10"), "and a rate beside it"),
        ("", "it has no tokens"),
        ("# one line", "it has no tokens"),
        ("a = " + "[" * 10_000, "not TOML"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_tokens(text)
    assert words in refused.value.detail
    assert "sha256:" + hash_of("s1")[7:] not in refused.value.detail


def test_new_tokens_are_long_and_differ() -> None:
    first, second = new_secret(), new_secret()
    assert first != second
    assert len(first) > 43


def test_roles_are_ordered() -> None:
    assert ["public", "read", "vote", "manage", "operate"] == sorted(RANKS, key=RANKS.__getitem__)
    assert ("public", "vote") == (highest([]), highest(["vote", "read"]))
