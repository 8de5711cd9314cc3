"""Public Kaggle data sets through kagglehub, with bytes, time left, cancel and resume.

kagglehub (1.0) downloads an archive, goes on from what an earlier try left, checks its MD5 and
unpacks it. It has no callback, no cancel and no time-out for a silent server, it prints, and it
takes its folder from the process's environment. So it runs in a child process (kaggle_child.py):

    bytes     the size of its archive, which grows in KAGGLEHUB_CACHE below LAB_HOME/downloads
    total     from its progress bar
    cancel    ends the process; the archive stays and kagglehub itself resumes from it
    silence   nothing grew for `silence_seconds`: the process is ended, another try goes on

The other way, fetching https://www.kaggle.com/api/v1/datasets/download/... ourselves, would have to
follow Kaggle's changes of address, version and login, which is what kagglehub is for.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import lab
from lab.data.download import refusals
from lab.data.download.patience import Patience
from lab.errors import DataError, ResourceError
from lab.progress import Cancel, Cancelled, Progress, Report, never, silent

logger = logging.getLogger(__name__)

HOST = "www.kaggle.com"
# kagglehub writes whole mebibytes, so this also refuses lines below 12 kB/s.
SILENCE_SECONDS = 90.0


class _Dropped(Exception):
    """Another try may mend it; the text says what happened."""


def download_from_kaggle(
    handle: str,
    cache: Path,
    *,
    what: str,
    page: str,
    progress: Report = silent,
    cancel: Cancel = never,
    patience: Patience | None = None,
    silence_seconds: float = SILENCE_SECONDS,
) -> Path:
    """The folder with the unpacked files of `handle` ("owner/name"), somewhere below `cache`.

    Goes on from what an earlier call left in `cache`, which is for this data set alone. Raises
    DataError, ResourceError, Cancelled with sentences like those of `lab.data.download.http`.
    """
    patience = patience or Patience()
    attempt = _Attempt(handle, cache, what, page, progress, cancel, silence_seconds)
    failed, furthest = 0, attempt.arrived()
    while True:
        try:
            return attempt.run()
        except _Dropped as dropped:
            if attempt.arrived() > furthest + 1_000_000:
                failed = 0
            furthest = max(furthest, attempt.arrived())
            failed += 1
            logger.info("%s: %s (attempt %d)", handle, dropped, failed)
            if failed >= patience.attempts:
                raise DataError(
                    f"{dropped}, {patience.attempts} times in a row: {what} was not downloaded. "
                    f"{attempt.kept()} {refusals.by_hand(page)}"
                ) from dropped
            patience.wait_before(failed, cancel)


def forget(cache: Path) -> None:
    """Remove everything that kagglehub keeps in `cache`."""
    shutil.rmtree(cache, ignore_errors=True)


@dataclass
class _Attempt:
    handle: str
    cache: Path
    what: str
    page: str
    progress: Report
    cancel: Cancel
    silence_seconds: float
    total: int = 0
    unpacking: bool = False
    _seen: int = -1
    _seen_at: float = 0.0

    def arrived(self) -> int:
        """Bytes of the archive so far; 0 before and after there is one."""
        sizes = [0]
        with contextlib.suppress(OSError):  # it goes away when it has been unpacked
            archives = (self.cache / "datasets" / self.handle).glob("*.archive")
            sizes += [path.stat().st_size for path in archives]
        return max(sizes)

    def run(self) -> Path:
        self.stop_if_cancelled()
        self.progress(Progress(self.arrived(), self.total, "Asking Kaggle", "bytes"))
        self.unpacking, self._seen = False, -1
        arguments = [self.handle, self.what, self.page]
        with tempfile.TemporaryFile() as printed, _child(arguments, self.cache, printed) as child:
            for message in child.messages():
                self.stop_if_cancelled()
                if "path" in message:
                    return Path(message["path"])
                if message and "total" not in message:
                    logger.info("kagglehub printed:\n%s", _end_of(printed))
                    self.refuse(message)
                self.total = message.get("total", self.total)
                self.look()
            status = child.process.wait()
            logger.error("kagglehub ended with status %d:\n%s", status, _end_of(printed))
        raise DataError(
            f"kagglehub ended without a word (status {status}): {self.what} was not downloaded; "
            f"what it printed is in the terminal where the lab runs. {refusals.by_hand(self.page)}"
        )

    def look(self) -> None:
        """Tell how far it is; raise _Dropped when nothing has moved for too long."""
        now, arrived = time.monotonic(), self.arrived()
        self.unpacking |= self.total > 0 and (arrived >= self.total or arrived == 0 < self._seen)
        if self.unpacking:
            self.progress(Progress(0, 0, f"Unpacking {self.what}"))
        elif arrived != self._seen:
            self._seen, self._seen_at = arrived, now
            if self.total or arrived:
                text = f"Downloading {self.what}"
                self.progress(Progress(arrived, self.total, text, "bytes"))
        elif now - self._seen_at > self.silence_seconds:
            raise _Dropped(f"{HOST} sent nothing for {self.silence_seconds:g} s")

    def refuse(self, message: dict[str, Any]) -> None:
        """Raise what the child's last message means."""
        if "dropped" in message:
            raise _Dropped(message["dropped"])
        if "refused" in message:
            raise DataError(message["refused"])
        if "full" in message:
            raise ResourceError(
                f"The disk is full: {self.what} could not be written to {self.cache}. Free some "
                f"space (the Runs and Data pages show what can be deleted). {self.kept()}"
            )
        damage = " ".join(str(message.get("damaged", message)).split())[:200]
        # Going on from what did not pass its checks would fail for ever.
        forget(self.cache)
        raise DataError(
            f"What arrived from Kaggle cannot be used as {self.what} ({damage}); "
            "it was thrown away. Press Download again to fetch it afresh. "
            f"{refusals.by_hand(self.page)}"
        )

    def stop_if_cancelled(self) -> None:
        if self.cancel():
            raise Cancelled(f"The download of {self.what} was cancelled. {self.kept()}")

    def kept(self) -> str:
        arrived = self.arrived()
        if not arrived:
            return "Nothing had arrived yet."
        of = f"{arrived:,} of {self.total:,} bytes" if self.total else f"{arrived:,} bytes"
        return f"{of} are kept: press Download again to go on from there."


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    lines: queue.Queue[bytes | None]

    def messages(self) -> Iterator[dict[str, Any]]:
        """What the child says; an empty message five times a second in between."""
        while True:
            try:
                line = self.lines.get(timeout=0.2)
            except queue.Empty:
                yield {}
                continue
            if line is None:
                return
            with contextlib.suppress(ValueError):
                message = json.loads(line)
                if isinstance(message, dict):
                    yield message


