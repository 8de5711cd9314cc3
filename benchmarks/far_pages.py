"""Pages that watch a run from other machines: what a browser sends, without a browser.

They speak Streamlit's protocol over its WebSocket (BackMsg and ForwardMsg) and repeat each fragment
as often as the server asked for, which is what makes the server work. Nothing is drawn, so what
training loses beside them is the server's own cost.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class FarPage:
    """One page; its own thread answers until `close`."""

    def __init__(self, url: str, page: str, query: str) -> None:
        from websockets.sync.client import connect

        address = url.replace("http", "ws", 1) + "/_stcore/stream"
        self._socket = connect(address, subprotocols=["streamlit"], max_size=None)  # type: ignore[list-item]
        self._page, self._query = page, query
        self._due: dict[str, tuple[float, float]] = {}  # fragment: when next, and how often
        self.ticks = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._ask("")
        self._thread.start()

    def close(self) -> None:
        self._closed.set()
        self._thread.join(10)
        self._socket.close()

    def expected(self, seconds: float) -> float:
        """Ticks in so long a time, of all fragments, at the pace that the server asked for."""
        return sum(seconds / interval for _, interval in self._due.values())

    def _ask(self, fragment: str) -> None:
        from streamlit.proto.BackMsg_pb2 import BackMsg

        message = BackMsg()
        message.rerun_script.page_name = self._page
        message.rerun_script.query_string = self._query
        message.rerun_script.fragment_id = fragment
        message.rerun_script.is_auto_rerun = bool(fragment)
        self._socket.send(message.SerializeToString())

    def _answer(self) -> None:
        from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

        while not self._closed.is_set():
            now = time.monotonic()
            for fragment, (at, interval) in list(self._due.items()):
                if at <= now:
                    self._due[fragment] = (now + interval, interval)
                    self.ticks += 1
                    self._ask(fragment)
            wait = min((at for at, _ in self._due.values()), default=now + 0.5) - now
            try:
                data = self._socket.recv(timeout=max(0.0, min(wait, 0.5)))
            except TimeoutError:
                continue
            message = ForwardMsg()
            message.ParseFromString(data)  # type: ignore[arg-type]
            kind = message.WhichOneof("type")
            if kind == "auto_rerun":
                interval = message.auto_rerun.interval
                self._due[message.auto_rerun.fragment_id] = (time.monotonic() + interval, interval)
            elif kind == "stop_auto_rerun":
                for fragment in message.stop_auto_rerun.fragment_ids:
                    self._due.pop(fragment, None)


@contextmanager
def far_pages(count: int, url: str, page: str, query: str) -> Iterator[list[FarPage]]:
    """`count` pages open on `page`, for as long as the block lasts."""
    pages = [FarPage(url, page, query) for _ in range(count)]
    try:
        yield pages
    finally:
        for each in pages:
            each.close()
