"""[backup]: backups that the leader takes by itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

from cronsim import CronSim, CronSimError

from quorate.config.section import Section, about
from quorate.host_port import is_url

S3 = "s3://"


class ScheduledBackup(Section, frozen=True):
    schedule: Annotated[
        str, about("when the leader takes one, as in cron, in UTC: 0 3 * * * is 03:00 each day; empty: never")
    ] = ""
    to: Annotated[
        str,
        about("folder that backups are put into, or s3://bucket/prefix (needs the extra s3); empty: none", path=True),
    ] = ""
    s3_endpoint: Annotated[
        str, about("URL of the S3-compatible store; empty: AWS. The keys are in AWS_ACCESS_KEY_ID and so on")
    ] = ""
    keep: Annotated[
        int, about("newest backups of this cluster that are kept there; older ones are removed", ge=1, le=100_000)
    ] = 14

    def problems(self) -> Iterator[str]:
        if not self.schedule:
            return
        if not self.to:
            yield "backup.schedule says when, and not where to: set backup.to"
        yield from self._of_s3()
        try:
            next(CronSim(self.schedule, datetime.now(UTC)))
        except (CronSimError, StopIteration) as error:
            why = f" ({error})" if str(error) else ""
            yield (
                f"backup.schedule is {self.schedule!r}, which is no time{why}: give minute, hour, day, month and day "
                "of the week, as 0 3 * * *"
            )

    @property
    def in_s3(self) -> bool:
        return self.to.startswith(S3)

    def _of_s3(self) -> Iterator[str]:
        if self.in_s3 and not re.fullmatch(r"s3://[a-z0-9][a-z0-9._-]+(/.*)?", self.to):
            yield f"backup.to is {self.to!r}; give s3://BUCKET or s3://BUCKET/PREFIX"
        if self.s3_endpoint and not self.in_s3:
            yield "backup.s3_endpoint is for a store that backup.to names as s3://BUCKET"
        if self.s3_endpoint and "@" in self.s3_endpoint:
            yield "backup.s3_endpoint has something before @; give the keys as AWS_ACCESS_KEY_ID and so on"
        elif self.s3_endpoint and not is_url(self.s3_endpoint):
            yield f"backup.s3_endpoint is {self.s3_endpoint!r}; give a URL, as https://minio.example:9000"