@contextlib.contextmanager
def _child(arguments: list[str], cache: Path, printed: IO[bytes]) -> Iterator[_Child]:
    """The child process; ended on the way out, whatever the way."""
    cache.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "KAGGLEHUB_CACHE": str(cache),
        # In Kaggle's and Colab's notebooks kagglehub would mount read-only folders instead.
        "DISABLE_KAGGLE_CACHE": "1",
        "DISABLE_COLAB_CACHE": "1",
        # The child finds this very lab, wherever the lab was started.
        "PYTHONPATH": os.pathsep.join(
            [str(Path(lab.__file__).parents[1]), *filter(None, [os.environ.get("PYTHONPATH")])]
        ),
    }
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "lab.data.download.kaggle_child", *arguments],
        stdin=subprocess.PIPE,  # closed when the lab ends, however it ends
        stdout=subprocess.PIPE,
        stderr=printed,
        env=environment,
    )
    lines: queue.Queue[bytes | None] = queue.Queue()

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.put(line)
        lines.put(None)

    listener = threading.Thread(target=listen, name="kaggle-listener", daemon=True)
    listener.start()
    try:
        yield _Child(process, lines)
    finally:
        process.kill()
        process.wait()
        listener.join()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _end_of(printed: IO[bytes]) -> str:
    printed.seek(0)
    return printed.read().decode(errors="replace").strip()[-2000:]
