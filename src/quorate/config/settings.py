"""All settings of one node, and the one list of them.

This is the only list. The file format, the environment's names, `--set`, `quorate config show`, the commented
`quorate.toml` of a new node and docs/settings.md all follow from it. The sections that every node has stand in
`general.py`, those of sinks and sources in `sections/`, and `adapter_table.py` names these.
"""

from __future__ import annotations

import types
import typing
from dataclasses import dataclass
from typing import Annotated, Any, Literal, cast

import msgspec

from quorate.config.adapter_table import ADAPTERS
from quorate.config.address import Address, parse_address, told_address
from quorate.config.general import Auth, Flush, Http, Log, Node, Raft, Resp, Traces, Votes
from quorate.config.section import Scope, Section
from quorate.config.sections.backup import ScheduledBackup
from quorate.config.sections.consul import Consul
from quorate.config.sections.mongo import Mongo
from quorate.config.sections.nsq import Nsq
from quorate.config.sections.sqlite import Sqlite
from quorate.config.sections.stream import Stream


def _defaults_of_adapters() -> dict[str, Section]:
    return {name: adapter.section() for name, adapter in ADAPTERS.items()}


class Config(msgspec.Struct, frozen=True):
    """All settings of one node, each valid by itself and all checked against each other when it comes from `load`."""

    node: Node = Node()
    http: Http = Http()
    resp: Resp = Resp()
    auth: Auth = Auth()
    raft: Raft = Raft()
    votes: Votes = Votes()
    flush: Flush = Flush()
    adapters: dict[str, Section] = msgspec.field(default_factory=_defaults_of_adapters)  # by name: "mongo"
    backup: ScheduledBackup = ScheduledBackup()
    consul: Consul = Consul()
    stream: Stream = Stream()
    log: Log = Log()
    traces: Traces = Traces()

    def section(self, name: str) -> Section:
        section = self.adapters[name] if name in self.adapters else getattr(self, name)
        assert isinstance(section, Section), name
        return section

    # The adapters that other parts ask for by name: for their type.

    @property
    def sqlite(self) -> Sqlite:
        return cast(Sqlite, self.adapters["sqlite"])

    @property
    def mongo(self) -> Mongo:
        return cast(Mongo, self.adapters["mongo"])

    @property
    def nsq(self) -> Nsq:
        return cast(Nsq, self.adapters["nsq"])

    def members(self) -> dict[str, Address]:
        """All nodes of the cluster by id, with this one, also when it is the only one."""
        return self.raft.members or {self.node.id: self._told()}

    def raft_address(self) -> Address:
        """Where peers reach this node."""
        return self._told() if self.raft.advertise else self.members()[self.node.id]

    def _told(self) -> Address:
        return parse_address(self.raft.advertise) if self.raft.advertise else told_address(self.raft.addresses)


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting: its name, type, limits and default."""

    section: str
    key: str
    type: Any  # int, float, bool, str, list[str] or a Literal, without its Annotated
    meta: msgspec.Meta
    default: Any

    @property
    def name(self) -> str:
        return f"{self.section}.{self.key}"

    @property
    def env(self) -> str:
        return f"QUORATE_{self.section}_{self.key}".upper()

    @property
    def annotated(self) -> Any:
        return Annotated[self.type, self.meta]

    @property
    def secret(self) -> bool:
        return bool((self.meta.extra or {})["secret"])

    @property
    def path(self) -> bool:
        return bool((self.meta.extra or {})["path"])

    @property
    def replaced_by(self) -> str:
        """The setting's new name, if this is an old one."""
        return str((self.meta.extra or {})["replaced_by"])

    @property
    def several(self) -> bool:
        return bool((self.meta.extra or {})["several"])

    @property
    def scope(self) -> Scope:
        scope: Scope = (self.meta.extra or {})["scope"]
        return scope

    @property
    def names(self) -> list[str] | None:
        """The names that a list of names can hold; None for any other setting."""
        names = (self.meta.extra or {})["names"]
        return None if names is None else list(names())

    @property
    def choices(self) -> tuple[str, ...]:
        return typing.get_args(self.type) if typing.get_origin(self.type) is Literal else ()

    def allowed(self) -> str:
        """The values that are allowed, in words that fit after "give"."""
        if self.choices:
            return "one of " + ", ".join(choice for choice in self.choices if choice)
        if self.type is int:
            return f"a whole number from {self.meta.ge:,} to {self.meta.le:,}"
        if self.type is float:
            return f"a number from {self.meta.ge:,} to {self.meta.le:,}"
        if self.type is bool:
            return "true or false"
        if self.names is not None:
            return f"a list of names, of {', '.join(self.names)}"
        if isinstance(self.type, types.GenericAlias):
            return "a list of texts"
        if self.several:
            return "a text, or several, separated by commas or as a list"
        if self.meta.pattern:
            return "a name of letters, digits, '.', '_' and '-', at most 64"
        if self.meta.max_length:
            return f"a text of {self.meta.min_length} to {self.meta.max_length} characters"
        return "a text that is not empty" if self.meta.min_length else "a text"


def section_types() -> dict[str, type[Section]]:
    """Every section with its type, in the order in which people read them."""
    found: dict[str, type[Section]] = {}
    for name, hint in typing.get_type_hints(Config).items():
        found |= {n: adapter.section for n, adapter in ADAPTERS.items()} if name == "adapters" else {name: hint}
    return found


def settings_in(section: str, struct: type[Section]) -> dict[str, Setting]:
    """The settings of one section, each by its full name, section.key."""
    found = {}
    hints = typing.get_type_hints(struct, include_extras=True)
    for field in msgspec.structs.fields(struct):
        type_, meta = typing.get_args(hints[field.name])
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
        setting = Setting(section, field.name, type_, meta, default)
        found[setting.name] = setting
    return found


def section_names() -> tuple[str, ...]:
    return tuple(dict.fromkeys(setting.section for setting in SETTINGS.values()))


SETTINGS: dict[str, Setting] = {}
for _section, _struct in section_types().items():
    SETTINGS |= settings_in(_section, _struct)
