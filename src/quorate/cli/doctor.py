"""`quorate doctor`"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from quorate.cli.busy import busy
from quorate.cli.node_options import as_json, asks_nodes, ca_given, print_json, token_given
from quorate.cli.output import echo

if TYPE_CHECKING:
    from quorate.config.load import Loaded
    from quorate.doctor.finding import Finding
    from quorate.doctor.nodes import Fetch

MARKS = {"good": "ok  ", "warning": "WARN", "bad": "BAD ", "unknown": "?   "}


@click.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path), required=False, envvar="QUORATE_CONFIG")
@click.option(
    "--bundle",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Also pack all of it into FILE (tar.gz), without secrets, for whoever helps.",
)
@as_json
@asks_nodes(timeout_s=5.0)
def doctor(
    file: Path | None,
    bundle: Path | None,
    as_json: bool,
    nodes: list[str],
    timeout_s: float,
) -> int:
    """Say what is wrong with this machine and with the cluster, and what to do about it. Nothing is changed.

    With the settings FILE of a node, this machine is looked at: folder, disk, ports, limits. All nodes are asked that
    --node names, or else the settings, and those that these name. The exit code is 1 if anything is bad.
    """
    from quorate.doctor.finding import is_bad
    from quorate.doctor.nodes import ask_all, look_at_nodes

    if bundle is not None and bundle.exists():
        raise click.UsageError(f"{bundle} is there already; give another name, or remove it")
    if bundle is not None and not bundle.absolute().parent.is_dir():
        raise click.UsageError(f"{bundle.parent} is no folder; make it first, or give another name")
    findings: list[Finding] = []
    loaded = _load(file, findings) if file is not None else None
    if loaded is not None:
        from quorate.doctor.machine import look_at_machine

        with busy("looking at this machine"):
            findings += look_at_machine(loaded.config)
    with busy("asking the nodes"):
        answers = ask_all(nodes or _nodes_of(loaded, file), _fetching(timeout_s))
    findings += look_at_nodes(answers)
    if as_json:
        print_json({"findings": findings, "bundle": str(bundle) if bundle else None})
    else:
        for each in findings:
            echo(f"{MARKS[each.health]} {each.what}: {each.words}")
            if each.todo:
                echo(f"     {each.todo}")
    if bundle is not None:
        _write(bundle, findings, answers, loaded)
        echo(f"{bundle} has all of this, without secrets", err=True)
    return 1 if is_bad(findings) else 0


def _load(file: Path, findings: list[Finding]) -> Loaded | None:
    from quorate.config import load
    from quorate.doctor.finding import Finding
    from quorate.errors import ConfigError

    try:
        loaded = load(file)
    except ConfigError as error:
        findings.append(Finding("settings", "bad", error.detail, "correct them: docs/settings.md lists all"))
        return None
    for warning in loaded.warnings:
        findings.append(Finding("settings", "warning", warning))
    if not loaded.warnings:
        findings.append(Finding("settings", "good", f"{file}"))
    return loaded


def _nodes_of(loaded: Loaded | None, file: Path | None) -> list[str]:
    """The node of these settings, or those of `quorate dev` if there are no settings."""
    from quorate.client.http import DEFAULT_NODES

    if loaded is None:
        return [] if file is not None else list(DEFAULT_NODES)
    http = loaded.config.http
    return [f"{'https' if http.tls_cert else 'http'}://{http.addresses[0].dialled_here}"]


def _fetching(timeout_s: float) -> Fetch:
    from quorate.web.fetch import fetch

    token, ca = token_given(), ca_given()
    return lambda url: fetch(url, timeout_s=timeout_s, token=token, ca=ca)


def _write(bundle: Path, findings: list[Finding], answers: Any, loaded: Loaded | None) -> None:
    from quorate.config.write import masked_config
    from quorate.doctor.bundle import write_bundle
    from quorate.errors import ConfigError

    settings = masked_config(loaded.config) if loaded else {}
    log = Path(loaded.config.log.file) if loaded and loaded.config.log.file else None
    try:
        write_bundle(bundle, findings, answers, settings, log)
    except OSError as error:
        raise ConfigError(f"{bundle} cannot be written: {error.strerror or error}") from None
