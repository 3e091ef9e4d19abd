"""Which hashtag an option is looked for by."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

# As Mastodon has it (Tag::HASHTAG_NAME_RE, HashtagNormalizer): letters, digits, _, a middle dot, and the joiner that
# Persian needs. At least one of them is no digit. They are small letters and not folded: an `ß` is no `ss`, and a Greek
# word ends in its own sigma.
_NOT_IN_TAGS = re.compile(r"[^\w\u00b7\u200c]+")


def hashtag(option: str) -> str:
    """Without spaces and signs, as people write it; "" if nothing is left that could be one."""
    tag = _NOT_IN_TAGS.sub("", unicodedata.normalize("NFKC", option).lower())
    return "" if not tag.strip("_·\u200c") or tag.isdigit() else tag


def hashtags(options: Iterable[str]) -> tuple[list[str], list[str]]:
    """Each hashtag once, in the order of the options; and the options that have none."""
    found, without = dict[str, None](), list[str]()
    for option in options:
        if tag := hashtag(option):
            found[tag] = None
        else:
            without.append(option)
    return list(found), without
