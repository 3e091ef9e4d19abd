"""Settings: a TOML file, outranked by the environment, outranked by flags, and checked as a whole."""

from quorate.config.address import Address, parse_address, parse_peers
from quorate.config.load import Loaded, load
from quorate.config.settings import SETTINGS, Config, Consul, Flush, Http, Log, Mongo, Node, Nsq, Raft, Setting, Votes
from quorate.config.write import masked_config, to_toml

__all__ = [
    "SETTINGS",
    "Address",
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
    "Votes",
    "load",
    "masked_config",
    "parse_address",
    "parse_peers",
    "to_toml",
]
