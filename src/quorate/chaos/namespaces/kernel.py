"""What this machine's kernel and programs can do, found out by trying it in a namespace that nobody uses."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from dataclasses import dataclass

from quorate.chaos.namespaces import packet_rules
from quorate.chaos.namespaces.net_namespace import CommandRefused, NetNamespace
from quorate.chaos.namespaces.shaping import ShapedWay, needs_netem, no_queues, queues, shaped
from quorate.chaos.toxics import SOUND, Toxics
from quorate.errors import Invalid

PROGRAMS = {"ip": "iproute2", "tc": "iproute2", "nft": "nftables", "nsenter": "util-linux"}  # and their packages
SAMPLE = {"a": ["192.0.2.1"], "b": ["192.0.2.2"]}
LINKLESS = "lo"
COUNTING = {"netfilter/nf_conntrack_acct": "1"}  # what connections carry


def check_machine() -> None:
    """Raises `Invalid`, with one sentence that says what to do."""
    if sys.platform != "linux":
        raise Invalid("network namespaces are Linux's: leave --network out, and relays stand between the nodes")
    if os.geteuid() != 0:
        raise Invalid(
            "namespaces need root: run it with sudo or, where users may have namespaces of their own, behind "
            "unshare --map-root-user --net"
        )
    if lacking := [name for name in PROGRAMS if shutil.which(name) is None]:
        packages = dict.fromkeys(PROGRAMS[name] for name in lacking)
        raise Invalid(f"{' and '.join(lacking)} cannot be found: install {' and '.join(packages)}")


@dataclass(frozen=True, slots=True)
class Kernel:
    """Why it lacks something, in the words of nft or tc. Empty: it has it."""

    no_reset: str = ""
    no_counting: str = ""
    no_rate: str = ""
    no_netem: str = ""

    def missing(self, toxics: Toxics) -> str | None:
        """Why it cannot do that. None: it can."""
        ends = (toxics.reset_peer_s, toxics.timeout_s, toxics.limit_data_bytes)
        if any(each is not None for each in ends) and self.no_reset:
            return f"this kernel's nft resets no connections ({self.no_reset})"
        if toxics.limit_data_bytes is not None and self.no_counting:
            return f"this kernel does not count what a connection carries ({self.no_counting})"
        if shaped(toxics) != SOUND and self.no_rate:
            return f"this kernel has no queues for it: the module sch_htb ({self.no_rate})"
        if needs_netem(toxics) and self.no_netem:
            return f"this kernel cannot delay packets: the module sch_netem is missing ({self.no_netem})"
        return None


def look_at_kernel() -> Kernel:
    """Raises `CommandRefused` or `OSError` if it can do nothing of it."""
    namespace = NetNamespace()
    try:
        namespace.run(["nft", "-f", "-"], packet_rules.BEGINNING)
        return Kernel(
            no_reset=_refusal_of_nft(namespace, Toxics(reset_peer_s=1.0)),
            no_counting=_refusal_of_nft(namespace, Toxics(limit_data_bytes=1)) or _refusal_of_counting(),
            no_rate=_refusal_of_tc(namespace, Toxics(bandwidth_bytes_s=1_000_000)),
            no_netem=_refusal_of_tc(namespace, Toxics(latency_s=0.01, reordering=0.1)),
        )
    finally:
        namespace.close()


def _refusal_of_nft(namespace: NetNamespace, toxics: Toxics) -> str:
    try:
        namespace.run(["nft", "-f", "-"], packet_rules.rules({("a", "b"): toxics}, SAMPLE))
    except CommandRefused as error:
        return str(error)
    return ""


def _refusal_of_counting() -> str:
    try:
        NetNamespace(COUNTING).close()
    except OSError as error:
        return str(error)
    return ""


def _refusal_of_tc(namespace: NetNamespace, toxics: Toxics) -> str:
    try:
        namespace.run(["tc", "-batch", "-"], "\n".join([*queues(LINKLESS, [ShapedWay(SAMPLE["a"], toxics)]), ""]))
    except CommandRefused as error:
        return str(error)
    finally:
        with contextlib.suppress(CommandRefused):
            namespace.run(["tc", *no_queues(LINKLESS).split()])
    return ""
