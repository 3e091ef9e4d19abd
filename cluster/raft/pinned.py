"""The one place that imports PySyncObj, and the check that it is the PySyncObj we know.

`engine.py` overrides private methods. An override is right only for the method it was written against, so at import
the version and the source of every method it replaces or relies on are compared with what stands here; anything else
is refused in words. docs/replica.md tells how to move to another version.
"""

from __future__ import annotations

import hashlib
import inspect
import socket

_inet_ntop = socket.inet_ntop
import pysyncobj.syncobj  # noqa: E402  # after inet_ntop has been kept
from pysyncobj import SyncObj, SyncObjConf  # noqa: E402
from pysyncobj.node import Node  # noqa: E402
from pysyncobj.transport import Transport  # noqa: E402
from pysyncobj.version import VERSION  # noqa: E402

# Importing pysyncobj 0.3.17 replaces socket.inet_ntop for the whole process by one that fails (win_inet_pton.py 84).
socket.inet_ntop = _inet_ntop

__all__ = ["Node", "SyncObj", "SyncObjConf", "Transport", "check", "monotonic"]


def monotonic() -> float:
    """PySyncObj's own clock, looked up at each call: a simulation replaces it there, and all of us follow."""
    return float(pysyncobj.syncobj.monotonicTime())


VERSION_KNOWN = "0.3.17"

SOURCES_KNOWN = {
    "__init__": "",
}


def source_hash(name: str) -> str:
    """The first 16 hex digits of sha256 over the method's source text."""
    return hashlib.sha256(inspect.getsource(getattr(SyncObj, name)).encode()).hexdigest()[:16]


def check() -> None:
    """Raise `ImportError` in words unless this is the PySyncObj that the overrides were written for."""
    if VERSION != VERSION_KNOWN:
        raise ImportError(
            f"Quorate's replica was written for pysyncobj {VERSION_KNOWN} and overrides its private methods; "
            f"{VERSION} is installed. Install pysyncobj=={VERSION_KNOWN}, or read docs/replica.md before moving on."
        )
    for name, known in SOURCES_KNOWN.items():
        found = source_hash(name)
        if found != known:
            raise ImportError(
                f"pysyncobj {VERSION} is installed, but its SyncObj.{name} is not the one released as {VERSION_KNOWN} "
                f"(source hash {found}, expected {known}). Reinstall pysyncobj=={VERSION_KNOWN}."
            )
