"""How the lab's charts look: one palette, one layout.

No text colour is set anywhere: `st.plotly_chart` fills in those of the light or dark appearance.
The palette was chosen by measurement: every colour stands out from a white and from a near-black
page by a contrast of 3 or more, and the first three stay apart for red-, green- and blue-blind eyes
(tests/charts/test_style.py measures both). Still, nothing is told by colour alone: training is
solid, validation dashed.
"""

from __future__ import annotations

from html import escape
from typing import Any

import plotly.graph_objects as go

PALETTE = ("#2f6fb0", "#d95f02", "#009977", "#b14ad0", "#7d8590")
"""Blue, vermilion, teal, violet, grey; .streamlit/config.toml has them for Streamlit's charts."""

TRAIN, VALIDATION, TEST, ACCENT, QUIET = PALETTE
GRID = "rgba(125, 133, 144, 0.22)"
HEIGHT = 320


def chart_text(name: str) -> str:
    """Returns a name so that a chart shows it as it is typed: Plotly reads some HTML in texts, and
    %{...} in templates."""
    return escape(name, quote=False).replace("{", "&#123;")


def styled(
    figure: go.Figure, *, x_title: str, y_title: str, empty: str, height: int = HEIGHT
) -> go.Figure:
    """Give `figure` the lab's layout; says `empty` in the middle when there is nothing to draw.

    Titles of charts are not drawn: the page writes them as headings, to which screen readers jump.
    """
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        hovermode="x unified",
        legend={"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
    )
    axis: dict[str, Any] = {"automargin": True, "zeroline": False}
    figure.update_xaxes(title_text=x_title, showgrid=False, **axis)
    figure.update_yaxes(gridcolor=GRID, **axis)
    figure.update_layout(yaxis_title_text=y_title)
    if not any(trace.x is not None and len(trace.x) for trace in figure.data):
        figure.add_annotation(
            text=empty, showarrow=False, xref="paper", yref="paper", x=0.5, y=0.5, opacity=0.7
        )
        figure.update_xaxes(visible=False)
        figure.update_yaxes(visible=False)
    return figure


def log_ticks(*, share: bool = False) -> dict[str, Any]:
    """Returns what a logarithmic axis needs for full numbers at its ticks, also when zoomed.

    Without a format Plotly writes bare digits between powers of ten: 2 for 0.2 here, for 0.02
    there. With few ticks wanted it picks powers, or 1, 2 and 5 of each, or even steps within one.
    """
    return {"type": "log", "tickformat": "~%" if share else "~g", "nticks": 4}


CHART = {"displayModeBar": False}
