"""Carries out `quorate chaos`: makes the cluster, runs, shows, checks the history, and tells the verdict."""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import shlex
import shutil
import signal
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
from rich.console import Console

from quorate import shown
from quorate.chaos.cluster import VICTIM, ChaosCluster
from quorate.chaos.elsewhere import elsewhere
from quorate.chaos.figures import RunFigures
from quorate.chaos.history import HistoryFile
from quorate.chaos.live import RunDisplay, RunLines, RunPicture
from quorate.chaos.namespaces.namespace_network import NamespaceNetwork
from quorate.chaos.nemeses.all import ALL, FAMILIES, chosen, refused, usable
from quorate.chaos.other_program import OtherProgram, other_program
from quorate.chaos.own_cluster import SETTINGS, OwnCluster
from quorate.chaos.planted_bugs import BuggyNodes, PlantedBug, nodes_with, planted_bugs
from quorate.chaos.preload import Preload, found_library, working_preload
from quorate.chaos.run import ChaosRun, Scenery
from quorate.chaos.services.chaos_services import SERVICES, SHOWN, ChaosServices
from quorate.cli.check import CODES, code_without_verdict, judged_run, show
from quorate.cli.node_options import print_json
from quorate.cli.output import echo
from quorate.config import Address
from quorate.errors import Invalid
from quorate.stop_signals import SignalledEvent, stop_signals
from quorate.words import count

SHOW_EVERY_S = 0.25
NONE = "none"  # for --faults
CLOCKS = "clocks"  # a family

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ChaosOptions:
    nodes: int
    duration_s: float
    faults: list[str]
    seed: int | None
    services: dict[str, str]  # names, with their addresses where one is given
    against: list[str]
    history: Path | None
    as_json: bool
    token: str | None
    ca: str | None
    mutant: str | None = None
    mixed_with: Path | None = None  # an interpreter
    faults_are_chosen: bool = True
    report: Path | None = None
    in_namespaces: bool = False
    redis: Sequence[Address] = ()  # of the cluster in `against`


def list_mutants(*, as_json: bool) -> None:
    bugs = _known_bug(planted_bugs)
    if as_json:
        print_json([msgspec.to_builtins(bug) for bug in bugs])
        return
    width = max(len(bug.name) for bug in bugs)
    echo(*(f"{bug.name:<{width}}  {bug.about}" for bug in bugs))


def _known_bug(find: Callable[[], T]) -> T:
    try:
        return find()
    except Invalid as error:
        raise click.BadParameter(error.detail, param_hint="--mutant") from None


def list_faults(*, as_json: bool) -> None:
    if as_json:
        print_json({family: {each.name: each.about for each in nemeses} for family, nemeses in FAMILIES.items()})
        return
    width = max(map(len, ALL))
    for family, nemeses in FAMILIES.items():
        echo(f"{family}:", *(f"  {each.name:<{width}}  {each.about}" for each in nemeses))


def run_chaos(options: ChaosOptions) -> int:
    """The exit code."""
    _refuse_unknown_faults(options)
    nodes = None
    if (name := options.mutant) is not None:
        nodes = _known_bug(lambda: nodes_with(name))
    other = _known_program(options.mixed_with)
    seed = random.SystemRandom().randrange(10**9) if options.seed is None else options.seed
    folder = Path(tempfile.mkdtemp(prefix="quorate-chaos-"))
    history = options.history or folder / "history.ndjson"
    command = ChaosCommand(options, seed, folder, history, nodes, other)
    try:
        return command.run()
    except Exception as error:
        return code_without_verdict(error, as_json=options.as_json)
    finally:
        with contextlib.suppress(OSError):  # it is not empty: the run left something
            folder.rmdir()


def _refuse_unknown_faults(options: ChaosOptions) -> None:
    if NONE in options.faults and options.faults != [NONE]:
        raise click.BadParameter(f"{NONE} stands alone, without other names", param_hint="--faults")
    try:
        if options.faults != [NONE]:
            chosen(options.faults)
    except Invalid as error:
        raise click.BadParameter(error.detail, param_hint="--faults") from None


def _known_program(python: Path | None) -> OtherProgram | None:
    try:
        return None if python is None else other_program(python)
    except Invalid as error:
        raise click.BadParameter(error.detail, param_hint="--mixed-with") from None


