"""Which options a text mentions: rows of texts, each with what it mentions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from quorate.errors import ConfigError
from quorate.ingest.social.matching.matcher import Matcher
from quorate.ingest.social.options.stream_poll import Rules, StreamPoll
from quorate.ingest.social.post import Post
from quorate.ingest.social.shard import Shard
from tests.unit.ingest.social.matching_texts import mentioned

PETS = ["cats", "dogs"]
LANGUAGES = ["C", "C++", "C#", "Java", "node.js"]
TONES = ["👍", "👍🏽"]


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (PETS, "I love CATS, and dogs.", ["cats", "dogs"]),
        (PETS, "dogs before cats", ["dogs", "cats"]),
        (PETS, "cats cats cats", ["cats"]),
        (PETS, "concatenate, bobcats, cats_, catsup", []),
        (PETS, "(cats)/dogs-cats", ["cats", "dogs"]),
        (PETS, "ｃａｔｓ ca\u00adts \u202edogs\u202c", ["cats", "dogs"]),
        (PETS, "cats' and the dogs's", ["cats", "dogs"]),
        (["happy"], "un-happy, HAPPY!", ["happy"]),
        (["S", "M", "L"], "it's, I'm, l'amour, don't", []),
        (["Jerry", "amour"], "Jerry’s l'amour", ["Jerry", "amour"]),
        (["Jerry's"], "jerry’s, not jerry", ["Jerry's"]),
        (["Straße"], "STRASSE", ["Straße"]),
        (["naïve"], "nai\u0308ve", ["naïve"]),
        (["ﬁsh"], "fish", ["ﬁsh"]),
        (["İstanbul"], "istanbul", ["İstanbul"]),
        (["ΣΊΣΥΦΟΣ"], "σίσυφος", ["ΣΊΣΥΦΟΣ"]),
        (["हिन्दी"], "हिन्दी में", ["हिन्दी"]),
        (["हि"], "हिन्दी में", []),
        (["кот"], "который Кот", ["кот"]),
        (["1", "2"], "12, 1,000 and 2", ["2"]),
        (["-1", "+1"], "+1", ["+1"]),
        (["-1", "1"], "covid-1", ["1"]),
        (["AT&T", "Dr. Pepper"], "at&t or dr pepper", ["AT&T", "Dr. Pepper"]),
        (["yes!", "(no)"], "Yes or no", ["yes!", "(no)"]),
    ],
)
def test_words_stand_at_their_borders(options: Sequence[str], text: str, expected: list[str]) -> None:
    assert expected == mentioned(options, text)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (LANGUAGES, "C++ and java, no javascript", ["C++", "Java"]),
        (LANGUAGES, "C#, C and Node.js.", ["C#", "C", "node.js"]),
        (LANGUAGES, "#c #nodejs", ["C", "node.js"]),
        (["C", "Go"], "C++", ["C"]),
        (["Disney+", "Netflix"], "disney+!", ["Disney+"]),
        (["A+", "A-"], "A+", ["A+"]),
    ],
)
def test_signs_behind_a_word_belong_to_it_where_the_poll_knows_them(
    options: Sequence[str], text: str, expected: list[str]
) -> None:
    assert expected == mentioned(options, text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ice cream", ["ice cream", "ice"]),
        ("Ice\n  CREAM", ["ice cream", "ice"]),
        ("ice-cream", ["ice cream", "ice"]),
        ("#IceCream #ice_cream", ["ice cream"]),
        ("icecream", []),
        ("#ice #cream", ["ice cream", "ice"]),
        ("ice 🍦 cream", ["ice"]),
        ("ice @bob cream", ["ice"]),
        ("ice 氷 cream", ["ice"]),
        ("cream ice", ["ice"]),
    ],
)
def test_several_words_stand_in_a_row_or_in_one_hashtag(text: str, expected: list[str]) -> None:
    assert expected == mentioned(["ice cream", "ice"], text)


def test_a_hashtag_means_the_one_word_if_the_poll_has_it() -> None:
    assert ["icecream"] == mentioned(["ice cream", "icecream"], "#icecream")


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (["猫", "犬"], "三毛猫が好き", ["猫"]),
        (["アイス"], "ｱｲｽクリーム", ["アイス"]),
        (["แม"], "แม่", []),
        (["แม่"], "รักแม่มาก", ["แม่"]),
        (["고양이"], "고양이를 좋아해", ["고양이"]),
        (["Tシャツ"], "XTシャツ", []),
        (["Tシャツ"], "白いtシャツ！", ["Tシャツ"]),
        (["iPhone", "欲しい"], "iPhone欲しい", ["iPhone", "欲しい"]),
        (["東京 タワー"], "#東京タワー 東京タワー", ["東京 タワー"]),
        (["「猫」"], "猫", ["「猫」"]),
        (["New York", "東京"], "東京 or new  york", ["東京", "New York"]),
        (["New York", "東京"], "new  york 東京", ["New York", "東京"]),
    ],
)
def test_scripts_without_spaces_are_searched_anywhere(options: Sequence[str], text: str, expected: list[str]) -> None:
    assert expected == mentioned(options, text)


@pytest.mark.parametrize(
    ("options", "text", "expected"),
    [
        (TONES, "👍🏽 ok", ["👍🏽"]),
        (TONES, "👍", ["👍"]),
        (["👍", "👎"], "yes👍🏿", ["👍"]),
        (["👩", "💻"], "👩‍💻", []),
        (["👩‍💻"], "👩🏽‍💻", ["👩‍💻"]),
        (["❤️"], "I ❤ it", ["❤️"]),
        (["🇩🇪", "🇷🇩"], "🇫🇷🇩🇪", ["🇩🇪"]),
        (["1️⃣", "1"], "1️⃣", ["1️⃣"]),
        (["🏴󠁧󠁢󠁥󠁮󠁧󠁿", "🏴"], "🏴󠁧󠁢󠁥󠁮󠁧󠁿", ["🏴󠁧󠁢󠁥󠁮󠁧󠁿"]),
        (["🍕 pizza"], "🍕pizza", ["🍕 pizza"]),
        (["<3"], "I <3 it", ["<3"]),
    ],
)
def test_an_emoji_is_whole(options: Sequence[str], text: str, expected: list[str]) -> None:
    assert expected == mentioned(options, text)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.org/cats?cats#cats",
        "(http://cats.org)",
        "www.cats.org/x",
        "cats.org/cats and cats.org",
        "mail me@cats.org, first.cats@x.org, big-cats@x.org or a+cats@x.org",
        "@cats @cats.bsky.social @cats@cats.social @me@cats ＠cats",
        "did:plc:cats at://did:web:cats/x nostr:cats mailto:cats",
    ],
)
def test_addresses_mention_nothing(text: str) -> None:
    assert [] == mentioned(PETS, text)
    assert ["dogs"] == mentioned(PETS, f"{text} dogs")
    assert ["cats"] == mentioned(PETS, text, match="substring")


@pytest.mark.parametrize("text", ["cats @ home", "cats//dogs", "either/or cats", "cats: yes", "@ cats", "3/4 cats"])
def test_a_sign_alone_is_no_address(text: str) -> None:
    assert "cats" in mentioned(PETS, text)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [(["Cats"], ["cats"]), (["IceCream"], ["ice cream"]), (["ice cream"], ["ice cream"]), (["三毛猫"], ["猫"])],
)
def test_tags_beside_the_text_are_hashtags(tags: list[str], expected: list[str]) -> None:
    assert expected == mentioned(["cats", "ice cream", "猫"], "nothing", tags)


def test_a_tag_does_not_go_on_where_the_text_ends() -> None:
    assert [] == mentioned(["ice cream"], "ice", ["cream"])


def test_a_poll_may_ask_for_its_characters_anywhere() -> None:
    assert ["cat"] == mentioned(["cat", "dog", "?"], "conCATenate", match="substring")
    assert ["?"] == mentioned(["cat", "?"], "http://x?y", match="substring")
    assert [] == mentioned(["cat"], "nothing", ["cat"], match="substring")


def test_polls_stand_each_for_itself() -> None:
    polls = [
        StreamPoll("a", ("C", "Go")),
        StreamPoll("b", ("C++", "Rust")),
        StreamPoll("c", ("++", "go"), Rules(match="substring")),
    ]
    found = [(mention.poll.id, mention.option) for mention in Matcher(polls).match(Post("1", "C++, go"))]
    assert [("a", "C"), ("a", "Go"), ("b", "C++"), ("c", "++"), ("c", "go")] == sorted(found)


def by_shard(poll: StreamPoll, text: str) -> list[list[str]]:
    """What each of three readers finds."""
    matchers = [Matcher([poll], Shard(index, 3).has) for index in (1, 2, 3)]
    return [[mention.option for mention in matcher.match(Post("1", text))] for matcher in matchers]


@pytest.mark.parametrize("text", ["C++", "c++ and c", "Java, C#, C++", "#nodejs 👍🏽", "node.js or go 👍"])
def test_readers_that_share_the_options_find_together_what_one_finds_alone(text: str) -> None:
    """Though `C++`, which hides `C`, may be the option of another reader."""
    options = (*LANGUAGES, *TONES, "Go")
    found = by_shard(StreamPoll("p", options), text)
    assert sorted(mentioned(options, text)) == sorted(option for each in found for option in each)


MOODS = StreamPoll("p", ("happy", "sad", "angry", "so sad", "猫"), Rules(one_per="author"))


@pytest.mark.parametrize(
    ("text", "first"),
    [
        ("sad, angry, not happy", "sad"),
        ("猫, sad", "猫"),
        ("sad, 猫", "sad"),
        ("so sad", "so sad"),
        ("#sad angry", "sad"),
    ],
)
def test_where_an_author_has_one_vote_only_what_stands_first_is_mentioned(text: str, first: str) -> None:
    """Also by each of several readers that share the options: whichever vote comes first, it is the same."""
    post = Post("1", text, author="a")
    assert [first] == [mention.option for mention in Matcher([MOODS]).match(post)]
    for index in (1, 2, 3):
        assert [first] == [mention.option for mention in Matcher([MOODS], Shard(index, 3).has).match(post)]


def test_without_an_author_all_are_mentioned() -> None:
    found = Matcher([MOODS]).match(Post("1", "sad, angry"))
    assert ["sad", "angry"] == [mention.option for mention in found]


def test_the_first_of_each_poll_is_mentioned() -> None:
    polls = [MOODS, StreamPoll("q", ("angry", "sad"), Rules(one_per="author")), StreamPoll("r", ("sad", "angry"))]
    found = Matcher(polls).match(Post("1", "angry sad", author="a"))
    assert {("p", "angry"), ("q", "angry"), ("r", "angry"), ("r", "sad")} == {(m.poll.id, m.option) for m in found}


def test_reposts_mention_nothing_where_the_poll_ignores_them() -> None:
    matcher = Matcher([StreamPoll("a", ("x",)), StreamPoll("b", ("x",), Rules(reposts=False))])
    assert ["a", "b"] == [mention.poll.id for mention in matcher.match(Post("1", "x"))]
    assert ["a"] == [mention.poll.id for mention in matcher.match(Post("1", "x", is_repost=True))]


@pytest.mark.parametrize(
    ("options", "match", "alike"),
    [
        (("Happy", "sad", "happy"), "words", "'Happy' and 'happy'"),
        (("Ice cream", "ice-cream!"), "words", "'Ice cream' and 'ice-cream!'"),
        (("#cats", "cats"), "words", "'#cats' and 'cats'"),
        (("Straße", "STRASSE"), "words", "'Straße' and 'STRASSE'"),
        (("東京 タワー", "東京タワー"), "words", "'東京 タワー' and '東京タワー'"),
        (("a b", "A B"), "substring", "'a b' and 'A B'"),
    ],
)
def test_options_that_read_alike_are_refused_by_name(options: tuple[str, ...], match: str, alike: str) -> None:
    with pytest.raises(ConfigError) as refused:
        mentioned(options, "", match=match)
    assert "poll 'p'" in refused.value.detail
    assert refused.value.detail.endswith(alike)


def test_options_that_read_alike_in_other_polls_are_none() -> None:
    matcher = Matcher([StreamPoll("a", ("Happy", "x")), StreamPoll("b", ("happy", "y"))])
    assert ["Happy", "happy"] == [mention.option for mention in matcher.match(Post("1", "HAPPY"))]


def test_what_differs_by_substring_may_read_alike_as_words() -> None:
    assert ["Yes!"] == mentioned(("Yes!", "yes?"), "yes!", match="substring")
