"""What a node tells its peers of its settings: those that should be the same on all nodes, and the cluster's own.

Only settings that are in use are told: those of a sink that the node writes to, of a source that it takes votes from,
or of Consul where it registers. A secret is told as a digest under a key that only the cluster has, which is good for
comparing and nothing else.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from pathlib import Path
from typing import Any

import msgspec

from quorate.config.adapter_table import ADAPTERS
from quorate.config.settings import SETTINGS, Config, Setting
from quorate.config.write import masked, value_of

SHARED = {name: setting for name, setting in SETTINGS.items() if setting.scope != "node"}


class ToldSetting(msgspec.Struct):
    """A setting of one node. `given`: somebody set it there, so it is no default. `digest` is that of a secret."""

    value: bool | int | float | str | list[str] | None
    given: bool
    digest: str = ""

    def is_same(self, other: ToldSetting) -> bool:
        return (self.value, self.digest) == (other.value, other.digest)


def told_settings(config: Config, given: Collection[str], key: bytes) -> dict[str, ToldSetting]:
    """`given` are the names of the settings that are no defaults. `key` is that of the cluster."""
    return {
        name: _told(config, setting, name in given, key) for name, setting in SHARED.items() if _in_use(config, setting)
    }


def _told(config: Config, setting: Setting, given: bool, key: bytes) -> ToldSetting:
    value = value_of(config, setting)
    if setting.path:
        value = str(Path(value).absolute())
    digest = hashlib.blake2b(str(value).encode(), digest_size=16, key=key).hexdigest() if setting.secret else ""
    return ToldSetting(masked(setting, value), given, digest)


def _in_use(config: Config, setting: Setting) -> bool:
    adapter = ADAPTERS.get(setting.section)
    if adapter is None:
        return setting.section != "consul" or bool(config.consul.address)
    section: Any = config.adapters[setting.section]
    return setting.section in config.flush.sinks or (adapter.source is not None and section.enabled)
