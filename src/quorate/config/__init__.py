"""Settings: a TOML file, overridden by the environment, overridden by flags, and checked as a whole."""

from quorate.config.adapter_table import ADAPTERS
from quorate.config.address import Address, parse_address, parse_peers
from quorate.config.general import Auth, Flush, Http, Log, Node, Raft, Votes
from quorate.config.load import Loaded, load, under_new_names
from quorate.config.sections.consul import Consul
from quorate.config.sections.mongo import Mongo
from quorate.config.sections.nsq import Nsq
from quorate.config.sections.sqlite import Sqlite
from quorate.config.settings import SETTINGS, Config, Setting
from quorate.config.write import masked_config, to_toml

__all__ = [
    "ADAPTERS",
    "SETTINGS",
    "Address",
    "Auth",
    "Config",
    "Consul",
    "Flush",
    "Http",
    "Loaded",
    "Log",
    "Mongo",
    "Node",
    "Nsq",
    "Raft",
    "Setting",
    "Sqlite",
    "Votes",
    "load",
    "masked_config",
    "parse_address",
    "parse_peers",
    "to_toml",
    "under_new_names",
]
