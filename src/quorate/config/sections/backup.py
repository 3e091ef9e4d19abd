"""[backup]: backups that the leader takes by itself."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from cronsim import CronSim, CronSimError

from quorate.config.section import Section, about


class ScheduledBackup(Section, frozen=True):
    schedule: Annotated[
        str, about("when the leader takes one, as in cron, in UTC: 0 3 * * * is 03:00 each day; empty: never")
    ] = ""
    to: Annotated[str, about("folder that backups are put into; empty: none", path=True)] = ""
    keep: Annotated[
        int, about("newest backups of this cluster that are kept there; older ones are removed", ge=1, le=100_000)
    ] = 14

    def problems(self) -> Iterator[str]:
        if not self.schedule:
            return
        if not self.to:
            yield "backup.schedule says when, and not where to: set backup.to"
        try:
            next(CronSim(self.schedule, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            why = f" ({error})" if str(error) else ""
            yield (
                f"backup.schedule is {self.schedule!r}, which is no time{why}: give minute, hour, day, month and day "
                "of the week, as 0 3 * * *"
            )
