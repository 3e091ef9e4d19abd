"""How fast a token may vote and ask, and an address without one: a bucket each, and the refusal when it is empty.

`access.py` finds the bucket of a request's caller and lets the request in before its body is read; the handler of votes
takes the votes out when they are known. Where no rate is set there are no buckets, and nothing is counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from quorate.doors.address_shares import share_key
from quorate.errors import OverRate
from quorate.security.bucket import Bucket
from quorate.security.caller import Caller
from quorate.security.tokens import Token, Tokens

ADDRESSES_MAX = 10_000


class Rates:
    """Used on the node's loop. `anonymous`: votes a second of one address without a token; 0: no bound."""

    def __init__(self, anonymous: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.anonymous = anonymous
        self._clock = clock
        self._of_tokens: dict[bytes, Bucket] = {}  # by the token's hash
        self._of_addresses: dict[str, Bucket] = {}

    def of_token(self, token: Token) -> Bucket | None:
        """None: it has no rate."""
        if token.rate is None:
            return None
        bucket = self._of_tokens.get(token.digest)
        if bucket is None or (bucket.rate, bucket.burst) != (token.rate, token.burst):
            bucket = self._of_tokens[token.digest] = Bucket(token.rate, token.burst, self._clock)
        return bucket

    def of_address(self, host: str) -> Bucket | None:
        """None: it is this host, or there is no rate."""
        if not self.anonymous or not (key := share_key(host)):
            return None
        bucket = self._of_addresses.get(key)
        if bucket is None:
            if len(self._of_addresses) >= ADDRESSES_MAX:
                del self._of_addresses[next(iter(self._of_addresses))]
            bucket = self._of_addresses[key] = Bucket(self.anonymous, clock=self._clock)
        return bucket

    def keep(self, tokens: Tokens) -> None:
        """Drop the buckets of all other tokens."""
        held = {token.digest for token in tokens}
        self._of_tokens = {digest: bucket for digest, bucket in self._of_tokens.items() if digest in held}

    @property
    def buckets(self) -> int:
        """How many there are now."""
        return len(self._of_tokens) + len(self._of_addresses)


def let_in(caller: Caller) -> None:
    """Count a request as one vote. Raises `OverRate`."""
    if caller.bucket is not None and (wait_s := caller.bucket.enter()):
        raise _over(caller, caller.bucket, wait_s)


def take_votes(caller: Caller, votes: int) -> None:
    """Count the votes of a request that was let in as one. Raises `OverRate`: then none of them may be counted."""
    if caller.bucket is not None and votes > 1 and (wait_s := caller.bucket.take(votes - 1)):
        raise _over(caller, caller.bucket, wait_s)


def _over(caller: Caller, bucket: Bucket, wait_s: float) -> OverRate:
    who = f"the token {caller.name}" if caller.token else f"an address without a token ({caller.address})"
    seconds = f"{wait_s:.3g}" if wait_s < 100 else f"{wait_s:,.0f}"
    detail = (
        f"{who} has the rate {bucket.rate:,.10g} (votes a second at this node; any other request counts as one); "
        f"nothing was done, try again in {seconds} s"
    )
    return OverRate(detail, wait_s)
