"""A picture outlives the script run that did without it, for a while."""

from __future__ import annotations

import pytest
from streamlit.runtime.media_file_manager import MediaFileManager
from streamlit.runtime.media_file_storage import MediaFileStorageError
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage

from lab.ui import pictures_on_server
from lab.ui.pictures_on_server import KEPT_SECONDS, DelayedDeletion


class Server:
    """One session that draws pictures by Streamlit's own manager."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(pictures_on_server.time, "monotonic", lambda: self.now)
        self.storage = MemoryMediaFileStorage("/media")
        DelayedDeletion(self.storage)
        self.manager = MediaFileManager(self.storage)

    def run_script(self, *pictures: bytes) -> list[str]:
        """Draws `pictures` and returns their addresses."""
        self.manager.clear_session_refs()
        urls = [self.manager.add(p, "image/png", str(i)) for i, p in enumerate(pictures)]
        self.manager.remove_orphaned_files()
        return urls

    def has(self, url: str) -> bool:
        try:
            self.storage.get_file(url.rpartition("/")[2])
        except MediaFileStorageError:
            return False
        return True


def test_a_run_that_was_cut_short_leaves_the_pictures_of_the_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch)
    (url,) = server.run_script(b"cat")
    server.run_script()
    assert server.has(url)
    assert server.run_script(b"cat") == [url]
    server.now += 2 * KEPT_SECONDS
    server.run_script(b"cat", b"dog")
    assert server.has(url)


def test_a_picture_that_no_run_drew_for_a_minute_is_deleted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = Server(monkeypatch)
    (cat,) = server.run_script(b"cat")
    (dog,) = server.run_script(b"dog")
    server.now += KEPT_SECONDS
    server.run_script()  # the dog is unused from now on; the cat has been for a minute
    assert not server.has(cat)
    assert server.has(dog)
    server.now += KEPT_SECONDS
    server.run_script(b"bird")
    server.run_script()
    assert not server.has(dog)
