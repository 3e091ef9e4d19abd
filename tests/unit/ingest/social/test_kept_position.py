"""A kept position that makes no sense to its network is told as that, before anything is asked for.

To begin from now instead would lose what was written meanwhile, without a word.
"""

from __future__ import annotations

import pytest

from quorate.errors import Invalid
from quorate.ingest.social.network import Network
from quorate.ingest.social.networks.bluesky.network import Bluesky
from quorate.ingest.social.networks.nostr.network import Nostr
from quorate.ingest.social.networks.wikimedia.network import WikimediaNetwork
from quorate.ingest.social.networks.x.access import XKeys
from quorate.ingest.social.networks.x.network import X
from tests.support.social_inlet import SocialInlet

NOWHERE = "ws://127.0.0.1:1"
NETWORKS: list[tuple[Network, str]] = [
    (Bluesky([NOWHERE]), ""),
    (Nostr([NOWHERE]), NOWHERE),
    (WikimediaNetwork("http://127.0.0.1:1"), ""),
    (X(XKeys(bearer="b"), "http://127.0.0.1:1"), ""),
]


@pytest.mark.parametrize("garbage", ["garbage", "[1]", '{"', '"1"', "1.5"])
@pytest.mark.parametrize(("network", "part"), NETWORKS, ids=[network.name for network, _ in NETWORKS])
def test_a_position_that_makes_no_sense_is_told(network: Network, part: str, garbage: str) -> None:
    inlet = SocialInlet("happy")
    with pytest.raises(Invalid, match=r"the position that was kept makes no sense .*--new"):
        network.run(inlet, {part: garbage})
    assert [] == inlet.disconnects
