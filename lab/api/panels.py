"""Panels: parts of a page that change by themselves, such as a job's bar or a sweep's table.

A page offers a function that makes the panel as it is now; the hub calls it while somebody looks.
So a panel knows all the choices of its page, and no choice needs an address of its own.
"""

from __future__ import annotations

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any

from lab.errors import NotFoundError
from lab.people import acting_as, current_person

Panel = dict[str, Any]
"""{"state": text, "blocks": [block, ...]} of plain JSON values. When the state changes, the page's
script runs again: its buttons depend on it."""

MOST_OFFERS = 500
"""Offers of pages that were left long ago are forgotten."""


def bar(text: str, share: float | None, *, link: tuple[str, str] | None = None) -> Panel:
    """Returns a progress bar with one line; `share` is in [0, 1], None where it is not known.
    `link`: (text, address), behind the line."""
    values: Panel = {"kind": "bar", "text": text, "share": share}
    return {**values, "link": {"text": link[0], "href": link[1]}} if link else values


def text(words: str, *, tone: str = "plain") -> Panel:
    """Returns a paragraph; `tone` is "plain", "small", "good" or "bad"."""
    return {"kind": "text", "text": words, "tone": tone}


def table(
    columns: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    label: str,
    numeric: Sequence[str] = (),
) -> Panel:
    """Returns a table; a cell is a text, or (text, address), or {"text", "sort"} to sort by a
    number. `numeric` columns are aligned right."""
    cells = [
        [{"text": cell[0], "href": cell[1]} if isinstance(cell, tuple) else cell for cell in row]
        for row in rows
    ]
    return {
        "kind": "table",
        "columns": list(columns),
        "rows": cells,
        "label": label,
        "numeric": [name in numeric for name in columns],
    }


def figure(name: str, values: dict[str, Any], *, alt: str) -> Panel:
    """Returns a chart, Plotly's JSON; one `name` keeps its zoom from one state to the next."""
    return {"kind": "figure", "name": name, "figure": values, "alt": alt}


class _Offers:
    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._makes: OrderedDict[str, tuple[Callable[[], Panel], float]] = OrderedDict()

    def put(self, make: Callable[[], Panel], seconds: float, offer_id: str) -> str:
        with self._guard:
            offer_id = offer_id or uuid.uuid4().hex
            self._makes[offer_id] = (make, seconds)
            self._makes.move_to_end(offer_id)
            while len(self._makes) > MOST_OFFERS:
                self._makes.popitem(last=False)
        return offer_id

    def get(self, offer_id: str) -> tuple[Callable[[], Panel], float]:
        with self._guard:
            offer = self._makes.get(offer_id)
        if offer is None:
            raise NotFoundError("This part of the page is no longer kept up to date; reload it.")
        return offer


_offers = _Offers()


def offer(make: Callable[[], Panel], *, seconds: float, offer_id: str = "") -> str:
    """Offers a panel; returns its id, the topic is "panel:<id>".

    `make` runs in the hub's thread every `seconds` while somebody looks, as the current person: it
    must be quick and call nothing of Streamlit's. `offer_id`: the id of an earlier offer that this
    one replaces.
    """
    person = current_person()

    def make_for_them() -> Panel:
        with acting_as(person):
            return make()

    return _offers.put(make_for_them, seconds, offer_id)


class PanelFeed:
    """See `lab.api.hub.Feed`."""

    def __init__(self, offer_id: str) -> None:
        self._id = offer_id
        _, self.seconds = _offers.get(offer_id)
        self._sent: Panel | None = None

    def snapshot(self, cursor: str) -> dict[str, Any]:
        make, self.seconds = _offers.get(self._id)
        return {"panel": make()}

    def changes(self) -> dict[str, Any] | None:
        make, self.seconds = _offers.get(self._id)
        panel = make()
        if panel == self._sent:
            return None
        self._sent = panel
        return {"panel": panel}
