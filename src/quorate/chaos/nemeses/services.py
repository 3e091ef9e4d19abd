"""Servers beside the nodes that are dead, slow, hang, are cut off, or lie. Counting waits for none of them."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from quorate.chaos.cluster import ChaosCluster
from quorate.chaos.nemeses.nemesis import Nemesis
from quorate.chaos.nemeses.ongoing import Ongoing
from quorate.chaos.services import consul_liar, mongo_liar, nsq_liar
from quorate.chaos.services.chaos_services import CONSUL, MONGO, NSQD, SERVICES, SHOWN, ChaosServices
from quorate.chaos.toxics import Toxics

Harm = Callable[[ChaosServices, str], Callable[[], object]]  # what it returns mends


@dataclass(frozen=True, slots=True)
class BadService:
    name: str
    about: str
    service: str
    harm: Harm

    def missing(self, cluster: ChaosCluster) -> str | None:
        if self.service in cluster.services.had:
            return None
        return cluster.services.missing.get(self.service) or "no such server is asked for: see --services"

    def begin(self, cluster: ChaosCluster, rng: random.Random) -> Ongoing:
        return Ongoing([SHOWN[self.service]], self.about, self.harm(cluster.services, self.service))


def dead(services: ChaosServices, name: str) -> Callable[[], object]:
    return services.doors.shut(name)


def with_toxics(toxics: Toxics) -> Harm:
    return lambda services, name: services.doors.disturb(name, toxics)


def lying(lie: str) -> Harm:
    return lambda services, name: services.doors.lie(name, lie)


def forgetful(services: ChaosServices, name: str) -> Callable[[], object]:
    """The nodes put their entries there again, by themselves."""
    services.forget_entries()
    return services.forget_entries


NETWORK: Sequence[tuple[str, str, Harm]] = (
    ("dead", "is dead: nobody takes connections", dead),
    ("hangs", "hangs: it takes connections, and says nothing", with_toxics(Toxics(down=True))),
    ("slow", "is slow: each answer takes 300 ms more", with_toxics(Toxics(latency_s=0.15, jitter_s=0.05))),
    ("reset", "resets connections after 300 ms", with_toxics(Toxics(reset_peer_s=0.3))),
)
LIES: Sequence[tuple[str, str, str, Harm]] = (
    (MONGO, "fails-after-write", "writes, and says that it failed", lying(mongo_liar.FAILS_AFTER)),
    (MONGO, "answers-twice", "answers each write twice", lying(mongo_liar.TWICE)),
    (MONGO, "resets-after-write", "writes, and resets the connection", lying(mongo_liar.RESETS)),
    (MONGO, "not-primary", "says that it is not the primary", lying(mongo_liar.NOT_PRIMARY)),
    (CONSUL, "fails", "answers 500", lying(consul_liar.FAILS)),
    (CONSUL, "stale", "answers what it knew before", lying(consul_liar.STALE)),
    (CONSUL, "forgets", "forgets the nodes", forgetful),
    (NSQD, "doubles", "delivers each message twice", lying(nsq_liar.DOUBLES)),
    (NSQD, "requeues", "puts messages back that are finished", lying(nsq_liar.REQUEUES)),
    (NSQD, "times-out", "does not hear that messages are finished, and delivers them again", lying(nsq_liar.TIMES_OUT)),
)
NEMESES: Sequence[Nemesis[ChaosCluster]] = (
    *(
        BadService(f"{service}-{kind}", f"{SHOWN[service]} {words}", service, harm)
        for service in SERVICES
        for kind, words, harm in NETWORK
    ),
    *(
        BadService(f"{service}-{kind}", f"{SHOWN[service]} {words}", service, harm)
        for service, kind, words, harm in LIES
    ),
)
