"""One file over HTTP: streamed, resumed, checked, and only then there.

    <target>.part        what has arrived so far; kept when the download is cancelled or dropped
    <target>.part.json   which version of which URL that is, so that a resume joins no two files
    <target>             appears in one step, after the size and the content were checked

Proxies and certificates are requests' defaults (HTTPS_PROXY, NO_PROXY, REQUESTS_CA_BUNDLE).
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import urlsplit

from lab.data.download import refusals
from lab.data.download.part_file import PartFile
from lab.data.download.patience import Patience, cancel_ends_reading
from lab.data.download.zip_check import damage_in_zip
from lab.errors import DataError, LabError
from lab.home import require_free_space, writing
from lab.progress import Cancel, Cancelled, Progress, Report, never, silent, throttled

if TYPE_CHECKING:
    import requests

logger = logging.getLogger(__name__)

CHUNK_BYTES = 32 * 1024  # small, so that a slow line still moves the bar and hears Cancel


class _Dropped(Exception):
    """The transfer broke off in a way that another attempt may mend; the text says how."""


def fetch(
    url: str,
    target: Path,
    *,
    expected_bytes: int | None = None,
    sha256: str | None = None,
    expect: Literal["zip", "any"] = "zip",
    what: str = "",
    page: str = "",
    progress: Report = silent,
    cancel: Cancel = never,
    session: requests.Session | None = None,
    patience: Patience | None = None,
) -> Path:
    """Download `url` to `target` and return `target`; goes on from what an earlier call left.

    `expected_bytes` is the exact size when it is known beforehand; `what` names the file in
    sentences; `page` is where a person finds it with a browser. Progress counts bytes.
    `cancel` is asked from two threads. Raises DataError (no connection, refused, truncated, not
    what was expected), ResourceError (disk full), Cancelled. That nobody else downloads to the same
    `target` at the same time is for the caller to see to.
    """
    import requests

    download = _Download(
        url=url,
        target=target,
        expected_bytes=expected_bytes,
        sha256=sha256,
        expect=expect,
        what=what or target.name,
        page=page or url,
        progress=progress,
        cancel=cancel,
        patience=patience or Patience(),
    )
    if target.is_file():  # arrived earlier, and what was to be done with it was given up
        try:
            download.check(target)
            return target
        except DataError:
            target.unlink()
    with contextlib.ExitStack() as stack:
        return download.run(session or stack.enter_context(requests.Session()))


@dataclass(kw_only=True)
class _Download:
    """One download from its first request to the finished file."""

    url: str
    target: Path
    expected_bytes: int | None
    sha256: str | None
    expect: str
    what: str
    page: str
    progress: Report
    cancel: Cancel
    patience: Patience

    def __post_init__(self) -> None:
        self.part = PartFile(self.target)
        self.host = urlsplit(self.url).hostname or self.url
        self.total = self.expected_bytes

    def run(self, session: requests.Session) -> Path:
        with writing(self.target):
            self.target.parent.mkdir(parents=True, exist_ok=True)
        failed, furthest = 0, self.part.size
        while True:
            try:
                if self.attempt(session, first=failed == 0):
                    break
            except _Dropped as dropped:
                if self.part.size > furthest + 1_000_000:  # it does move on: the count starts again
                    failed = 0
                furthest = max(furthest, self.part.size)
                failed += 1
                logger.info("%s: %s (attempt %d)", self.url, dropped, failed)
                if failed >= self.patience.attempts:
                    raise DataError(self.gave_up(str(dropped))) from dropped
                self.patience.wait_before(failed, self.cancel)
                self.stop_if_cancelled()
        try:
            self.check(self.part.path)
        except DataError:
            self.part.discard()  # a resume would only arrive at the same
            raise
        with writing(self.target):
            os.replace(self.part.path, self.target)
        self.part.discard()
        return self.target

    def attempt(self, session: requests.Session, *, first: bool) -> bool:
        """One request. True when everything has arrived, False to ask again from the beginning."""
        import requests

        self.stop_if_cancelled()
        version = self.part.version(self.url)
        # Compressed on the way, neither Content-Length nor Range would mean the file's own bytes.
        headers = {"Accept-Encoding": "identity"}
        if version:
            headers |= {"Range": f"bytes={self.part.size}-", "If-Range": version}
        self.progress(self.standing(self.part.size if version else 0))
        timeout = (self.patience.connect_seconds, self.patience.read_seconds)
        try:
            response = session.get(self.url, stream=True, headers=headers, timeout=timeout)
        except requests.RequestException as error:
            self.stop_if_cancelled()
            broken = refusals.broken_connection(error, read_seconds=self.patience.read_seconds)
            # Without any answer at the very first try there is no connection: say so at once.
            if broken is not None or (not first and refusals.is_unreachable(error)):
                raise _Dropped(broken or "cannot be reached any more") from error
            raise DataError(
                refusals.not_reached(error, self.host, self.what, self.page, self.patience)
            ) from error
        with response:
            return self.take(response, version)

    def take(self, response: requests.Response, version: str) -> bool:
        import requests

        if urlsplit(self.url).scheme == "https" and urlsplit(response.url).scheme != "https":
            raise DataError(
                f"{self.host} leads to an unprotected address ({response.url}): {self.what} was "
                f"not downloaded. {refusals.by_hand(self.page)}"
            )
        status = response.status_code
        if status == 206 and not self.goes_on(response, version):
            self.part.discard()
            return False
        if status == 416 and version:
            if response.headers.get("Content-Range") == f"bytes */{self.part.size}":
                return True  # everything was there already
            self.part.discard()
            return False
        if status == 429 or status >= 500:
            raise _Dropped(f"answers with an error (HTTP {status} {response.reason})")
        if status not in (200, 206):
            raise DataError(
                refusals.http_status(status, response.reason, self.host, self.what, self.page)
            )
        if status == 200:
            # Also the answer of a server that knows no ranges, and to If-Range after a change.
            with writing(self.part.path):
                self.part.start_over(self.url, _version(response))
        length = _content_length(response)
        if length is not None:
            self.total = self.part.size + length
            require_free_space(self.target.parent, length)
        try:
            self.receive(response)
        except LabError as error:
            if isinstance(error, DataError):  # it is not the file; going on with it would not help
                self.part.discard()
            raise
        except requests.RequestException as error:
            self.stop_if_cancelled()
            broken = refusals.broken_connection(error, read_seconds=self.patience.read_seconds)
            raise _Dropped(broken or f"broke off ({error})") from error
        except Exception as error:
            self.stop_if_cancelled(because=error)  # shutting a socket under its reader hurts it
            raise
        self.stop_if_cancelled()
        if length is not None and self.part.size < (self.total or 0):
            raise _Dropped("ended the transfer too early")
        return True

    def receive(self, response: requests.Response) -> None:
        arrived = self.part.size
        tell = throttled(self.progress, per_second=5)
        with (
            cancel_ends_reading(response, self.cancel),
            writing(self.part.path),
            self.part.path.open("ab") as file,
        ):
            for chunk in response.iter_content(CHUNK_BYTES):
                if self.cancel():
                    return  # closes the file first, so that what is kept is counted right
                if arrived == 0 and self.expect == "zip" and not chunk.startswith(b"PK"):
                    raise DataError(self.not_a_zip(chunk))
                if arrived == 0 and self.expected_bytes and self.total != self.expected_bytes:
                    raise DataError(self.wrong_size(self.total or 0))
                file.write(chunk)
                arrived += len(chunk)
                if self.expected_bytes and arrived > self.expected_bytes:
                    raise DataError(self.wrong_size(arrived))
                tell(self.standing(arrived))
        self.progress(self.standing(arrived))

    def goes_on(self, response: requests.Response, version: str) -> bool:
        """Whether a 206 continues exactly what is there: same place, same version."""
        match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != self.part.size:
            return False
        # Some servers ignore If-Range; their own ETag or date then still tells.
        return _version(response) in ("", version)

    def check(self, path: Path) -> None:
        """Raises DataError unless `path` is what was asked for."""
        size = path.stat().st_size
        if self.expected_bytes is not None and size != self.expected_bytes:
            raise DataError(self.wrong_size(size))
        if self.sha256 is not None:
            with path.open("rb") as file:
                found = hashlib.file_digest(file, "sha256").hexdigest()
            if found != self.sha256:
                raise DataError(
                    f"{self.what} from {self.host} is not the file it should be (SHA-256 "
                    f"{found[:12]}..., expected {self.sha256[:12]}...); it was thrown away."
                )
        if self.expect == "zip":
            with path.open("rb") as file:
                start = file.read(1024)
            if not start.startswith(b"PK"):
                raise DataError(self.not_a_zip(start))
            damage = damage_in_zip(path, what=self.what, progress=self.progress, cancel=self.cancel)
            if damage:
                raise DataError(
                    f"{self.what} from {self.host} is a damaged zip file ({damage}); it was thrown "
                    "away. Press Download again to fetch it afresh."
                )

    def standing(self, arrived: int) -> Progress:
        return Progress(arrived, self.total or 0, f"Downloading {self.what}", "bytes")

    def stop_if_cancelled(self, *, because: Exception | None = None) -> None:
        if self.cancel():
            raise Cancelled(
                f"The download of {self.what} was cancelled. {self.kept()}"
            ) from because

    def kept(self) -> str:
        size = self.part.size
        if not size:
            return "Nothing had arrived yet."
        of = f"{size:,} of {self.total:,} bytes" if self.total else f"{size:,} bytes"
        if self.part.version(self.url):
            return f"{of} are kept: press Download again to go on from there."
        return f"{of} had arrived; the server allows no resume, so the next try starts afresh."

    def gave_up(self, why: str) -> str:
        times = f"{self.patience.attempts} times in a row"
        if self.part.size:
            return f"{self.host} {why}, {times}: {self.what} is incomplete. {self.kept()}"
        return (
            f"{self.host} {why}, {times}: {self.what} was not downloaded. Try again later. "
            f"{refusals.by_hand(self.page)}"
        )

    def wrong_size(self, size: int) -> str:
        return (
            f"{self.what} at {self.host} has {size:,} bytes where {self.expected_bytes:,} are "
            f"expected, so it is another file; it was thrown away. {refusals.by_hand(self.page)}"
        )

    def not_a_zip(self, start: bytes) -> str:
        return refusals.not_a_zip(start, self.host, self.what, self.page)


def _version(response: requests.Response) -> str:
    """A strong ETag, else Last-Modified, else empty (If-Range allows no weak ETag)."""
    etag = response.headers.get("ETag", "")
    if etag and not etag.startswith("W/"):
        return etag
    return response.headers.get("Last-Modified", "")


def _content_length(response: requests.Response) -> int | None:
    """Bytes still to come, or None when the server does not say or packs them on the way."""
    length = response.headers.get("Content-Length", "")
    packed = response.headers.get("Content-Encoding", "identity") != "identity"
    return int(length) if length.isdigit() and not packed else None
