"""The run that a person means."""

from __future__ import annotations

import contextlib

from lab.errors import NotFoundError, unknown_name
from lab.installation import COMMAND
from lab.runs.rows import RunRow
from lab.runs.store import store


def find_run(text: str) -> RunRow:
    """Returns the run with this id, the only one whose id begins so, or the only one of this name.

    Raises NotFoundError for none and for several.
    """
    with contextlib.suppress(NotFoundError):  # a whole id: no other run needs to be read
        return store().run(text)
    rows = {row.id: row for row in store().runs()}
    matches = [row for row in rows.values() if text and row.id.startswith(text)]
    matches = matches or [row for row in rows.values() if row.name == text]
    if len(matches) == 1:
        return matches[0]
    if matches:
        ids = ", ".join(row.id for row in matches[:5])
        raise NotFoundError(f"{len(matches)} runs are {text!r}: {ids}. Write one of these ids.")
    raise NotFoundError(f"{unknown_name('run', text, rows)} `{COMMAND} runs` lists them.")
