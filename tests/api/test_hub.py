"""One reader for all viewers of a topic; a viewer that is slow, leaves or fails harms no other."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest

from lab.api import hub as hub_module
from lab.api.hub import Hub, encode
from lab.errors import NotFoundError


class CountingFeed:
    """A topic that counts: its snapshot is how far it is, its change the next number."""

    def __init__(self, topic: str = "count:1") -> None:
        self.topic = topic
        self.seconds = 0.01
        self.count = 0
        self.asked = 0
        self.snapshots: list[str] = []
        self.paused = threading.Event()
        self.error: Exception | None = None

    def snapshot(self, cursor: str) -> dict[str, Any]:
        self.snapshots.append(cursor)
        return {"cursor": str(self.count), "whole": self.count}

    def changes(self) -> dict[str, Any] | None:
        self.asked += 1
        if self.error:
            raise self.error
        if self.paused.is_set():
            return None
        self.count += 1
        return {"cursor": str(self.count), "next": self.count}


class Feeds:
    def __init__(self) -> None:
        self.made: list[CountingFeed] = []

    def __call__(self, topic: str) -> CountingFeed:
        if topic.startswith("missing"):
            raise NotFoundError(f"There is no {topic}.")
        self.made.append(CountingFeed(topic))
        return self.made[-1]


@pytest.fixture
def feeds() -> Feeds:
    return Feeds()


@pytest.fixture
def hub(feeds: Feeds) -> Iterator[Hub]:
    made = Hub(feeds)
    yield made
    made.close()


def run(work: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(work(), 10))


def values(event: bytes) -> dict[str, Any]:
    [data] = [line for line in event.decode().splitlines() if line.startswith("data: ")]
    found: dict[str, Any] = json.loads(data.removeprefix("data: "))
    return found


async def take(stream: AsyncIterator[bytes], count: int) -> list[dict[str, Any]]:
    return [values(await anext(stream)) for _ in range(count)]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.005)


def test_an_event_has_its_cursor_as_id_and_one_line_of_data() -> None:
    event = encode("run:r-1", {"cursor": "0.1", "text": "two\nlines"})
    assert event == b'id: 0.1\ndata: {"topic":"run:r-1","cursor":"0.1","text":"two\\nlines"}\n\n'


def test_what_json_lacks_is_refused_and_not_sent_as_something_that_no_browser_reads() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        encode("run:r-1", {"loss": float("nan")})


def test_a_viewer_gets_a_snapshot_then_changes(hub: Hub, feeds: Feeds) -> None:
    async def work() -> None:
        stream = hub.stream([("count:1", "7")])
        first, *rest = await take(stream, 4)
        assert first["topic"] == "count:1"
        assert "whole" in first
        numbers = [message["next"] for message in rest]
        assert numbers == sorted(set(numbers)), "none twice, in order"
        assert feeds.made[0].snapshots == ["7"]
        await stream.aclose()  # type: ignore[attr-defined]

    run(work)


def test_one_reader_serves_all_viewers(hub: Hub, feeds: Feeds) -> None:
    async def work() -> None:
        streams = [hub.stream([("count:1", "")]) for _ in range(20)]
        await asyncio.gather(*(take(stream, 1) for stream in streams))
        assert hub.viewers == 20
        assert len(feeds.made) == 1
        for messages in await asyncio.gather(*(take(stream, 8) for stream in streams)):
            first = messages[0]["next"]
            # Each question is another number: viewers who asked for themselves would miss some.
            assert [each["next"] for each in messages] == list(range(first, first + 8))
        for stream in streams:
            await stream.aclose()  # type: ignore[attr-defined]
        assert hub.viewers == 0

    run(work)


def test_nobody_reads_for_nobody(hub: Hub, feeds: Feeds) -> None:
    async def work() -> None:
        stream = hub.stream([("count:1", "")])
        await take(stream, 2)
        await stream.aclose()  # type: ignore[attr-defined]
        [feed] = feeds.made
        await until(lambda: hub._thread is None)
        asked = feed.asked
        await asyncio.sleep(0.05)
        assert feed.asked == asked
        again = hub.stream([("count:1", "")])
        await take(again, 2)
        assert len(feeds.made) == 2, "a new channel, which begins at the present"
        await again.aclose()  # type: ignore[attr-defined]

    run(work)


def test_a_slow_viewer_is_cut_off_and_the_others_go_on(
    hub: Hub, feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "MOST_UNSENT", 5)

    async def work() -> None:
        slow, quick = hub.stream([("count:1", "")]), hub.stream([("count:1", "")])
        await take(slow, 1)
        seen = await take(quick, 30)
        assert [m["next"] for m in seen[1:]] == list(range(seen[1]["next"], seen[1]["next"] + 29))
        assert [event async for event in slow] == [], "its stream has ended"
        assert await take(quick, 3)
        await quick.aclose()  # type: ignore[attr-defined]

    run(work)


def test_a_topic_that_is_not_there_is_gone_and_the_stream_ends(hub: Hub) -> None:
    async def work() -> None:
        events = [values(event) async for event in hub.stream([("missing:1", "")])]
        assert events == [{"topic": "missing:1", "gone": "There is no missing:1."}]

    run(work)


def test_what_a_viewer_may_not_see_is_not_told_either(feeds: Feeds) -> None:
    class Hidden(CountingFeed):
        def snapshot(self, cursor: str) -> dict[str, Any]:
            raise NotFoundError("There is no hidden:1.")

    hidden = Hidden("hidden:1")
    hub = Hub(lambda topic: hidden if topic == "hidden:1" else feeds(topic))

    async def work() -> None:
        async def member() -> None:
            stream = hub.stream([("hidden:1", ""), ("count:1", "")])
            seen = await take(stream, 6)
            assert [each["topic"] for each in seen if "gone" not in each] == ["count:1"] * 5
            await stream.aclose()  # type: ignore[attr-defined]

        channel = hub._join("hidden:1", hub_module.Listener())  # its owner looks at it
        assert channel is not None
        leave = hub._leave

        def told_meanwhile(channel: Any, listener: Any) -> None:
            if channel.topic == "hidden:1":
                channel.tell(encode("hidden:1", {"secret": 1}))
            leave(channel, listener)

        hub._leave = told_meanwhile  # type: ignore[method-assign]
        await member()

    try:
        run(work)
    finally:
        hub.close()


def test_beside_a_missing_topic_the_others_are_followed(hub: Hub) -> None:
    async def work() -> None:
        stream = hub.stream([("missing:1", ""), ("count:1", "")])
        gone, whole, change = await take(stream, 3)
        assert "gone" in gone
        assert "whole" in whole
        assert "next" in change
        await stream.aclose()  # type: ignore[attr-defined]

    run(work)


def test_a_topic_that_goes_ends_the_streams_of_nothing_else(hub: Hub, feeds: Feeds) -> None:
    async def work() -> None:
        alone, both = hub.stream([("count:1", "")]), hub.stream([("count:1", ""), ("count:2", "")])
        await take(alone, 1)
        await take(both, 3)
        feeds.made[0].error = NotFoundError("It was deleted.")
        last = [values(event) async for event in alone][-1]
        assert last == {"topic": "count:1", "gone": "It was deleted."}
        while "gone" not in (message := (await take(both, 1))[0]):
            pass
        assert message["topic"] == "count:1"
        assert {m["topic"] for m in await take(both, 3)} == {"count:2"}
        await both.aclose()  # type: ignore[attr-defined]

    run(work)


def test_an_exception_in_a_feed_ends_its_streams_and_not_the_hub(
    hub: Hub, feeds: Feeds, caplog: pytest.LogCaptureFixture
) -> None:
    async def work() -> None:
        broken, whole = hub.stream([("count:1", "")]), hub.stream([("count:2", "")])
        await take(broken, 1)
        await take(whole, 1)
        feeds.made[0].error = RuntimeError("a bug")
        assert all("next" in values(event) for event in [e async for e in broken])
        assert await take(whole, 5)
        again = hub.stream([("count:1", "")])
        assert "next" in (await take(again, 2))[1], "who comes back gets a fresh feed"
        await whole.aclose()  # type: ignore[attr-defined]
        await again.aclose()  # type: ignore[attr-defined]

    run(work)
    assert "the stream of count:1 failed" in caplog.text
    assert "a bug" in caplog.text


def test_a_snapshot_that_fails_ends_the_stream(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(CountingFeed, "snapshot", lambda *_: 1 / 0)

    async def work() -> None:
        assert [event async for event in hub.stream([("count:1", "")])] == []
        assert hub.viewers == 0
        assert hub._channels == {}

    run(work)
    assert "ZeroDivisionError" in caplog.text


def test_who_leaves_while_it_is_let_in_is_not_listened_for(
    feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A page that is left at once: its connection is cancelled while a thread still opens the
    feed."""
    entered, go_on = threading.Event(), threading.Event()

    def slow_feed(topic: str) -> CountingFeed:
        entered.set()
        assert go_on.wait(60)
        return feeds(topic)

    hub = Hub(slow_feed)

    async def work() -> None:
        stream = hub.stream([("count:1", "")])
        task = asyncio.ensure_future(anext(stream))
        await until(entered.is_set)
        task.cancel()
        threading.Timer(0.05, go_on.set).start()
        with pytest.raises(asyncio.CancelledError):
            await task
        await stream.aclose()  # type: ignore[attr-defined]
        await until(go_on.is_set)
        await asyncio.sleep(0.05)
        assert hub._channels == {}
        assert hub.viewers == 0

    run(work)
    hub.close()


def test_a_silent_stream_shows_that_it_lives(
    hub: Hub, feeds: Feeds, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub_module, "HEARTBEAT_SECONDS", 0.02)

    async def work() -> None:
        stream = hub.stream([("count:1", "")])
        await take(stream, 1)
        feeds.made[0].paused.set()
        while (event := await anext(stream)) != b": alive\n\n":
            assert b"next" in event
        await stream.aclose()  # type: ignore[attr-defined]

    run(work)


def test_a_server_that_ends_ends_the_streams_and_opens_none(hub: Hub, feeds: Feeds) -> None:
    async def work() -> None:
        stream = hub.stream([("count:1", "")])
        await take(stream, 1)
        hub.close()
        assert all("next" in values(event) for event in [e async for e in stream])
        assert [event async for event in hub.stream([("count:1", "")])] == []

    run(work)
