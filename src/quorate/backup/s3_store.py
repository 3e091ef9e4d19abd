"""A bucket of a store that speaks S3's protocol, as a place for backups. Needs the extra s3 (boto3).

A backup is one PUT, so it is there whole or not at all. It is made on the node's disk first, in a file without a name,
because S3 wants to know its length and MD5 before its first byte. The keys come from where AWS' own programs look for
them: the environment, ~/.aws, the role of the machine. They stand in no setting and in no log.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config as ClientSettings
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    EndpointConnectionError,
    NoCredentialsError,
    PartialCredentialsError,
    ReadTimeoutError,
)

from quorate.errors import BackupNotWritten, BackupUnusable, ConfigError, DataError
from quorate.shown import line, without_password

REGION = "us-east-1"  # where nothing says another one; stores that are not AWS' mostly have this one
CONNECT_S, ANSWER_S = 10, 60
TRIES = 2
PUT_S = 3600.0
PUT_BYTES_MAX = 5 * 1024**3  # of S3 itself
PIECE_BYTES = 1024 * 1024
CHATTY = "boto3", "botocore", "s3transfer"  # at `debug` they write down what they sign

Sent = Callable[[int], object]

_NO_RIGHTS = "AccessDenied", "AllAccessDisabled", "403"
_WRONG_KEYS = "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken", "AuthFailure"


class S3Store:
    """`to` is s3://bucket/prefix. `endpoint` is the URL of the store; empty: AWS, or what AWS_ENDPOINT_URL says."""

    def __init__(self, to: str, endpoint: str, scratch: Path | str, *, answer_s: float = ANSWER_S) -> None:
        """`scratch` is the folder for the file of a backup that is being sent."""
        self.where = to
        parts = urlsplit(to)
        self._bucket, self._prefix = parts.netloc, parts.path.strip("/") + "/" if parts.path.strip("/") else ""
        self._at = f" at {without_password(endpoint)}" if endpoint else ""
        self._scratch = Path(scratch)
        for name in CHATTY:
            logging.getLogger(name).setLevel(logging.WARNING)
        session = boto3.session.Session()
        try:
            self._client: Any = session.client(
                "s3",
                endpoint_url=endpoint or None,
                region_name=session.region_name or REGION,
                config=ClientSettings(
                    connect_timeout=CONNECT_S,
                    read_timeout=answer_s,
                    retries={"total_max_attempts": TRIES},
                    # Other stores know neither AWS' newer checksums nor buckets as host names; MD5 they all know.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path" if endpoint else "auto"},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(f"{to} cannot be used: {line(without_password(str(error)))}") from None

    def names(self) -> list[str]:
        with self._in_words("be listed", "s3:ListBucket"):
            pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._prefix)
            found = [each["Key"] for page in pages for each in page.get("Contents", ())]
        return [key.removeprefix(self._prefix) for key in found]

    def has(self, name: str) -> bool:
        """Whether something of that name is known to be there: some keys may write and not look."""
        try:
            self._client.head_object(Bucket=self._bucket, Key=self._prefix + name)
        except (BotoCoreError, ClientError):
            return False
        return True

    def put(self, name: str, pieces: Iterable[bytes], *, replace: bool = False, sent: Sent = lambda _: None) -> int:
        """`sent` is told how many bytes are on their way."""
        try:
            with tempfile.TemporaryFile(dir=self._scratch) as file:
                md5 = hashlib.md5(usedforsecurity=False)
                for piece in pieces:
                    file.write(piece)
                    md5.update(piece)
                size = file.tell()
                body = _BodyInTime(file, f"{self.where} did not take the backup within {PUT_S:,.0f} s", sent)
                self._send(name, body, size, base64.b64encode(md5.digest()).decode(), replace)
        except OSError as error:
            why = error.strerror or error
            raise BackupNotWritten(
                f"the backup could not be made in {self._scratch} before it is sent: {why}"
            ) from None
        return size

    def remove(self, name: str) -> None:
        with self._in_words(f"have {name} removed", "s3:DeleteObject"):
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def fetch(self, name: str, file: IO[bytes]) -> None:
        """Write what was stored into the file. Raises `BackupUnusable`."""
        with self._in_words(f"give {name}", "s3:GetObject", BackupUnusable):
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
            for piece in answer["Body"].iter_chunks(PIECE_BYTES):
                file.write(piece)

    def _send(self, name: str, body: _BodyInTime, size: int, md5: str, replace: bool) -> None:
        if size > PUT_BYTES_MAX:
            raise BackupNotWritten(f"{self.where} takes at most 5 GiB at once, and the backup has {size:,} bytes")
        body.seek(0)
        asked = {"Bucket": self._bucket, "Key": self._prefix + name, "Body": body, "ContentLength": size}
        with self._in_words("take the backup", "s3:PutObject"):
            self._client.put_object(**asked, ContentMD5=md5, **({} if replace else {"IfNoneMatch": "*"}))

    @contextmanager
    def _in_words(self, what: str, right: str, kind: type[DataError] = BackupNotWritten) -> Iterator[None]:
        try:
            yield
        except (BotoCoreError, ClientError) as error:
            raise kind(f"{self.where}{self._at} cannot {what}: {self._why(error, right)}") from None

    def _why(self, error: Exception, right: str) -> str:
        if isinstance(error, NoCredentialsError | PartialCredentialsError):
            return "no keys were found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or give the machine a role"
        if isinstance(error, EndpointConnectionError | ConnectTimeoutError):
            return "nobody answers there"
        if isinstance(error, ReadTimeoutError):
            return "it did not answer in time"
        if not isinstance(error, ClientError):
            return line(without_password(str(error)))
        told = error.response.get("Error", {})
        code = str(told.get("Code", ""))
        if code in _NO_RIGHTS:
            return f"it refuses these keys the right ({right})"
        if code in _WRONG_KEYS:
            return f"it does not take these keys ({code})"
        if code == "NoSuchBucket":
            return f"there is no bucket {self._bucket!r}; make it first"
        if code == "PreconditionFailed":
            return "something of that name is there already"
        if code == "NoSuchKey":
            return "nothing of that name is there"
        return line(f"it says {code}: {told.get('Message', '')}")


class _BodyInTime:
    """What is sent. Raises when it lasts too long: a server that takes a byte now and then is never silent."""

    def __init__(self, file: IO[bytes], late: str, sent: Sent) -> None:
        self._file, self._late, self._end_s, self._sent = file, late, time.monotonic() + PUT_S, sent

    def read(self, size: int = -1) -> bytes:
        if time.monotonic() > self._end_s:
            raise BackupNotWritten(self._late)
        self._sent(self._file.tell())
        return self._file.read(size)

    def seek(self, at: int, whence: int = 0) -> int:
        return self._file.seek(at, whence)

    def tell(self) -> int:
        return self._file.tell()
