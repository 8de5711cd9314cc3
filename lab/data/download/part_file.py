"""What has arrived of a file so far, and the note that says of which version of it."""

from __future__ import annotations

import json
from pathlib import Path


class PartFile:
    """`<target>.part` with the bytes and `<target>.part.json` with the URL and the version.

    The version is the server's ETag or Last-Modified: with it in If-Range, a resume never joins the
    halves of two different files.
    """

    def __init__(self, target: Path) -> None:
        self.path = target.with_name(target.name + ".part")
        self._note = target.with_name(target.name + ".part.json")

    @property
    def size(self) -> int:
        """Bytes that have arrived."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str:
        """What If-Range needs; empty when what is there cannot safely be gone on from."""
        try:
            noted = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        same = isinstance(noted, dict) and noted.get("url") == url and self.size > 0
        return str(noted.get("version", "")) if same else ""

    def start_over(self, url: str, version: str) -> None:
        # The order matters: an interruption in between leaves bytes without a note, never a note
        # that vouches for another version's bytes.
        self._note.unlink(missing_ok=True)
        self.path.write_bytes(b"")
        if version:
            self._note.write_text(json.dumps({"url": url, "version": version}), encoding="utf-8")

    def discard(self) -> None:
        self._note.unlink(missing_ok=True)
        self.path.unlink(missing_ok=True)
