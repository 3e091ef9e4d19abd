"""The social networks of `docs/streams.md`, as doubles: a reader follows one, and a post of it is counted."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from typing import Self

from tests.doubles.social.jetstream import JetstreamDouble
from tests.doubles.social.mastodon import MastodonDouble
from tests.doubles.social.nostr import RelayDouble
from tests.doubles.social.oauth1 import OAuthAccount
from tests.doubles.social.twitter import TwitterDouble
from tests.doubles.social.wikimedia import WikimediaDouble
from tests.doubles.social.x import XDouble, XTerms
from tests.support.reader import Reader

NETWORK = r"^quorate stream (wikimedia|mastodon|bluesky|x|twitter|nostr)\b"
ACCOUNT, APP = OAuthAccount(), XTerms(indexed_after_s=0)
SECRETS = {
    "SP_MASTODON_TOKEN": "secret",
    "SP_X_KEY": APP.key,
    "SP_X_SECRET": APP.secret,
    "SP_TWITTER_KEY": ACCOUNT.key,
    "SP_TWITTER_SECRET": ACCOUNT.secret,
    "SP_TWITTER_ACCESSTOKEN": ACCOUNT.access_token,
    "SP_TWITTER_ACCESSSECRET": ACCOUNT.access_secret,
}
POLL, OPTION = "mood", "happy"


class Networks:
    """All of them. `with` starts them."""

    def __init__(self) -> None:
        self._wikimedia, self._mastodon, self._bluesky = WikimediaDouble(), MastodonDouble(), JetstreamDouble()
        self._x, self._twitter = XDouble(APP), TwitterDouble(account=ACCOUNT)
        self._relays = RelayDouble(), RelayDouble()
        self._doubles = (
            *(self._wikimedia, self._mastodon, self._bluesky, self._x, self._twitter),
            *self._relays,
        )
        self._stack = contextlib.ExitStack()
        self._said = 0

    def __enter__(self) -> Self:
        for double in self._doubles:
            self._stack.enter_context(double)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def places(self) -> dict[str, str]:
        """For `substituted`: where they are, and which secrets they take."""
        relay, relay2 = (each.url for each in self._relays)
        web = {"mastodon": self._mastodon.base, "x": self._x.base, "twitter": self._twitter.base}
        streams = {"wikimedia": self._wikimedia.url, "bluesky": self._bluesky.url, "relay": relay, "relay2": relay2}
        return {**web, **streams, **SECRETS}

    def say(self) -> None:
        """Everywhere a person says something new, which mentions the option."""
        self._said += 1
        text = f"so {OPTION} today {self._said}"
        self._wikimedia.publish(comment=text)
        self._mastodon.post(text, tags=(OPTION,))
        self._bluesky.say(text)
        self._x.say(text)
        self._twitter.say(text)
        self._relays[-1].say(text, tags=(OPTION,))
        self._relays[0].say(text, tags=(OPTION,))

    def violations(self) -> list[str]:
        """What the streams did wrong."""
        return [each for double in self._doubles for each in double.violations]

    def counts_a_post(self, reader: Reader, command: str, url: str) -> None:
        """Follow a network by this command until a post of it is counted, as the node at this URL shows."""
        before = votes(url)

        def counted() -> bool:
            self.say()
            return votes(url) > before

        reader.follows(command, counted)
        assert [] == self.violations()


def votes(url: str) -> int:
    with urllib.request.urlopen(f"{url}/polls/{POLL}/results?level=none", timeout=5) as answer:
        return int(json.load(answer)["results"][OPTION])
