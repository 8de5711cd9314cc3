"""The part of a file that has been downloaded, its version, and whether it is the whole file."""

from __future__ import annotations

import hashlib
import json
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

Tick = Callable[[int, int], None]
"""Called for each megabyte that was checked: bytes so far, bytes in all."""


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
        """Bytes received so far."""
        return self.path.stat().st_size if self.path.is_file() else 0

    def version(self, url: str) -> str:
        """The version for If-Range; empty when the part cannot safely be resumed."""
        try:
            note = json.loads(self._note.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        same = isinstance(note, dict) and note.get("url") == url and self.size > 0
        return str(note.get("version", "")) if same else ""

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

    def start(self) -> bytes:
        """The first kilobyte."""
        with self.path.open("rb") as file:
            return file.read(1024)

    def sha256(self, tick: Tick) -> str:
        """The SHA-256 of the part, in hexadecimal digits."""
        digest, total = hashlib.sha256(), self.size
        with self.path.open("rb") as file:
            while piece := file.read(1 << 20):
                digest.update(piece)
                tick(file.tell(), total)
        return digest.hexdigest()

    def damage_in_zip(self, tick: Tick) -> str:
        """What is wrong with the zip file, in a few words; empty when it is whole.

        Reads every file in it once and compares its checksum (about half a second for 100 MB),
        without unpacking it to disk.
        """
        try:
            with zipfile.ZipFile(self.path) as archive:
                files = archive.infolist()
                total, done = sum(info.file_size for info in files), 0
                for info in files:
                    with archive.open(info) as file:
                        while piece := file.read(1 << 20):
                            done += len(piece)
                            tick(done, total)
        except RuntimeError:  # how zipfile says it
            return "it is protected by a password"
        except (zipfile.BadZipFile, zlib.error, NotImplementedError, ValueError, EOFError) as error:
            return str(error) or type(error).__name__
        return "" if files else "it is empty"
