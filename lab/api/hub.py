"""One reader for all that watch the same thing.

    viewer ──┐
    viewer ──┼── channel "run:r-1" ── its feed ── reads what is new in the store, once for all
    viewer ──┘

A channel lives as long as somebody listens to it. All feeds are asked in one thread, so that
watching costs a training run the same however many watch; what takes a feed longer than some
milliseconds belongs into a thread of its own.
"""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Protocol

from lab.errors import NotFoundError

logger = logging.getLogger(__name__)

HEARTBEAT_SECONDS = 15.0
"""A silent stream sends a comment so often: so a viewer that left is noticed."""

MOST_UNSENT = 64
"""Messages that wait for a slow viewer; then its stream ends, and it comes back for a snapshot."""

Message = Mapping[str, Any]
"""Plain JSON values. A message of a feed has a "cursor": what a viewer has once it has read it."""


class Feed(Protocol):
    """What viewers of one topic are sent. Called by one thread at a time."""

    @property
    def seconds(self) -> float:
        """The time until `changes` is to be asked next."""

    def snapshot(self, cursor: str) -> Message:
        """Returns what a viewer lacks who has read up to `cursor`; "" is a viewer with nothing.

        Raises NotFoundError when there is no such thing to watch.
        """

    def changes(self) -> Message | None:
        """Returns what is new since the previous call, None when nothing is. What a snapshot told
        meanwhile may come again."""


