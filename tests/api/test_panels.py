"""Panels: offered by a page, made while somebody looks, told when they change."""

from __future__ import annotations

import json

import pytest

from lab.api import panels
from lab.api.panels import PanelFeed, bar, figure, offer, table, text
from lab.api.topics import make_feed
from lab.errors import NotFoundError


def test_a_panel_is_told_when_it_changes() -> None:
    state = {"n": 0}
    offer_id = offer(lambda: {"state": "", "blocks": [text(str(state["n"]))]}, seconds=0.5)
    feed = make_feed(f"panel:{offer_id}")
    assert feed.seconds == 0.5
    assert feed.snapshot("") == {"panel": {"state": "", "blocks": [text("0")]}}
    feed.changes()
    assert feed.changes() is None
    state["n"] = 1
    changed = feed.changes()
    assert changed is not None
    assert changed["panel"]["blocks"][0]["text"] == "1"


def test_a_page_that_runs_again_replaces_its_offer() -> None:
    offer_id = offer(lambda: {"state": "old"}, seconds=1)
    feed = PanelFeed(offer_id)
    assert offer(lambda: {"state": "new"}, seconds=2, offer_id=offer_id) == offer_id
    assert feed.changes() == {"panel": {"state": "new"}}
    assert feed.seconds == 2


def test_offers_of_pages_left_long_ago_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panels, "MOST_OFFERS", 3)
    first, second = (offer(dict, seconds=1) for _ in range(2))
    offer(dict, seconds=1, offer_id=first)  # used again
    for _ in range(2):
        offer(dict, seconds=1)
    PanelFeed(first)
    with pytest.raises(NotFoundError, match="reload it"):
        PanelFeed(second)


def test_unknown_topics_are_refused_by_name() -> None:
    with pytest.raises(NotFoundError, match="'weather:today'; there are: run, panel"):
        make_feed("weather:today")
    with pytest.raises(NotFoundError):
        make_feed("run:r-no")
    with pytest.raises(NotFoundError):
        make_feed("")


def test_blocks_are_plain_json() -> None:
    blocks = [
        bar("Step 1 of 2", 0.5, link=("Watch", "train?run=r-1")),
        bar("Waiting", None),
        text("Done.", tone="good"),
        figure("curve", {"data": []}, alt="A curve."),
        table(
            ["Run", "Accuracy"],
            [[("one", "train?run=r-1"), {"text": "93.1%", "sort": 0.931}]],
            label="Runs",
            numeric=["Accuracy"],
        ),
    ]
    assert json.loads(json.dumps(blocks)) == blocks
    assert blocks[0]["link"] == {"text": "Watch", "href": "train?run=r-1"}
    assert "link" not in blocks[1]
    assert blocks[4]["rows"] == [
        [{"text": "one", "href": "train?run=r-1"}, {"text": "93.1%", "sort": 0.931}]
    ]
    assert blocks[4]["numeric"] == [False, True]
