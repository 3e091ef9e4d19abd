"""A network that reads the double of Mastodon, and waiting for what it puts in."""

from __future__ import annotations

from quorate.ingest.social.networks.mastodon.network import MastodonNetwork
from tests.doubles.social.mastodon import MastodonDouble, Status
from tests.support.social_inlet import SocialInlet
from tests.support.waiting import wait_for


def network(double: MastodonDouble, *, silence_s: float = 20, **others: object) -> MastodonNetwork:
    return MastodonNetwork(double.base, "secret", silence_s=silence_s, **others)  # type: ignore[arg-type]


def uris(inlet: SocialInlet) -> set[str]:
    return {post.id for post in inlet.posts}


def wait_for_posts(inlet: SocialInlet, *statuses: Status) -> None:
    wanted = {status["uri"] for status in statuses}
    wait_for("the posts come", lambda: wanted <= uris(inlet), seen=lambda: f"missing: {wanted - uris(inlet)}")


def wait_for_connects(inlet: SocialInlet, number: int) -> None:
    wait_for(f"{number} connections", lambda: len(inlet.connects) >= number, seen=lambda: str(inlet.connects))


def wait_for_posts_of_one(double: MastodonDouble, inlet: SocialInlet) -> None:
    wait_for_connects(inlet, 1)
    wait_for_posts(inlet, double.post("one", tags=("happy",)))