class Listener:
    """One connection: the messages that it has not sent yet. Made in its event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._messages: asyncio.Queue[tuple[str, bytes | None]] = asyncio.Queue()
        self.refused: set[str] = set()
        """Topics that it may not see: what was told of them before that was known is left out."""
        self.channels: set[_Channel] = set()
        """What it listens to; it has left once `has_left`. Both under the hub's lock."""
        self.has_left = False

    def send(self, message: bytes | None, topic: str = "") -> None:
        """Queues a message, None to end the stream. From any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server ends
            self._loop.call_soon_threadsafe(self._put, topic, message)

    def _put(self, topic: str, message: bytes | None) -> None:
        if self._messages.qsize() >= MOST_UNSENT:
            while not self._messages.empty():
                self._messages.get_nowait()
            topic, message = "", None
        self._messages.put_nowait((topic, message))

    async def receive(self) -> bytes | None:
        """Returns the next message, a comment after a while without one, None at the end."""
        while True:
            try:
                topic, message = await asyncio.wait_for(self._messages.get(), HEARTBEAT_SECONDS)
            except TimeoutError:
                return b": alive\n\n"
            if topic not in self.refused:
                return message


class _Channel:
    def __init__(self, topic: str, feed: Feed) -> None:
        self.topic = topic
        self.feed = feed
        self.guard = threading.Lock()
        """Held while the feed is asked."""
        self.listeners: set[Listener] = set()
        self.due = 0.0

    def snapshot(self, cursor: str) -> bytes:
        with self.guard:
            return encode(self.topic, self.feed.snapshot(cursor))

    def changes(self) -> bytes | None:
        with self.guard:
            message = self.feed.changes()
        return None if message is None else encode(self.topic, message)

    def tell(self, message: bytes | None) -> None:
        for listener in tuple(self.listeners):
            listener.send(message, self.topic)


class Hub:
    """All channels of this process. `make_feed` returns the feed of a topic, or raises
    NotFoundError."""

    def __init__(self, make_feed: Callable[[str], Feed]) -> None:
        self._make_feed = make_feed
        self._changed = threading.Condition()
        self._channels: dict[str, _Channel] = {}
        self._all: dict[Listener, str] = {}
        self._thread: threading.Thread | None = None
        self._closed = False

    @property
    def viewers(self) -> int:
        """How many connections are open."""
        return len(self._all)

    def viewers_of(self, visitor: str) -> int:
        """How many of them are this visitor's."""
        return sum(each == visitor for each in tuple(self._all.values()))

    async def stream(
        self, topics: Sequence[tuple[str, str]], visitor: str = ""
    ) -> AsyncIterator[bytes]:
        """Yields server-sent events of `topics`, pairs of a topic and the viewer's cursor: a
        snapshot of each, then what changes, until the viewer leaves or nothing is left to watch."""
        listener = Listener()
        self._all[listener] = visitor
        try:
            for topic, cursor in topics:
                channel = None
                try:
                    channel = await asyncio.to_thread(self._join, topic, listener)
                    if channel is None:  # the server ends
                        return
                    yield await asyncio.to_thread(channel.snapshot, cursor)
                except NotFoundError as error:
                    listener.refused.add(topic)
                    if channel is not None:
                        self._leave(channel, listener)
                    yield encode(topic, {"gone": str(error)})
                except Exception:  # the viewer comes back
                    logger.exception("the stream of %s failed", topic)
                    return
            if not listener.channels:
                return
            while (message := await listener.receive()) is not None:
                yield message
        finally:
            self._all.pop(listener, None)
            self._leave_all(listener)

    def close(self) -> None:
        """Ends all streams, for good: a server that stops does not wait for its viewers to
        leave."""
        self._closed = True
        for listener in tuple(self._all):
            listener.send(None)
        with self._changed:
            self._channels.clear()
            self._changed.notify_all()

    def _join(self, topic: str, listener: Listener) -> _Channel | None:
        with self._changed:
            # A viewer may leave while a thread is still about to let it in.
            if self._closed or listener.has_left:
                return None
            channel = self._channels.get(topic)
            if channel is None:
                channel = self._channels[topic] = _Channel(topic, self._make_feed(topic))
            channel.listeners.add(listener)  # before the snapshot: twice told is better than never
            listener.channels.add(channel)
            channel.due = min(channel.due, time.monotonic() + channel.feed.seconds)
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, name="event-hub", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return channel

    def _leave_all(self, listener: Listener) -> None:
        with self._changed:
            listener.has_left = True
            for channel in tuple(listener.channels):
                self._leave(channel, listener)

    def _leave(self, channel: _Channel, listener: Listener) -> None:
        with self._changed:
            channel.listeners.discard(listener)
            listener.channels.discard(channel)
            if not channel.listeners and self._channels.get(channel.topic) is channel:
                self._channels.pop(channel.topic, None)

    def _end(self, channel: _Channel, message: bytes) -> None:
        """Tells all listeners the last `message` of a channel; a stream of nothing else ends."""
        with self._changed:
            for listener in tuple(channel.listeners):
                listener.send(message, channel.topic)
                self._leave(channel, listener)
                if not listener.channels:
                    listener.send(None)

    def _ask(self) -> None:
        """The hub's thread; it ends with the last channel."""
        while True:
            with self._changed:
                if not self._channels:
                    self._thread = None
                    return
                now = time.monotonic()
                wait = min(channel.due for channel in self._channels.values()) - now
                if wait > 0:
                    self._changed.wait(wait)
                    continue
                due = [channel for channel in self._channels.values() if channel.due <= now]
            for channel in due:
                self._tick(channel)

    def _tick(self, channel: _Channel) -> None:
        try:
            message = channel.changes()
        except NotFoundError as error:
            self._end(channel, encode(channel.topic, {"gone": str(error)}))
        except Exception:
            logger.exception("the stream of %s failed", channel.topic)
            channel.tell(None)  # the viewers come back, with growing pauses
        else:
            if message is not None:
                channel.tell(message)
        channel.due = time.monotonic() + channel.feed.seconds


def encode(topic: str, message: Message) -> bytes:
    """Returns the message as one server-sent event; its id is the cursor."""
    values = {"topic": topic, **message}
    lines = [f"data: {json.dumps(values, separators=(',', ':'), allow_nan=False)}"]
    if "cursor" in message:
        lines.insert(0, f"id: {message['cursor']}")
    return ("\n".join(lines) + "\n\n").encode()
