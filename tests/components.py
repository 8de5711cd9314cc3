"""What AppTest cannot show: the data that a page gives to its components in the browser."""

from __future__ import annotations

import json
from typing import Any

from streamlit.testing.v1 import AppTest


def component_data(app: AppTest) -> list[dict[str, Any]]:
    """Returns the data of each component on the page; those of js/ get it in a list."""
    every = [json.loads(e.proto.json) for e in app.get("bidi_component") if e.proto.json]
    return [data[0] if isinstance(data, list) else data for data in every]


def components(app: AppTest, module: str) -> list[dict[str, Any]]:
    """Returns the data of each js/<module>.js on the page."""
    every = component_data(app)
    return [data for data in every if str(data.get("module", "")).endswith(f"/{module}.js")]


def blocks(app: AppTest, kind: str) -> list[dict[str, Any]]:
    """Returns the blocks of one kind of all panels on the page."""
    every = [block for data in components(app, "panel") for block in data["panel"]["blocks"]]
    return [block for block in every if block["kind"] == kind]


def moving_texts(app: AppTest) -> str:
    """Returns the paragraphs of all panels on the page."""
    return "\n".join(block["text"] for block in blocks(app, "text"))


def column(app: AppTest, title: str, part: str = "text") -> list[Any]:
    """Returns a column of the first panel's table; `part` of its cells: "text", "href", "sort"."""
    table = blocks(app, "table")[0]
    cells = [row[table["columns"].index(title)] for row in table["rows"]]
    return [cell[part] if isinstance(cell, dict) else cell for cell in cells]
