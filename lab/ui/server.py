"""What the server has beside Streamlit's pages: the API, the browser's code, its start and end."""

from __future__ import annotations

import asyncio
import functools
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import streamlit
from starlette.middleware import Middleware
from starlette.routing import BaseRoute
from streamlit import config
from streamlit.runtime import get_instance
from streamlit.runtime.memory_media_file_storage import MemoryMediaFileStorage
from streamlit.runtime.pages_manager import PagesManager

from lab.api.gate import Gate, script_hashes
from lab.api.routes import routes as api_routes
from lab.api.sign_in import sign_in_routes
from lab.api.topics import hub
from lab.errors import LabError
from lab.people import has_sign_in
from lab.ui.live.assets import asset_routes
from lab.ui.pictures_on_server import DelayedDeletion
from lab.ui.shared import (
    add_hosts,
    check_sharing,
    end_left_sessions,
    find_account,
    provider_link,
    refuse_upload,
)
from lab.ui.startup import start_once


def routes() -> list[BaseRoute]:
    """Returns all routes of our own; the API answers to the same host names as the pages."""
    return [
        *asset_routes(),
        *(sign_in_routes(provider_link) if has_sign_in() else ()),
        *api_routes(config.get_option("server.allowedHosts")),
    ]


def middleware() -> list[Middleware]:
    """Returns what stands before pages and API alike. Ends the process with a sentence where the
    settings would let in more people than they say."""
    try:
        add_hosts()
        check_sharing()
    except LabError as error:
        sys.exit(str(error))
    shell = Path(streamlit.__file__).with_name("static") / "index.html"
    return [
        Middleware(
            Gate,
            find_account=find_account,
            refuse_upload=refuse_upload,
            scripts=script_hashes(shell.read_text(encoding="utf-8")),
        )
    ]


@asynccontextmanager
async def lifespan(app: Any) -> AsyncIterator[None]:
    """Starts the lab with the server, before anybody opens a page, and ends what would keep the
    server from stopping."""
    # Streamlit's old rule for a folder named pages/ would run a page alone, without frame, until
    # somebody has opened the first one: a bookmark after a restart would show it without its run.
    PagesManager.uses_pages_directory = False
    storage = get_instance().media_file_mgr._storage
    if isinstance(storage, MemoryMediaFileStorage):
        DelayedDeletion(storage)
    await asyncio.to_thread(start_once)
    _end_streams_on_signals()
    sweeping = asyncio.create_task(end_left_sessions())
    yield
    sweeping.cancel()
    hub.close()


def _end_streams_on_signals() -> None:
    """A server that was told to stop waits for open connections first, and an event stream never
    ends by itself: so it is ended before the server's own handler runs."""
    if threading.current_thread() is not threading.main_thread():  # signals belong to the main one
        return
    for number in (signal.SIGINT, signal.SIGTERM):
        handler = signal.getsignal(number)
        if callable(handler):
            signal.signal(number, functools.partial(_close_then, handler))


def _close_then(handler: Callable[[int, FrameType | None], Any], *signal_and_frame: Any) -> None:
    hub.close()
    handler(*signal_and_frame)
