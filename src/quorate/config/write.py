"""Settings for people to read: a commented quorate.toml, the list that `config show` prints, and docs/settings.md."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from quorate.config.load import Loaded, nearest_setting
from quorate.config.section import without_passwords
from quorate.config.settings import SETTINGS, Config, Setting, section_names
from quorate.errors import ConfigError
from quorate.shown import MASK

HOLDS_FOR = {"node": "the node", "alike": "all nodes alike", "cluster": "the cluster"}
SCOPES = """\
Most settings hold for the node that has them. Some should be *alike on all nodes*: each node has its own, and one that
differs from the leader's is told in the node's log, by `/readyz?verbose` and by `quorate settings`. Nothing is refused,
so that nodes can be changed one after the other. What holds for *the cluster* stands in its log: a node's value is what
a new cluster begins with, and later `quorate settings set votes.dedup_window 2000000` changes it for all nodes at one
version. The bounds of the counter (options, polls, sizes) are no settings: all nodes of a version have the same, and
`/status` lists them. `node.cluster` and `raft.key` must be equal, or nodes refuse each other."""


def to_toml(values: Mapping[str, Any], head: str = "") -> str:
    """A complete file: the settings in `values` ("section.key"), and all others as comments with their default.

    A section without a given setting is a comment as a whole, so an earlier version that lacks it can read the file.
    Raises `ConfigError` if `values` has what is no setting: a file without it would be a node with another meaning.
    """
    if wrong := [f"{name} is not a setting{nearest_setting(name)}" for name in values if name not in SETTINGS]:
        raise ConfigError("\n".join(wrong), problems=wrong)
    lines = [f"# {line}".rstrip() for line in head.splitlines()]
    for section in section_names():
        old = [s for s in SETTINGS.values() if s.section == section and s.replaced_by and s.name in values]
        is_given = any(name.startswith(f"{section}.") for name in values)
        lines += ["", f"{'' if is_given else '# '}[{section}]"]
        for setting in [*_of(section), *old]:
            given = setting.name in values
            value = values[setting.name] if given else setting.default
            lines += [f"# {setting.meta.description}", f"{'' if given else '# '}{setting.key} = {toml_value(value)}"]
    return "\n".join(lines).lstrip("\n") + "\n"


def toml_value(value: Any) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    # TOML's basic strings are JSON's, except for DEL, and for surrogate pairs, which ensure_ascii=False avoids.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def shown(loaded: Loaded) -> list[tuple[Setting, Any, str]]:
    """Every setting with its value, secrets masked, and where that came from."""
    return [
        (setting, masked(setting, value_of(loaded.config, setting)), loaded.origins.get(setting.name, "default"))
        for setting in SETTINGS.values()
        if not setting.replaced_by
    ]


def masked_config(config: Config) -> dict[str, dict[str, Any]]:
    """All settings without secrets, by section: what `/status` shows."""
    return {
        section: {setting.key: masked(setting, value_of(config, setting)) for setting in _of(section)}
        for section in section_names()
    }


def value_of(config: Config, setting: Setting) -> Any:
    return getattr(config.section(setting.section), setting.key)


def masked(setting: Setting, value: Any) -> Any:
    """Mask a secret, unless it is the default, which anyone can read, and passwords in addresses."""
    if setting.path or value == setting.default:
        return value
    return MASK if setting.secret else without_passwords(value)


def page() -> str:
    """docs/settings.md."""
    lines = [
        "# Settings",
        "",
        "A TOML file (`quorate node --config FILE`), overridden by the environment, overridden by flags",
        "(`--set section.key=value`). Paths are relative to the file that sets them, else to the working directory.",
        "`quorate config check FILE` says what is wrong with a file; `quorate config show FILE` shows what holds and",
        "where it comes from. A secret can stand in a file of its own: `raft.key_file`, `QUORATE_RAFT_KEY_FILE`.",
        "",
        "Old names that are still read: "
        + ", ".join(f"`{s.name}` for `{s.replaced_by}`" for s in SETTINGS.values() if s.replaced_by)
        + ".",
        "",
        *SCOPES.splitlines(),
        "",
        "This page is made from the code: `python -m quorate.config > docs/settings.md`.",
        "",
        "## Proxies",
        "",
        "Commands and nodes ask all others over HTTP by one rule: nodes (`--node`), Consul's agent, nsqlookupd and",
        "nsqd. `http_proxy` holds for http:// and `https_proxy` for https://, both also in capitals; a proxy is",
        "named by `http://host:port`. What `no_proxy` names is asked directly: hosts with all below them,",
        "addresses, networks as 10.0.0.0/8, or `*`. Loopback is never asked through a proxy. Other variables, as",
        "`all_proxy`, are not read. Certificates that `REQUESTS_CA_BUNDLE` names are trusted instead of the usual",
        "ones. Connections between nodes, to nsqd's TCP port and to databases are not HTTP, and never go through a",
        "proxy.",
    ]
    for section in section_names():
        lines += [
            "",
            f"## [{section}]",
            "",
            "| setting | default | what it is | values | holds for | environment |",
            "|---|---|---|---|---|---|",
        ]
        for s in _of(section):
            name, default = f"`{s.key}`", f"`{toml_value(s.default)}`"
            cells = [name, default, str(s.meta.description), s.allowed(), HOLDS_FOR[s.scope], f"`{s.env}`"]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _of(section: str) -> list[Setting]:
    """The settings of a section, without the old names that are still read."""
    return [setting for setting in SETTINGS.values() if setting.section == section and not setting.replaced_by]
