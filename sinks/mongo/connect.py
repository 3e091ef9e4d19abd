"""The client of MongoDB, as the settings name it."""

from __future__ import annotations

import logging
import warnings
from typing import Any

import pymongo
from pymongo.errors import ConfigurationError
from pymongo.uri_parser import split_options

log = logging.getLogger(__name__)


def connect(url: str) -> pymongo.MongoClient[dict[str, Any]]:
    """The client connects when it is first used. Raises `PyMongoError`, `ValueError` or `OSError`.

    It reads from the primary, whatever the URL says: a secondary lags, and its documents would look as if an older copy
    of the database had been put back.

    The driver passes over options that it does not know, with a warning that names a line of its own. A misspelt
    `tls` would go unnoticed, so the log tells.
    """
    if (passed_over := _passed_over(url)) is not None:
        log.warning("mongo.url has an option that the driver passes over: %s", passed_over)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return pymongo.MongoClient(url, w="majority", journal=True, readPreference="primary", appname="quorate")


def _passed_over(url: str) -> str | None:
    options = url.partition("?")[2]
    try:
        if options:
            split_options(options, validate=True, warn=False)
    except (ConfigurationError, ValueError, TypeError) as error:
        return str(error).partition(" or maybe a camelCase")[0]
    return None
