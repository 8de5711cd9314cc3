"""Numbers that the operator sets: how much one person may ask for.

Each is a pair of the environment variable and its default.
"""

from __future__ import annotations

import os

from lab.errors import ConfigError

REQUESTS_A_MINUTE = ("LAB_MAX_REQUESTS", 1200)
"""Of the API, by one member."""
UPLOADS_A_MINUTE = ("LAB_MAX_UPLOADS", 6000)
"""Files, by one member: a folder comes file by file."""
SIGN_INS_A_MINUTE = ("LAB_MAX_SIGN_INS", 120)
"""From one address: a class may sit behind one."""
STREAMS = ("LAB_MAX_STREAMS", 20)
"""Event streams that one member, or without sign-in one address, may have open."""
PAGES = ("LAB_MAX_PAGES", 60)
"""Pages, each with its web socket, that one member, or without sign-in one address, may have
open: each is a session in memory."""
CLICKS_A_MINUTE = ("LAB_MAX_CLICKS", 1200)
"""Messages from pages, by one visitor; those beyond it wait."""
MEMORY_MEGABYTES = ("LAB_MAX_SESSION_MB", 200)
"""Of pictures to classify, which stay in memory, by one visitor."""
MEMORY_FILES = ("LAB_MAX_SESSION_FILES", 500)
COLLECTED_PICTURES = ("LAB_MAX_COLLECTED", 200)
"""That one person may put into one collection of the class."""
COLLECTED_MEGABYTES = ("LAB_MAX_COLLECTED_MB", 60)

_ALL = (
    REQUESTS_A_MINUTE,
    UPLOADS_A_MINUTE,
    SIGN_INS_A_MINUTE,
    STREAMS,
    PAGES,
    CLICKS_A_MINUTE,
    MEMORY_MEGABYTES,
    MEMORY_FILES,
    COLLECTED_PICTURES,
    COLLECTED_MEGABYTES,
)


def limit(setting: tuple[str, int]) -> int:
    """Returns the number that the operator set, else the default. Raises ConfigError."""
    variable, default = setting
    text = os.environ.get(variable, "").strip()
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 0 < int(text[:10]) < 10**9:
        raise ConfigError(f"{variable} is {text!r:.40}; allowed are whole numbers from 1.")
    return int(text)


def check_limits() -> None:
    """Raises ConfigError for a limit that is no number: told at the start, not to a visitor."""
    for setting in _ALL:
        limit(setting)
