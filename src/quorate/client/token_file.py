"""The token of a client: one line in a file of its own, so that it stands neither in `ps` nor in a shell's history."""

from __future__ import annotations

import re
from pathlib import Path

from quorate.errors import ConfigError

BYTES_MAX = 4096
TOKEN = re.compile(r"[A-Za-z0-9._~+/-]+=*")  # RFC 6750, b64token


def read_token(path: Path) -> str:
    """Raises `ConfigError`. No text of the file is quoted."""
    try:
        with open(path, "rb") as file:
            text = file.read(BYTES_MAX + 1).decode("utf-8-sig").strip()
    except OSError as error:
        raise ConfigError(f"the token in {path} cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} holds no token: it is not text") from None
    if len(text) > BYTES_MAX or not TOKEN.fullmatch(text):
        raise ConfigError(f"{path} holds no token: a token is one word on one line, as `quorate token new` prints it")
    return text
