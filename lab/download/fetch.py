"""Downloading one file over HTTP: retried, resumed, and checked before it appears.

    <target>.part        the bytes received so far; kept when the download is cancelled or dropped
    <target>.part.json   which version of which URL that is, so that a resume joins no two files
    <target>             appears in one step, after the size and the content were checked

Two threads: the one that calls `fetch` decides and writes; a reader waits for the server, so that
Cancel works at once even while the server is silent. Proxies and certificates are requests'
defaults (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE).
"""

from __future__ import annotations

import contextlib
import email.utils
import logging
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import requests
from filelock import FileLock, Timeout

from lab.download.part_file import PartFile
from lab.download.remote_file import RemoteFile, broken_connection, is_unreachable
from lab.errors import DataError
from lab.home import home_folder, require_free_space, writing
from lab.progress import (
    Cancel,
    Cancelled,
    Progress,
    Report,
    check_cancel,
    never,
    silent,
    throttled,
)
from lab.words import duration

logger = logging.getLogger(__name__)

CHUNK_BYTES = 32 * 1024  # small, so that a slow line still moves the bar


@dataclass(frozen=True)
class Patience:
    """How long to wait for a server, and how often to try again after a dropped connection."""

    connect_seconds: float = 10.0
    read_seconds: float = 30.0
    """Silence between two chunks, not the whole download."""
    attempts: int = 4
    """In a row without a further megabyte arriving."""
    backoff_seconds: float = 1.0
    """Before the second attempt; doubled before each further one."""
    longest_wait_seconds: float = 60.0
    """A server that asks for more (Retry-After) is given up."""


PATIENCE = Patience()


