"""What can be watched over the event stream, by topic."""

from __future__ import annotations

from collections.abc import Callable

from lab.api.hub import Feed, Hub
from lab.api.panels import PanelFeed
from lab.api.run_feed import RunFeed
from lab.errors import NotFoundError
from lab.runs.store import store

TOPICS: dict[str, Callable[[str], Feed]] = {
    "run": lambda run_id: RunFeed(store(), run_id),
    "panel": PanelFeed,
}
"""Kind -> the feed of what stands behind the colon, as in "run:r-20261129-120000-ab12"."""


def make_feed(topic: str) -> Feed:
    """Returns the feed of `topic`. Raises NotFoundError."""
    kind, _, name = topic.partition(":")
    if kind not in TOPICS:
        raise NotFoundError(f"There is no topic {topic!r}; there are: {', '.join(TOPICS)}.")
    return TOPICS[kind](name)


hub = Hub(make_feed)
"""The process's own."""
