"""A local HTTP server for download tests: each path answers its requests as its script says."""

from __future__ import annotations

import contextlib
import io
import threading
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Request:
    """One request as it arrived."""

    method: str
    path: str
    headers: dict[str, str]


@dataclass
class ScriptedServer:
    """`script[path]` is the list of answers, one for each request; the last one repeats.

    Paths are as in the request line: also whole URLs, when the server is used as a proxy.
    """

    base: str
    script: dict[str, list[Answer]] = field(default_factory=dict)
    requests: list[Request] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    """Set at the end of the test, so that no answer stalls beyond it."""
    answered: Counter[str] = field(default_factory=Counter)

    def url(self, path: str) -> str:
        return self.base + path

    def on(self, path: str, *answers: Answer) -> str:
        self.script[path] = list(answers)
        self.answered[path] = 0
        return self.url(path)

    def ranges(self) -> list[str | None]:
        return [each.headers.get("range") for each in self.requests if each.method != "HEAD"]


@contextlib.contextmanager
def scripted_server() -> Iterator[ScriptedServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            if length:
                self.rfile.read(length)
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.requests.append(Request(self.command, self.path, headers))
            answers = server.script.get(self.path) or [status(404)]
            answer = answers[min(server.answered[self.path], len(answers) - 1)]
            server.answered[self.path] += (
                self.command != "HEAD"
            )  # which only asks what GET would get
            answer(self)

        do_GET = do_HEAD = do_POST = answer

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # clients that hang up are what the tests are about

    http = Quiet(("127.0.0.1", 0), Handler)
    server = ScriptedServer(f"http://127.0.0.1:{http.server_port}")
    Handler.scripted = server  # type: ignore[attr-defined]
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.released.set()
        http.shutdown()
        thread.join()
        http.server_close()


def serve(
    content: bytes,
    *,
    etag: str = '"v1"',
    last_modified: str = "",
    ranges: bool = True,
    if_range: bool = True,
    say_length: bool = True,
    cut_after: int | None = None,
    stall_after: int | None = None,
    seconds_a_piece: float = 0.0,
    kind: str = "application/zip",
    headers: dict[str, str] | None = None,
) -> Answer:
    """Serve `content`, well or badly.

    `cut_after`/`stall_after` count bytes of this answer's body; `if_range=False` is a server that
    gives the range although the file has changed.
    """

    def answer(handler: BaseHTTPRequestHandler) -> None:
        start = 0
        wanted = handler.headers.get("Range", "")
        same = handler.headers.get("If-Range") in (None, etag, last_modified) or not if_range
        if ranges and wanted and same:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content) > 0 and start:
            handler.send_response(416)
            handler.send_header("Content-Range", f"bytes */{len(content)}")
            handler.send_header("Content-Length", "0")
            handler.end_headers()
            return
        handler.send_response(206 if start else 200)
        body = content[start:]
        if start:
            last = len(content) - 1
            handler.send_header("Content-Range", f"bytes {start}-{last}/{len(content)}")
        if ranges:
            handler.send_header("Accept-Ranges", "bytes")
        if etag:
            handler.send_header("ETag", etag)
        if last_modified:
            handler.send_header("Last-Modified", last_modified)
        if say_length:
            handler.send_header("Content-Length", str(len(body)))
        else:
            handler.close_connection = True
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Type", kind)
        handler.end_headers()
        if handler.command == "HEAD":
            return
        server: ScriptedServer = handler.scripted  # type: ignore[attr-defined]
        piece = 16 * 1024
        for at in range(0, len(body), piece):
            for limit, cut in ((cut_after, True), (stall_after, False)):
                if limit is not None and at + piece > limit:
                    handler.wfile.write(body[at:limit])
                    handler.wfile.flush()
                    if not cut:
                        server.released.wait(60)
                    handler.close_connection = True
                    return
            handler.wfile.write(body[at : at + piece])
            if seconds_a_piece:
                time.sleep(seconds_a_piece)

    return answer


def status(code: int, body: bytes = b"", **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def silence() -> Answer:
    """Take the request and answer nothing."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.scripted.released.wait(60)  # type: ignore[attr-defined]
        handler.close_connection = True

    return answer


def hang_up() -> Answer:
    """Take the request and close the connection without an answer."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True

    return answer


def a_zip(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()