def fetch(
    file: RemoteFile,
    target: Path,
    *,
    progress: Report = silent,
    cancel: Cancel = never,
    patience: Patience = PATIENCE,
) -> Path:
    """Download `file` to `target` and return `target`; resumes what an earlier call left.

    Progress counts bytes. Waits for another download to the same `target`, and uses its file.
    Raises DataError (no connection, refused, incomplete, not what was expected), ResourceError
    (disk full, no right to write), Cancelled; the sentence says what is kept for the next try.
    """
    download = _Download(file, target, progress, cancel, patience)
    try:
        with download.writing(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with download.exclusive():
            if not target.is_file():
                download.run()
    except Cancelled as cancelled:
        raise Cancelled(
            f"The download of {file.title} was cancelled. {download.resume_sentence()}"
        ) from cancelled
    return target


class _Dropped(Exception):
    """The transfer broke off, and another attempt may succeed; the text says how."""

    def __init__(self, how: str, *, wait_seconds: float = 0.0) -> None:
        super().__init__(how)
        self.wait_seconds = wait_seconds


class _Download:
    """One download from its first request to the finished file."""

    def __init__(
        self, file: RemoteFile, target: Path, progress: Report, cancel: Cancel, patience: Patience
    ) -> None:
        self.file, self.target = file, target
        self.progress, self.cancel, self.patience = progress, cancel, patience
        self.part = PartFile(target)
        self.total = file.expected_bytes

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[None]:
        """Hold the lock of the target's files; the system frees it when a process dies."""
        lock = FileLock(home_folder("locks") / f"download-{self.target.name}.lock")
        while True:
            self.check_cancel()
            try:
                lock.acquire(timeout=0.2)
                break
            except Timeout:
                self.progress(Progress(0, 0, f"Waiting for another download of {self.file.title}"))
        try:
            yield
        finally:
            lock.release()

    def run(self) -> None:
        """Attempt until the file is complete; DataError when no further attempt would help."""
        failed, furthest = 0, self.part.size
        while True:
            try:
                if self.attempt(first=failed == 0):
                    break
            except _Dropped as dropped:
                if self.part.size > furthest + 1_000_000:  # progress was made: count again
                    failed = 0
                furthest = max(furthest, self.part.size)
                failed += 1
                logger.info("%s: %s (attempt %d)", self.file.url, dropped, failed)
                if failed >= self.patience.attempts:
                    times = f"{self.patience.attempts} times in a row"
                    raise DataError(self.failure_sentence(f"{dropped}, {times}")) from dropped
                if dropped.wait_seconds > self.patience.longest_wait_seconds:
                    wait = f"asks to wait {duration(dropped.wait_seconds)}"
                    raise DataError(self.failure_sentence(f"{dropped} and {wait}")) from dropped
                seconds = self.patience.backoff_seconds * 2.0 ** (failed - 1)
                self.wait(max(dropped.wait_seconds, seconds), str(dropped))
        if fault := self.fault():
            self.part.discard()  # a resume would fail in the same way
            raise DataError(fault)
        with self.writing(self.target):
            os.replace(self.part.path, self.target)
        self.part.discard()

    def attempt(self, *, first: bool) -> bool:
        """One request. True when the file is complete, False to start again from the first byte."""
        version = self.part.version(self.file.url)
        # Compressed on the way, neither Content-Length nor Range would mean the file's own bytes.
        headers = {"Accept-Encoding": "identity"}
        if self.file.login:
            headers["Authorization"] = self.file.login.authorization
        if version:
            headers |= {"Range": f"bytes={self.part.size}-", "If-Range": version}
        self.progress(self.progress_at(self.part.size if version else 0))
        timeout = (self.patience.connect_seconds, self.patience.read_seconds)
        with _Response(
            lambda: requests.get(self.file.url, stream=True, headers=headers, timeout=timeout),
            self.check_cancel,
        ) as reading:
            try:
                response = reading.head()
            except requests.RequestException as error:
                broken = broken_connection(error, read_seconds=self.patience.read_seconds)
                # Without any answer at the very first try there is no connection: say so at once.
                if broken is not None or (not first and is_unreachable(error)):
                    raise _Dropped(broken or "cannot be reached any more") from error
                seconds = self.patience.connect_seconds
                sentence = self.file.not_reached(error, connect_seconds=seconds)
                raise DataError(sentence) from error
            return self.handle(response, reading.chunks(), version)

    def handle(self, response: requests.Response, chunks: Iterator[bytes], version: str) -> bool:
        """Store the body of a response, or resume by it; returns as `attempt` does."""
        if self.file.is_unprotected(response.url):
            raise DataError(self.file.redirected_to_unprotected(response.url))
        status = response.status_code
        if version and status == 416:
            # Either the part was complete already, or it is of another file.
            whole = response.headers.get("Content-Range") == f"bytes */{self.part.size}"
            if not whole:
                self.part.discard()
            return whole
        if version and status == 206 and not self.continues_part(response, version):
            self.part.discard()
            return False
        if status == 429 or status >= 500:
            how = f"answers with an error (HTTP {status} {response.reason})"
            raise _Dropped(how, wait_seconds=_retry_after(response))
        if status != 200 and not (status == 206 and version):
            raise DataError(self.file.refused(status, response.reason))
        length = _content_length(response)
        variable = self.file.folder_variable
        require_free_space(self.target.parent, length or 0, variable=variable)
        if status == 200:
            # Also the answer of a server that knows no ranges, and to If-Range after a change.
            with self.writing(self.part.path):
                self.part.start_over(self.file.url, _version(response))
        if length is not None:
            self.total = self.part.size + length
        try:
            self.receive(chunks)
        except DataError:  # it is not the file; resuming would not help
            self.part.discard()
            raise
        except requests.RequestException as error:
            broken = broken_connection(error, read_seconds=self.patience.read_seconds)
            raise _Dropped(broken or f"broke off ({error})") from error
        if length is not None and self.part.size < (self.total or 0):
            raise _Dropped("ended the transfer too early")
        return True

    def receive(self, chunks: Iterator[bytes]) -> None:
        """Append the body to the part; DataError as soon as it cannot be the file."""
        received = self.part.size
        report = throttled(self.progress, per_second=5)
        with self.writing(self.part.path), self.part.path.open("ab") as out:
            for chunk in chunks:
                if received == 0 and (fault := self.file.wrong_beginning(chunk)):
                    raise DataError(fault)
                out.write(chunk)
                received += len(chunk)
                if fault := self.size_fault(max(received, self.total or 0)):
                    raise DataError(fault)
                report(self.progress_at(received))
        self.progress(self.progress_at(received))

    def continues_part(self, response: requests.Response, version: str) -> bool:
        """Whether a 206 response continues the part: same position, same version."""
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self.part.size:
            return False
        # Some servers ignore If-Range; their own ETag or date then still decides.
        return _version(response) in ("", version)

    def fault(self) -> str:
        """What is wrong with the complete part, as a sentence; empty when it is the file."""
        report = throttled(self.progress)

        def tick(done: int, total: int) -> None:
            self.check_cancel()
            report(Progress(done, total, f"Checking {self.file.title}", "bytes"))

        if fault := self.size_fault(self.part.size) or self.file.wrong_beginning(self.part.start()):
            return fault
        if self.file.sha256:
            digits = self.part.sha256(tick)
            return "" if digits.startswith(self.file.sha256) else self.file.wrong_content(digits)
        damage = self.part.damage_in_zip(tick) if self.file.kind == "zip" else ""
        return self.file.damaged(damage) if damage else ""

    def size_fault(self, size: int) -> str:
        expected = self.file.expected_bytes
        return "" if expected in (None, size) else self.file.wrong_size(size)

    def wait(self, seconds: float, why: str) -> None:
        """Sleep before the next attempt, with the reason on the page where it is long."""
        if seconds >= 2:
            text = f"{self.file.host} {why}; the next try is in {duration(seconds)}"
            self.progress(Progress(self.part.size, self.total or 0, text, "bytes"))
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.check_cancel()
            time.sleep(min(0.1, left))

    def writing(self, path: Path) -> contextlib.AbstractContextManager[None]:
        return writing(path, variable=self.file.folder_variable)

    def check_cancel(self) -> None:
        check_cancel(self.cancel, "The download")  # `fetch` replaces the sentence

    def progress_at(self, received: int) -> Progress:
        return Progress(received, self.total or 0, f"Downloading {self.file.title}", "bytes")

    def resume_sentence(self) -> str:
        """What the next try can resume from, as a sentence."""
        size = self.part.size
        if not size:
            return "Nothing had arrived yet."
        of = f"{size:,} of {self.total:,} bytes" if self.total else f"{size:,} bytes"
        if self.part.version(self.file.url):
            return f"{of} are kept: {self.file.again} to go on from there."
        return f"{of} had arrived; the server allows no resume, so the next try starts afresh."

    def failure_sentence(self, why: str) -> str:
        if self.part.size:
            return (
                f"{self.file.host} {why}: {self.file.title} is incomplete. {self.resume_sentence()}"
            )
        return (
            f"{self.file.host} {why}: {self.file.title} was not downloaded. Try again later. "
            f"{self.file.by_hand}"
        )


class _Response:
    """The response to `send_request`, read by a thread of its own, so that Cancel works meanwhile.

    When the block is left, the thread ends with its next chunk or its time-out. It touches no file,
    so a next attempt need not wait for it.
    """

    def __init__(
        self, send_request: Callable[[], requests.Response], check_cancel: Callable[[], None]
    ) -> None:
        self._send_request, self._check_cancel = send_request, check_cancel
        self._items: queue.Queue[requests.Response | bytes | Exception | None] = queue.Queue(8)
        self._left = threading.Event()

    def __enter__(self) -> _Response:
        threading.Thread(target=self._read, name="download-reader", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._left.set()

    def head(self) -> requests.Response:
        """The response with its headers; raises what requests raised instead."""
        item = self._next()
        assert isinstance(item, requests.Response)
        return item

    def chunks(self) -> Iterator[bytes]:
        """The response's body; raises what requests raised in the middle of it."""
        while isinstance(item := self._next(), bytes):
            yield item

    def _next(self) -> requests.Response | bytes | None:
        while True:
            self._check_cancel()
            with contextlib.suppress(queue.Empty):
                item = self._items.get(timeout=0.1)
                if isinstance(item, Exception):
                    raise item
                return item

    def _read(self) -> None:
        try:
            with self._send_request() as response:
                if self._put(response):
                    for chunk in response.iter_content(CHUNK_BYTES):
                        if not self._put(chunk):
                            return
            self._put(None)
        except Exception as error:  # raised in the thread that waits
            self._put(error)

    def _put(self, item: requests.Response | bytes | Exception | None) -> bool:
        """Queue an item for the waiting thread; False when the block has been left."""
        while not self._left.is_set():
            with contextlib.suppress(queue.Full):
                self._items.put(item, timeout=0.1)
                return True
        return False


def _version(response: requests.Response) -> str:
    """A strong ETag, else Last-Modified, else empty (If-Range allows no weak ETag)."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")


def _content_length(response: requests.Response) -> int | None:
    """Bytes still to come, or None when the server does not say or compresses them."""
    length = response.headers.get("Content-Length", "")
    compressed = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not compressed else None


def _retry_after(response: requests.Response) -> float:
    """Seconds to wait from Retry-After, a number or a date; 0 without one."""
    text = response.headers.get("Retry-After", "")
    if text.isdigit():
        return float(text)
    with contextlib.suppress(ValueError):
        return max(0.0, email.utils.parsedate_to_datetime(text).timestamp() - time.time())
    return 0.0
