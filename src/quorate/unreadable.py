"""What decoding raises of bytes that somebody else sent. Each reader of such bytes catches all of these."""

from __future__ import annotations

import msgspec

# No JSON or MessagePack of the type that is asked for; text that is not UTF-8; and lists in lists without end, also in
# a field that is passed over.
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
