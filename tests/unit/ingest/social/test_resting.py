"""Networks that are not connected on purpose say why, so it is not taken for a failure, and end it by themselves."""

from __future__ import annotations

from quorate.ingest.social.network import MayRest, Network
from quorate.ingest.social.networks.nostr.network import Nostr
from quorate.ingest.social.networks.twitter.network import Twitter
from quorate.ingest.social.networks.x.budget import BudgetLimits
from quorate.ingest.social.networks.x.network import X
from tests.doubles.social.mastodon import MastodonDouble
from tests.doubles.social.nostr import RelayDouble
from tests.doubles.social.twitter import TwitterDouble
from tests.support.social_inlet import SocialInlet, running
from tests.support.waiting import wait_for
from tests.unit.ingest.social import mastodon_network
from tests.unit.ingest.social.test_twitter import KEYS
from tests.unit.ingest.social.x_reading import connected, double
from tests.unit.ingest.social.x_reading import network as x_network


def rests_until_there_is_an_option(network: Network, inlet: SocialInlet, why: str) -> None:
    assert isinstance(network, MayRest)
    assert "" == network.rests
    with running(network, inlet):
        wait_for("it rests", lambda: network.rests)
        assert why in network.rests
        inlet.change("happy")
        wait_for("it goes on", lambda: not network.rests and inlet.connects)


def test_mastodon_without_an_option_that_can_be_a_hashtag() -> None:
    with MastodonDouble() as mastodon:
        network = mastodon_network.network(mastodon)
        rests_until_there_is_an_option(network, SocialInlet("+1"), "no option can be a hashtag; with --feed public")


def test_nostr_without_an_option_that_can_be_a_hashtag() -> None:
    with RelayDouble() as relay:
        network = Nostr([relay.url], by_tags=True)
        rests_until_there_is_an_option(network, SocialInlet("+"), "no option can be a hashtag; with --feed all")


def test_twitter_and_x_without_an_option_that_can_be_asked_for() -> None:
    inlet = SocialInlet()
    with TwitterDouble() as twitter:
        rests_until_there_is_an_option(Twitter(KEYS, twitter.url), inlet, "no option can be asked for")
    inlet = SocialInlet("#")
    with double(inlet) as x:
        rests_until_there_is_an_option(x_network(x, inlet), inlet, "no option can be asked for")


def test_x_with_its_budget_used_up() -> None:
    said = list[str]()

    class Watched(SocialInlet):
        """What the network says of itself while it pauses."""

        def pause(self, seconds: float) -> None:
            if seconds > 60:
                said.append(network.rests)
            super().pause(seconds)

    inlet = Watched("happy")
    with double(inlet) as x:
        network: X = x_network(x, inlet, budget=BudgetLimits(1))
        with running(network, inlet):
            connected(x)
            x.say("happy")
            connected(x, 2)
            assert "" == network.rests
    assert [
        "the budget of the day is used up: 1 post ($0.01) a day; it goes on when the next day begins in UTC"
    ] == said
