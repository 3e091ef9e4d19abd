"""What is killed on the way of a post: each by `kill -9`, and started again, as a supervisor does it."""

from __future__ import annotations

from tests.support.waiting import wait_for
from tests.system.faults import LAG_MAX
from tests.system.stream_chain import StreamChain


def kill_stream(chain: StreamChain) -> None:
    chain.stream.kill()
    chain.stream.start()


def kill_nsqd(chain: StreamChain, number: int) -> None:
    """It has forgotten all that it had; the other one has a copy. It is there again before one copy is enough."""
    chain.nsqds[number].kill()
    chain.nsqds[number].start()


def lose_nsqd(chain: StreamChain, number: int) -> None:
    """It stays away until the stream goes on with the other one alone."""
    chain.nsqds[number].kill()
    before = chain.counted()
    wait_for(
        "one nsqd is enough",
        lambda: chain.counted() > before or chain.is_exact(),
        deadline_s=60,
        seen=chain.stream.tail,
    )
    chain.nsqds[number].start()


def kill_leader(chain: StreamChain) -> None:
    chain.cluster.wait_whole(lag_max=LAG_MAX)
    victim = chain.cluster.leader()
    victim.kill()
    chain.cluster.leader(other_than=victim)
    victim.start()


def kill_follower(chain: StreamChain) -> None:
    chain.cluster.wait_whole(lag_max=LAG_MAX)
    victim = chain.chance.choice(chain.cluster.followers())
    victim.kill()
    victim.start()
