"""From a TOML file, the environment and flags to one checked `Config`. Each layer overrides the layer before it.

Nothing is guessed. A key that does not exist, a value of the wrong type and settings that contradict each other are
refused. The text says where the error is and what would be right, and all errors are told at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from quorate.config.adapter_table import ADAPTERS
from quorate.config.check import problems_of
from quorate.config.environment import sort_out
from quorate.config.nearest import closest
from quorate.config.section import without_passwords
from quorate.config.settings import SETTINGS, Config, Setting, section_names, section_types
from quorate.errors import ConfigError
from quorate.security.open_files import why_open

SECRET_FILE_BYTES_MAX = 65_536
TEXT = "utf-8-sig"  # without the byte order mark that some editors write
FILE, ENVIRONMENT, FLAG = range(3)  # the rank of each layer: a higher one overrides a lower one


@dataclass(frozen=True, slots=True)
class Loaded:
    config: Config
    origins: dict[str, str]  # "section.key" -> where its value came from; a default has no entry
    warnings: tuple[str, ...] = ()  # what was passed over


@dataclass(frozen=True, slots=True)
class _Given:
    value: Any
    origin: str
    rank: int
    base: Path  # a relative path in the value is relative to this folder


def load(
    file: Path | None = None, *, env: Mapping[str, str] | None = None, flags: Mapping[str, Any] | None = None
) -> Loaded:
    """Read and check all settings. `flags` maps "section.key" to a text or a value. Raises `ConfigError`."""
    problems: list[str] = []
    given: dict[str, _Given] = {}
    if file is not None:
        _read_file(file, given, problems)
    env = os.environ if env is None else env
    variables = sort_out(env)
    problems += variables.refusals()
    for setting, variable in variables.found:
        _take(given, problems, setting.name, env[variable], f"${variable}", ENVIRONMENT, Path.cwd(), lax=True)
    for name, value in (flags or {}).items():
        _take(given, problems, name, value, "a flag", FLAG, Path.cwd(), lax=True)
    warnings = [*variables.warnings()]
    if file is not None:
        warnings += _secrets_in(file, given)
    _read_secrets(given, problems)
    _follow_old_names(given, problems)
    _refuse(problems)
    config = _build(given)
    _refuse([_with_variables(problem, given) for problem in problems_of(config)])
    _refuse(_open_keys(config))
    return Loaded(config, {name: item.origin for name, item in given.items()}, tuple(warnings))


def _open_keys(config: Config) -> list[str]:
    """Which private keys others may read or change. A file that cannot be read is told by whoever needs it."""
    keys = {"http.tls_key": config.http.tls_key or config.http.tls_cert, "raft.tls_key": config.raft.tls_key}
    problems: list[str] = []
    for name, file in keys.items():
        with contextlib.suppress(OSError):
            problems += [f"{name}: {file} {why}" for why in (why_open(Path(file)) if file else ())]
    return problems


def _with_variables(problem: str, given: Mapping[str, _Given]) -> str:
    """A contradiction names settings. Name also the variables that set them: their user knows these."""
    named = [name for name in given if re.search(rf"(?<![\w.]){re.escape(name)}(?!\w)", problem)]
    origins = [given[name].origin for name in named if given[name].rank == ENVIRONMENT]
    return f"{problem} ({', '.join(origins)})" if origins else problem


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems), problems=problems)


def _build(given: Mapping[str, _Given]) -> Config:
    values: dict[str, dict[str, Any]] = {section: {} for section in section_names()}
    for name, setting in SETTINGS.items():
        value, base = (given[name].value, given[name].base) if name in given else (setting.default, Path.cwd())
        if setting.path and value and not str(value).startswith("s3://"):  # backup.to
            value = os.path.normpath(base / Path(value).expanduser())
        values[setting.section][setting.key] = value
    sections = {name: msgspec.convert(values[name], kind) for name, kind in section_types().items()}
    adapters = {name: sections.pop(name) for name in ADAPTERS}
    return Config(**sections, adapters=adapters)  # type: ignore[arg-type]  # each of the type that its name has there


def _read_file(file: Path, given: dict[str, _Given], problems: list[str]) -> None:
    try:
        table = tomllib.loads(file.read_text(encoding=TEXT))
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: is not UTF-8 text") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{file}: is not TOML: {error}") from None
    base = file.resolve().parent
    for section, values in table.items():
        if section not in section_names():
            problems.append(f"{file}: [{section}] is not a section{_nearest(section, section_names())}")
        elif not isinstance(values, dict):
            problems.append(f"{file}: {section} is a section: write [{section}] and its settings below it")
        else:
            for key, value in values.items():
                _take(given, problems, f"{section}.{key}", value, str(file), FILE, base, lax=False)


def _take(
    given: dict[str, _Given],
    problems: list[str],
    name: str,
    value: Any,
    origin: str,
    rank: int,
    base: Path,
    *,
    lax: bool,
) -> None:
    """Convert one value and remember it. A problem is noted, not raised. `lax`: numbers and lists come as texts."""
    setting = SETTINGS.get(name)
    if setting is None:
        problems.append(f"{origin}: {name} is not a setting{nearest_setting(name)}")
        return
    try:
        converted = _convert(setting, value, lax=lax)
    except msgspec.ValidationError:
        shown = "***" if setting.secret else repr(without_passwords(value))
        problems.append(f"{origin}: {name} is {shown}; give {setting.allowed()}")
    else:
        given[name] = _Given(converted, origin, rank, base)


def _convert(setting: Setting, value: Any, *, lax: bool) -> Any:
    if lax and isinstance(value, str) and setting.type == list[str]:
        items = [] if value.split() in (["[]"], ["[", "]"]) else value.split(",")
        value = [item.strip() for item in items if item.strip()]
    if setting.several and isinstance(value, list) and all(isinstance(item, str) for item in value):
        value = ", ".join(value)
    if lax and not setting.path and any("\ud800" <= character <= "\udfff" for character in str(value)):
        raise msgspec.ValidationError("not UTF-8")
    return msgspec.convert(value, setting.annotated, strict=not lax)


def _read_secrets(given: dict[str, _Given], problems: list[str]) -> None:
    """Fill each secret from its file. If both are given, the higher layer is taken."""
    for setting in [s for s in SETTINGS.values() if s.secret]:
        direct, pointer = given.get(setting.name), given.get(f"{setting.name}_file")
        if pointer is None or not pointer.value:
            continue
        if direct is not None and direct.rank == pointer.rank:
            problems.append(f"{pointer.origin}: {setting.name} and {setting.name}_file are both set; give one")
        elif direct is not None and direct.rank > pointer.rank:
            del given[f"{setting.name}_file"]
        else:
            _read_secret(setting, pointer, given, problems)


def _read_secret(setting: Setting, pointer: _Given, given: dict[str, _Given], problems: list[str]) -> None:
    file = pointer.base / Path(pointer.value).expanduser()
    try:
        text = file.read_text(encoding=TEXT)[:SECRET_FILE_BYTES_MAX].strip()
        problems += [f"{setting.name}_file: {file} {why}" for why in why_open(file)]
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        problems.append(f"{pointer.origin}: {setting.name}_file: {file} cannot be read: {reason}")
        return
    if not text:
        problems.append(f"{pointer.origin}: {setting.name}_file: {file} is empty")
    given[setting.name] = _Given(text, str(file), pointer.rank, pointer.base)


def _secrets_in(file: Path, given: Mapping[str, _Given]) -> list[str]:
    """A warning if the settings' file has secrets in it and is open to others.

    It is told and still taken, unlike a file that holds a secret alone: it is often delivered as others can read it.
    """
    of_file = {name: item.value for name, item in given.items() if item.rank == FILE and SETTINGS[name].secret}
    # A database's address is a secret only if it has a password.
    names = sorted(name for name, value in of_file.items() if value and ("://" not in value or "@" in value))
    try:
        return [f"{file} holds {' and '.join(names)} and {why}" for why in why_open(file)] if names else []
    except OSError:
        return []


def _follow_old_names(given: dict[str, _Given], problems: list[str]) -> None:
    """Move a value from an old name to the new one. If both are given, the higher layer is taken."""
    for old in [s for s in SETTINGS.values() if s.replaced_by and s.name in given]:
        found, new = given.pop(old.name), given.get(old.replaced_by)
        if new is not None and new.rank == found.rank:
            problems.append(
                f"{found.origin}: {old.name} and {old.replaced_by} are both set; give {old.replaced_by} alone"
            )
        elif new is None or new.rank < found.rank:
            value = _as_new(old, found.value)
            given[old.replaced_by] = _Given(value, found.origin, found.rank, found.base)


def _as_new(old: Setting, value: Any) -> Any:
    """The value of the new setting that means the same as this value of the old one."""
    if SETTINGS[old.replaced_by].names is None:
        return value
    return [] if value in ("", "none") else [value]


def under_new_names(values: Mapping[str, Any]) -> dict[str, Any]:
    """The same settings ("section.key") without old names. If both names are given, the new one's value is taken."""
    old = {name: SETTINGS[name] for name in values if name in SETTINGS and SETTINGS[name].replaced_by}
    renamed = {setting.replaced_by: _as_new(setting, values[name]) for name, setting in old.items()}
    return renamed | {name: value for name, value in values.items() if name not in old}


def _nearest(word: str, known: tuple[str, ...]) -> str:
    near = closest(word, known, cutoff=0.5)
    return f"; did you mean {near}?" if near else f"; there are {', '.join(known)}"


def nearest_setting(name: str) -> str:
    """The nearest known setting: first of the same section, then the same key elsewhere, then anything like it."""
    section, _, key = name.partition(".")
    siblings = {s.key: s.name for s in SETTINGS.values() if s.section == section and not s.replaced_by}
    if near := closest(key, siblings):
        return f"; did you mean {siblings[near]}?"
    if elsewhere := [s.name for s in SETTINGS.values() if s.key == key]:
        return f"; did you mean {' or '.join(elsewhere)}?"
    if not key and (holding := [s.name for s in SETTINGS.values() if name in s.key and not s.replaced_by]):
        return f"; did you mean {' or '.join(holding[:3])}?"
    if anything := closest(name, SETTINGS):
        return f"; did you mean {anything}?"
    return f"; [{section}] has {', '.join(siblings)}" if siblings else _nearest(section, section_names())
