"""Pictures of a page stay on the server for a minute after the page's script did without them.

Streamlit forgets a picture as soon as a script run ends that did not draw it. A run that is cut
short by the next press draws nothing, so a picture that the browser has not fetched yet would be
answered with 404 and stay broken, although the next run draws it again.
"""

from __future__ import annotations

import time
from typing import Any

from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

KEPT_SECONDS = 60.0
"""How long a browser may take to ask for a picture."""


class DelayedDeletion:
    """Puts off what a storage of pictures deletes. Called under the lock of Streamlit's manager."""

    def __init__(self, storage: MemoryMediaFileStorage) -> None:
        self._delete = storage.delete_file
        self._load = storage.load_and_get_id
        self._unused_since: dict[str, float] = {}  # oldest first
        storage.delete_file = self.delete_file  # type: ignore[method-assign]
        storage.load_and_get_id = self.load_and_get_id  # type: ignore[method-assign]

    def load_and_get_id(self, *args: Any, **kwargs: Any) -> str:
        """Stores a picture and returns its id; one that waits to be deleted is in use again."""
        file_id = self._load(*args, **kwargs)
        self._unused_since.pop(file_id, None)
        return file_id

    def delete_file(self, file_id: str) -> None:
        """Marks a picture as unused, and deletes those that have been so for long enough."""
        now = time.monotonic()
        self._unused_since.setdefault(file_id, now)
        for old, since in list(self._unused_since.items()):
            if now - since < KEPT_SECONDS:
                break
            del self._unused_since[old]
            self._delete(old)
