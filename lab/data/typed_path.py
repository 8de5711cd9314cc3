"""A path as people type and paste it: in quotes, with spaces, as file://, from ~."""

from __future__ import annotations

import contextlib
import os
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

_QUOTES = {'"': '"', "'": "'", "“": "”", "‘": "’", "«": "»", "`": "`"}


def typed_path(text: str) -> Path:
    """Returns the path that a person means by this text; it need not be there.

    Takes away quotes and spaces around it, reads file:// addresses, ~ and a shell's backslashes
    before spaces. What lies there as typed comes first.
    """
    path = text.strip().strip("\u200b\u202a\u202c\ufeff").strip()
    while len(path) > 1 and path[-1] == _QUOTES.get(path[0]):
        path = path[1:-1].strip()
    if path.casefold().startswith("file:"):
        with contextlib.suppress(ValueError):  # file://[
            path = url2pathname(urlsplit(path).path)
    typed = expanded(path)
    if "\\" in path and not os.path.lexists(typed):
        without = expanded(re.sub(r"\\(.)", r"\1", path))
        return without if os.path.lexists(without) else typed
    if "%" in path and not os.path.lexists(typed):
        decoded = expanded(unquote(path))
        return decoded if os.path.lexists(decoded) else typed
    return typed


def expanded(path: str) -> Path:
    """Returns the path with ~ as a home folder, where it is that of somebody here."""
    try:
        return Path(path).expanduser()
    except (RuntimeError, ValueError):
        return Path(path)
