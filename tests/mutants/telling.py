"""A story on a simulated cluster that is broken meanwhile, and the verdict of the checkers on its history."""

from __future__ import annotations

import asyncio
import random
import tempfile
from functools import partial
from pathlib import Path
from unittest import mock

from quorate.chaos.history import FORMAT, End, Header, HistoryFile
from quorate.chaos.verdict import judge
from tests.mutants.scenarios import Scenario
from tests.mutants.stories import WINDOW, Story, VirtualRecorder
from tests.simulation.breaking import break_things
from tests.simulation.cluster import EPOCH_S, SimCluster, virtual_time
from tests.simulation.faults import heal
from tests.simulation.schedule import drawn


async def _tell(seed: int, history: HistoryFile, seconds: float, likelier: dict[str, float]) -> list[str]:
    cluster, schedule = SimCluster(seed, "abc"), drawn(seed, "abc", seconds=seconds, likelier=likelier)
    recorder = VirtualRecorder(history, cluster.loop)
    history.write(Header(FORMAT, "simulation", seed, 0, dict.fromkeys(cluster.names, ""), WINDOW))
    story = Story(cluster, recorder, random.Random(f"story {seed}"))
    for name in cluster.names:
        await cluster.start(name)
    await cluster.until(cluster.leader, 20, "a first leader")
    await cluster.until(
        lambda: all(n.replica and n.replica.state.hash_key for n in cluster.nodes.values()), 10, "a state"
    )
    await story.prepare()
    for client in (
        story.voter(),
        story.session("ann"),
        story.session("bob"),
        story.reader(),
        story.keeper(),
        story.timer(),
    ):
        story.begin(client)
    await break_things(cluster, schedule)
    await asyncio.sleep(max(0.0, seconds - cluster.loop.time()))
    await heal(cluster)
    await story.settle()
    recorder.write_open()
    history.write(End(recorder.now(), recorder.operations, settled=True))
    return cluster.broken


def _wall(runner: asyncio.Runner) -> float:
    return EPOCH_S + runner.get_loop().time()


def tell_story(seed: int, seconds: float, likelier: dict[str, float]) -> list[str]:
    with tempfile.TemporaryDirectory(prefix="quorate-story-") as folder:
        history = HistoryFile(Path(folder) / "history.ndjson")
        try:
            with virtual_time() as runner, mock.patch("time.time", partial(_wall, runner)):
                broken = runner.run(_tell(seed, history, seconds, likelier))
        except (AssertionError, TimeoutError) as error:  # what there is by then is judged
            broken = [repr(error)]
        finally:
            history.close()
        verdict = judge(history.path, scratch=Path(folder))
    broken += [f"{each.property}: {each.words}" for each in verdict.violations]
    return broken + verdict.reasons


def story(seconds: float = 5.0, **likelier: float) -> Scenario:
    return partial(
        tell_story, seconds=seconds, likelier={name.replace("_", "-"): each for name, each in likelier.items()}
    )
