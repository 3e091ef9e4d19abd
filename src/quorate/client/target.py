"""Whom a client asks and who it is: from its arguments, or from the environment as the commands read it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from quorate.client.asking import NodeUrls
from quorate.client.token_file import read_token
from quorate.client.urls import DEFAULT_NODES, base_url, split_urls
from quorate.errors import Invalid


class ClientTarget(NamedTuple):
    nodes: NodeUrls
    token: str | None
    ca: str | None


def target_of(
    nodes: str | Sequence[str] | None,
    consul: str | None,
    token: str | None,
    token_file: str | os.PathLike[str] | None,
    ca: str | os.PathLike[str] | None,
    env: Mapping[str, str] = os.environ,
) -> ClientTarget:
    """Raises `Invalid` for arguments that contradict each other, and `ConfigError` for a token that cannot be read."""
    if nodes is not None and consul is not None:
        raise Invalid("`nodes` and `consul` both say whom to ask: give one of them")
    if token is not None and token_file is not None:
        raise Invalid("`token` and `token_file` both say what the token is: give one of them")
    file = token_file or (None if token is not None else env.get("QUORATE_TOKEN_FILE") or None)
    trusted = ca or env.get("QUORATE_CA") or None
    return ClientTarget(
        _nodes(nodes, consul, env),
        token if file is None else read_token(Path(file)),
        None if trusted is None else os.fspath(trusted),
    )


def _nodes(nodes: str | Sequence[str] | None, consul: str | None, env: Mapping[str, str]) -> NodeUrls:
    if nodes is not None:
        return NodeUrls(split_urls(nodes) if isinstance(nodes, str) else [base_url(each) for each in nodes])
    if consul is None and (named := split_urls(env.get("QUORATE_NODES", ""))):
        return NodeUrls(named)
    agent = consul or env.get("QUORATE_CONSUL", "").strip()
    return NodeUrls(find=partial(_in_consul, agent)) if agent else NodeUrls(DEFAULT_NODES)


def _in_consul(agent: str) -> list[str]:
    from quorate.client.in_consul import nodes_in_consul  # it takes a while to import

    return nodes_in_consul(agent)
