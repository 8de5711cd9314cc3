"""The parts of a page that works offline, in light and dark, and prints: cards are made of them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from lab.charts.style import CHART

STYLE = Path(__file__).parent / "page" / "card.css"
SCRIPT = Path(__file__).parent / "page" / "card.js"


@dataclass(frozen=True, eq=False)
class Sheet:
    """A card of several runs."""

    kind: str
    """Of the file's name: "Comparison"."""
    title: str
    values: Mapping[str, Any]
    """Plain JSON values, all that the card says."""
    figures: Mapping[str, go.Figure]
    sections: Sequence[str]
    """Of the page, as HTML."""

    @property
    def html(self) -> str:
        return page(self.title, self.sections, self.values, self.figures)

    @property
    def json(self) -> str:
        return json.dumps(self.values, indent=1, ensure_ascii=False, default=str)


def page(
    title: str,
    sections: Sequence[str],
    values: Mapping[str, Any],
    figures: Mapping[str, go.Figure],
) -> str:
    """Returns the whole page; `values` are the same facts for programs, `figures` what the sections
    of `charts` draw."""
    data = {name: json.loads(figure.to_json()) for name, figure in figures.items()}
    return "\n".join(
        (
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            f"<title>Lab card: {escape(title)}</title>",
            '<link rel="icon" href="data:,">',
            f"<style>{STYLE.read_text(encoding='utf-8')}</style></head><body><main>",
            *filter(None, sections),
            "</main>",
            _json("card", values),
            _json("figures", data),
            _json("chart-config", {**CHART, "responsive": True}),
            f"<script>{get_plotlyjs()}</script>" if data else "",
            f"<script>{SCRIPT.read_text(encoding='utf-8')}</script></body></html>",
        )
    )


def _json(name: str, values: object) -> str:
    text = json.dumps(values, default=str).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def head(kind: str, title: str, lines: Sequence[str]) -> str:
    about = "".join(f"<p>{escape(line)}</p>" for line in lines if line)
    return f"<header><p class=kind>{escape(kind)}</p><h1>{escape(title)}</h1>{about}</header>"


def section(title: str, inside: str, kind: str = "") -> str:
    """`inside` is HTML."""
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{inside}</section>'


def paragraphs(lines: Sequence[str]) -> str:
    return "".join(f"<p>{escape(line)}</p>" for line in lines if line)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    thead = f"<thead><tr>{top}</tr></thead>" if head else ""
    return f'<div class="wide"><table>{thead}<tbody>{body}</tbody></table></div>'


def chart(title: str, caption: str = "") -> str:
    """The place of the figure of this name."""
    below = f"<p>{escape(caption)}</p>" if caption else ""
    return section(
        title, f'<div class="figure" data-figure="{escape(title)}"></div>{below}', "chart"
    )
