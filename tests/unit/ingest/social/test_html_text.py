"""HTML as text."""

from __future__ import annotations

import pytest

from quorate.ingest.social.reading.html_text import html_text

TAG = '<a href="https://m.example/tags/happy" class="mention hashtag" rel="tag">#<span>happy</span></a>'
LINK = (
    '<a href="https://a.example/long/path"><span class="invisible">https://</span><span class="ellipsis">a.example/lo'
    '</span><span class="invisible">ng/path</span></a>'
)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("", ""),
        ("plain", "plain"),
        ("a &amp; b &lt;3", "a & b <3"),
        (f"<p>So {TAG} today</p>", "So #happy today"),
        (f"<p>one</p><p>two<br />three{TAG}</p>", "one\ntwo\nthree#happy"),
        (f"<p>see {LINK}</p>", "see https://a.example/long/path"),
        ('<p><span class="h-card"><a href="https://m.example/@ann">@<span>ann</span></a></span> hi</p>', "@ann hi"),
        ('<span class="autocomment">Early life: </span> fixed  typo', "Early life: fixed typo"),
        ("<ul><li>a</li><li>b</li></ul>", "a\nb"),
        ("<p>a</p><script>alert('happy')</script><style>b{}</style><p>c</p>", "a\nc"),
        ("<p>5 &lt; 6 <!-- happy --> &#x1F600; &nosuch;</p>", "5 < 6 😀 &nosuch;"),
        ("a < b", "a < b"),
        ("<p>कृपया&nbsp;日本語</p>", "कृपया 日本語"),
    ],
)
def test_the_text_that_people_see(source: str, text: str) -> None:
    assert text == html_text(source)


def test_much_markup_takes_no_long_time_and_ends() -> None:
    """Each of these was slow or endless in some parser."""
    for source in ("<" * 50_000, "<p>" * 20_000 + "x", "<a " + 'b="' * 20_000, "<!--" * 20_000, "&" * 50_000 + "<p>"):
        html_text(source)
