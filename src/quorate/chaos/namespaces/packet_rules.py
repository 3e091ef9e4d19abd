"""The rules of nft that the router has for the packets between nodes. Text alone; nothing here touches the system.

All are in one table and are exchanged in one step, so a partition begins and ends for all its links at once. A packet
that is dropped got lost on its way: neither end is told. A rule that rejects sends a reset to whoever sent the packet.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from quorate.chaos.toxics import Toxics, Way

TABLE = "ip quorate"
CHAIN = f"{TABLE} forward"
CONNECTION = "ip saddr . tcp sport . ip daddr . tcp dport"  # one direction of it
REMEMBERED = "size 65536; timeout 60s;"
PARTS = 10_000  # loss is so many parts of this
# `opened`: connections that are younger than they may get. `closing`: connections whose end was said already. `late`:
# those whose end is not told yet. `patient`: ways on which connections are not closed yet.
BEGINNING = f"""
table {TABLE} {{
  set opened {{ typeof {CONNECTION}; flags dynamic,timeout; {REMEMBERED} }}
  set closing {{ typeof {CONNECTION}; flags dynamic,timeout; {REMEMBERED} }}
  set late {{ typeof {CONNECTION}; flags dynamic,timeout; {REMEMBERED} }}
  set patient {{ typeof ip saddr . ip daddr; flags timeout; }}
  chain forward {{ type filter hook forward priority 0; policy accept; }}
}}
"""
Addresses = Mapping[str, Sequence[str]]  # of each node, all that it has


def rules(now: Mapping[Way, Toxics], addresses: Addresses, begun: Iterable[Way] = ()) -> str:
    """What nft has to read so that these toxics hold, and no others. `begun` are ways whose connections close soon."""
    lines = [f"flush chain {CHAIN}"]
    for way in begun:
        if (after_s := now[way].timeout_s) is not None:
            each = [f"{pair} timeout {_ms(after_s)}" for pair in pairs([way], addresses)]
            lines += [f"add element {TABLE} patient {{ {', '.join(each)} }}"] if each else []
    for toxics in dict.fromkeys(now.values()):
        found = pairs((way for way, each in now.items() if each == toxics), addresses)
        if found:
            match = f"ip saddr . ip daddr {{ {', '.join(found)} }}"
            lines += [f"add rule {CHAIN} {match} {rule}" for rule in _of(toxics)]
    return "\n".join([*lines, ""])


def pairs(ways: Iterable[Way], addresses: Addresses) -> list[str]:
    """A node that is gone has no addresses."""
    return [f"{source} . {goal}" for a, b in ways for source in addresses.get(a, ()) for goal in addresses.get(b, ())]


def _of(toxics: Toxics) -> list[str]:
    if toxics.down:
        return ["drop"]
    found = []
    if toxics.loss:
        found.append(f"numgen random mod {PARTS} < {round(toxics.loss * PARTS)} drop")
    if toxics.timeout_s is not None:
        found += [
            "ip saddr . ip daddr @patient drop",
            "tcp flags & (syn | rst) == syn drop",  # nobody gets an answer to a new connection
            "reject with tcp reset",
        ]
    if toxics.slow_close_s:
        ends, late_s = "tcp flags & (fin | rst) != 0", _ms(toxics.slow_close_s)
        found += [
            f"{ends} {CONNECTION} @late drop",
            f"{ends} {CONNECTION} != @closing update @closing {{ {CONNECTION} }} "
            f"update @late {{ {CONNECTION} timeout {late_s} }} drop",
        ]
    if toxics.reset_peer_s is not None:
        found += [
            f"tcp flags & (syn | rst) == syn update @opened {{ {CONNECTION} timeout {_ms(toxics.reset_peer_s)} }}",
            f"tcp flags & (syn | rst) == 0 {CONNECTION} != @opened reject with tcp reset",
        ]
    if toxics.limit_data_bytes is not None:
        found.append(f"ct bytes > {toxics.limit_data_bytes} reject with tcp reset")
    return found


def _ms(seconds: float) -> str:
    return f"{max(1, math.ceil(seconds * 1000))}ms"
