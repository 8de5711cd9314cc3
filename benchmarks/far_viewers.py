"""Viewers on other machines: they hold a run's event stream open and draw nothing.

In a process of their own, so that what training loses beside them is the server's cost (and, as the
readers share the machine here, a little more than that).
"""

from __future__ import annotations

import asyncio
import multiprocessing
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit


@contextmanager
def far_viewers(count: int, url: str, run_id: str) -> Iterator[Any]:
    """`count` open streams for as long as the block lasts; yields a counter of bytes received."""
    received = multiprocessing.get_context("spawn").Value("q", 0)
    process = multiprocessing.get_context("spawn").Process(
        target=_read_all, args=(count, url, run_id, received), daemon=True
    )
    process.start()
    try:
        yield received
    finally:
        process.terminate()
        process.join(10)


def _read_all(count: int, url: str, run_id: str, received: Any) -> None:
    async def read() -> None:
        address = urlsplit(url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(
            f"GET /api/runs/{run_id}/events HTTP/1.1\r\nHost: {address.netloc}\r\n"
            "Accept: text/event-stream\r\n\r\n".encode()
        )
        while data := await reader.read(65536):
            with received.get_lock():
                received.value += len(data)

    async def read_all() -> None:
        await asyncio.gather(*(read() for _ in range(count)))

    asyncio.run(read_all())
