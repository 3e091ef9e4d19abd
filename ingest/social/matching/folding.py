"""Two texts that people take for the same become the same: case, width, ligatures, and signs that nobody sees."""

from __future__ import annotations

import re
import unicodedata

from quorate.ingest.social.matching.characters import (
    BLACK_FLAG,
    FLAG_TAGS,
    JOINER,
    MARKS,
    PICTURES,
    SKIN_TONES,
)

LONG = 1_000
MARKS_MAX = 30  # behind one letter, as in Unicode's Stream-Safe Text Format

# What Unicode calls default ignorable: soft hyphens, signs that turn the direction, variants of emoji and so on.
_UNSEEN = (
    "\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200c\u200e\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U0001d173-\U0001d17a\U000e0000-\U000e001f\U000e0080-\U000e0fff"
)
_joined = f"[{PICTURES}{SKIN_TONES}]"
_between_letters = f"(?<![{PICTURES}{SKIN_TONES}\ufe0f]){JOINER}|{JOINER}(?!{_joined})"
_unseen = re.compile(f"[{_UNSEEN}]+|{_between_letters}")
_may_be_unseen = re.compile(f"[{_UNSEEN}{JOINER}{FLAG_TAGS}]").search  # a quick look: most texts have none
_tags = re.compile(f"[{FLAG_TAGS}]+")
_many_marks = re.compile(f"([{MARKS}]{{{MARKS_MAX}}})[{MARKS}]+")


def fold(text: str) -> str:
    """NFKC and case-folded, without what nobody sees."""
    if text.isascii():
        return text.lower()
    if len(text) > LONG:
        text = _many_marks.sub(r"\1", text)  # they are sorted, which takes the square of their number
    if _may_be_unseen(text):
        text = _unseen.sub("", text)
        if BLACK_FLAG not in text:
            text = _tags.sub("", text)
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    folded = folded.replace("i\u0307", "i")  # a capital I with its dot, as in İstanbul
    return folded.replace("\u2019", "'").replace("\u02bc", "'").replace("\u2212", "-")