class ChaosCommand:
    """`nodes` have a planted bug. `other` is what nodes can be besides."""

    def __init__(
        self,
        options: ChaosOptions,
        seed: int,
        folder: Path,
        history: Path,
        nodes: BuggyNodes | None,
        other: OtherProgram | None,
    ) -> None:
        self._options, self._seed, self._folder, self._history = options, seed, folder, history
        self._nodes, self._other = nodes, other
        self._console = Console(highlight=False, stderr=options.as_json)
        self._stopping = SignalledEvent()
        self._run: ChaosRun | None = None
        self._error: BaseException | None = None
        self._cluster_folder = folder / "cluster"

    def run(self) -> int:
        display: RunDisplay = RunPicture(self._console) if self._console.is_terminal else RunLines(self._console)
        running = threading.Thread(target=self._work, args=(display.say,), name="chaos", daemon=True)
        try:
            with _stopped_by_signals(self._stopping):
                running.start()
                while running.is_alive():
                    running.join(SHOW_EVERY_S)
                    if (run := self._run) is not None:
                        display.show(run.view(), self._options.duration_s)
        finally:
            display.close()
        if self._error is not None:
            if self._run is None:
                shutil.rmtree(self._folder, ignore_errors=True)
            else:
                echo(f"quorate: no verdict. What was written can be checked: quorate check {self._history}", err=True)
            raise self._error
        return self._judge()

    # ---- in the thread that starts the nodes ------------------------------------------------------------------------

    def _work(self, say: Callable[[str], None]) -> None:
        try:
            if self._options.against:
                self._against(say)
            else:
                self._here(say)
        except BaseException as error:
            self._error = error

    def _against(self, say: Callable[[str], None]) -> None:
        options = self._options
        scenery = elsewhere(options.against, options.redis, token=options.token, ca=options.ca, stopping=self._stopping)
        prefix = f"chaos-{secrets.token_hex(4)}"
        say(f"seed {self._seed}, {count(len(scenery.nodes), 'node')}, polls {prefix}-…; history: {self._history}")
        self._go(scenery, prefix)

    def _here(self, say: Callable[[str], None]) -> None:
        with self._network() as network, self._services(say, network) as services:
            self._with(network, services, say)

    def _with(self, network: NamespaceNetwork | None, services: ChaosServices, say: Callable[[str], None]) -> None:
        options = self._options
        cluster, asked = self._cluster(network, services, say), self._faults_asked()
        names, missing = usable(cluster, [] if asked == [NONE] else chosen(asked))
        if cannot := refused(asked, names, missing):
            listed = "; ".join(f"{name}: {why}" for name, why in cannot.items())
            raise click.UsageError(f"these faults cannot work here: {listed}.")
        if self._other is not None:
            say(f"nodes change to {self._other.words}, and back")
        if self._nodes is not None:
            say(_about(self._nodes.bug))
        say(
            f"seed {self._seed}, {count(options.nodes, 'node')}, {count(len(names), 'kind')} of faults; "
            f"history: {self._history}"
        )
        for why in dict.fromkeys(missing.values()):
            say(f"left out: {', '.join(name for name, each in missing.items() if each == why)}: {why}")
        with cluster:
            scenery = OwnCluster(
                cluster, names, seed=self._seed, duration_s=options.duration_s, stopping=self._stopping
            )
            self._go(scenery, "chaos")

    def _cluster(
        self, network: NamespaceNetwork | None, services: ChaosServices, say: Callable[[str], None]
    ) -> ChaosCluster:
        nodes = self._nodes
        return ChaosCluster(
            self._cluster_folder,
            self._options.nodes,
            SETTINGS,
            seed=self._seed,
            services=services,
            other=self._other,
            command=VICTIM if nodes is None else nodes.command,
            env=None if nodes is None else nodes.env,
            network=network,
            preload=self._preload(say),
        )

    def _preload(self, say: Callable[[str], None]) -> Preload | None:
        """What another program makes of it nobody has tried, so with one the clocks of our own code are moved."""
        asked = self._faults_asked()
        names = set() if asked == [NONE] else set(chosen(asked))
        if self._other is not None or not names & {nemesis.name for nemesis in FAMILIES[CLOCKS]}:
            return None
        preload, why_not = working_preload(found_library())
        say(f"clocks are moved by {preload.library}" if preload else f"clocks are moved in our own code: {why_not}")
        return preload

    def _faults_asked(self) -> list[str]:
        """Those under which a planted bug is caught soon, unless others are asked for."""
        options = self._options
        if self._nodes is None or options.faults_are_chosen:
            return options.faults
        return self._nodes.bug.faults or options.faults

    @contextlib.contextmanager
    def _network(self) -> Iterator[NamespaceNetwork | None]:
        """None: relays."""
        if not self._options.in_namespaces:
            yield None
            return
        try:
            network = NamespaceNetwork()
        except Invalid as error:
            raise click.BadParameter(f"{error.detail}.", param_hint="--network") from None
        with contextlib.closing(network):
            yield network

    @contextlib.contextmanager
    def _services(self, say: Callable[[str], None], network: NamespaceNetwork | None) -> Iterator[ChaosServices]:
        """Servers that are asked for by name must be there; of all of them, those that can be had."""
        asked = self._options.services
        host = {} if network is None else {"host": network.host}
        services = ChaosServices(asked, self._cluster_folder, seed=self._seed, **host)
        try:
            if asked:
                say(f"starting {', '.join(SHOWN[name] for name in asked)}")
            services.start()
            for name, how in services.had.items():
                say(f"{SHOWN[name]}: {how}")
            if services.missing and (set(asked) != set(SERVICES) or not services.had):
                listed = "; ".join(f"{SHOWN[name]}: {why}" for name, why in services.missing.items())
                raise click.UsageError(f"--services: {listed}.")
            for name, why in services.missing.items():
                say(f"it runs without {SHOWN[name]}: {why}")
            yield services
        finally:
            services.close()

    def _go(self, scenery: Scenery, prefix: str) -> None:
        history = HistoryFile(self._history)
        try:
            self._run = ChaosRun(
                scenery,
                history,
                seed=self._seed,
                prefix=prefix,
                duration_s=self._options.duration_s,
                stopping=self._stopping,
                command=shown.line(shlex.join(["quorate", *sys.argv[1:]])),
            )
            self._run.run()
        finally:
            history.close()

    # ---- the verdict ------------------------------------------------------------------------------------------------

    def _judge(self) -> int:
        options = self._options
        wants_story = options.as_json or options.report is not None
        run = judged_run(self._history, scratch=self._folder, with_story=wants_story)
        verdict, report = run.verdict, run.draw(options.report)
        if options.as_json:
            print_json({"seed": self._seed, **run.to_machines()})
        else:
            show(self._history, verdict)
            echo("", *_in_words(run.figures))
            echo(f"history: {self._history}", *report)
        if verdict.verdict == "clean":
            shutil.rmtree(self._cluster_folder, ignore_errors=True)
        elif not options.as_json and self._cluster_folder.exists():
            echo(f"the nodes' folders, with their logs: {self._cluster_folder}")
        return CODES[verdict.verdict]


def _about(bug: PlantedBug) -> str:
    seldom = "" if bug.faults else ". A run may well not catch it; the simulation does: python -m tests.mutants"
    return f"all nodes have the planted bug {bug.name}: {bug.about}{seldom and f'{seldom} {bug.name}'}"


def _in_words(figures: RunFigures) -> list[str]:
    lines = [
        f"longest gap without a vote {figures.longest_gap_s:.2f} s, {figures.longest_gap_at:,.0f} s after the beginning"
    ]
    if figures.failover_p50_s is not None and figures.failover_p99_s is not None:
        lines.append(
            f"{count(len(figures.failovers_s), 'failover')}: {figures.failover_p50_s:.2f} s at p50, "
            f"{figures.failover_p99_s:.2f} s at p99"
        )
    total = sum(figures.faults.values())
    by_kind = ", ".join(f"{name} {number}" for name, number in figures.faults.items())
    if total:
        lines.append(f"{count(total, 'fault')} of {count(len(figures.faults), 'kind')}: {by_kind}")
    return lines


@contextlib.contextmanager
def _stopped_by_signals(stopping: threading.Event) -> Iterator[None]:
    """The first signal ends the run early. The second one ends this process, and the nodes with it."""

    def on_signal(number: int, _: Any) -> None:
        if stopping.is_set():
            if sys.stderr.isatty():
                os.write(2, b"\x1b[?25h\r\n")
            os._exit(128 + number)
        stopping.set()

    before = {number: signal.signal(number, on_signal) for number in stop_signals()}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
