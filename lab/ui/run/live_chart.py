"""The chart that moves while a run trains: a panel a metric, zoom and hover kept over the ticks.

`st.plotly_chart` rebuilds its element whenever the data change, so a zoom would last one second.
This is a small v2 component around `Plotly.extendTraces` instead (live_chart.js): live_feed.py
sends what is new, live_figure.js draws. Streamlit sends a component's inline JavaScript again at
every tick; so that is three lines, and they load the real files from static/. Plotly lies there
too, copied from the installed wheel: nothing comes from the network.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path

import streamlit as st

from lab.errors import ResourceError
from lab.home import atomic_file, writing
from lab.metrics import Metric
from lab.ui.run.live_feed import HistoryReader, Sent, alt_texts, next_message

STATIC = Path(__file__).parents[3] / "static"
"""Streamlit serves the folder `static` beside the entrance script under the URL app/static."""

_HERE = Path(__file__).parent

_mount = st.components.v2.component(
    "trainscope_live_chart",
    # Plotly's own style sheet goes into the document, where a shadow root would not see it.
    isolate_styles=False,
    html='<div class="live-chart"></div>',
    js="""
    export default async (component) => {
      const chart = await import(new URL(component.data.files.script, document.baseURI).href)
      return chart.render(component)
    }
    """,
)

_preload = st.components.v2.component(
    "trainscope_live_chart_preload",
    isolate_styles=False,
    html="<span></span>",
    js="""
    export default async (component) => {
      const chart = await import(new URL(component.data.files.script, document.baseURI).href)
      chart.preload(component)
    }
    """,
)


def preload_live_chart(static: Path = STATIC) -> None:
    """Has the browser load what a live chart needs while the person still reads; draws nothing.

    So the first point after a press of a start button does not wait for it.
    """
    _preload(key="live_chart_preload", data={"files": _files(static)})


def live_chart(
    history_reader: HistoryReader,
    *,
    run_id: str,
    metrics: Sequence[Metric],
    key: str,
    live: bool,
    height: int = 260,
    empty: str = "The first point appears here a moment after training starts.",
    static: Path = STATIC,
) -> None:
    """Draws the `metrics` of `run_id` in a panel each; those not shown at first behind a button.

    Call it inside the page's `st.fragment(run_every=...)`: each call reads what is new and sends
    that. `key` names the place on the page and stays the same when the run changes. `live`: more is
    to come. `height` is that of one panel in pixels. `empty` is shown before the first step.
    `static` differs only for entrance scripts that are not the lab's own.

    Raises ResourceError when the static files cannot be written.
    """
    place = f"live_chart_{key}"
    sent: Sent | None = st.session_state.get(place)
    message, sent = next_message(history_reader, run_id=run_id, metrics=metrics, sent=sent)
    st.session_state[place] = sent
    texts = alt_texts(sent, live=live, best_epoch=message["best_epoch"])
    _mount(
        key=f"{place}_component",
        data={**message, "alt": texts, "empty": empty, "height": height, "files": _files(static)},
        on_resync_change=partial(_forget, place),
    )


def ensure_plotly_js(static: Path = STATIC) -> str:
    """Copies plotly.min.js from the installed wheel to `static` if missing; returns its URL.

    The URL is relative to the page, as "app/static/plotly-7.1.0.min.js". Safe to call from several
    threads and processes at once. Raises ResourceError when the file cannot be written.
    """
    package = importlib.util.find_spec("plotly")  # does not import it
    if package is None or package.origin is None:  # pragma: no cover  (a direct dependency)
        raise ResourceError("plotly is not installed. Run: pip install -r requirements.txt")
    source = Path(package.origin).parent / "package_data" / "plotly.min.js"
    return _publish(source, f"plotly-{importlib.metadata.version('plotly')}.min.js", static)


@cache
def _files(static: Path) -> dict[str, str]:
    """Returns the URLs of what the browser loads once; names change with the content."""
    urls = {"plotly": ensure_plotly_js(static)}
    own = {"script": "live_chart.js", "figure": "live_figure.js", "style": "live_chart.css"}
    for kind, name in own.items():
        source = _HERE / name
        digest = hashlib.sha256(source.read_bytes()).hexdigest()[:8]
        urls[kind] = _publish(source, f"{source.stem}-{digest}{source.suffix}", static)
    return urls


def _publish(source: Path, name: str, static: Path) -> str:
    target = static / name
    with writing(target):
        static.mkdir(parents=True, exist_ok=True)
    if not target.is_file() or target.stat().st_size != source.stat().st_size:
        with atomic_file(target) as temporary:
            shutil.copy(source, temporary)
            # Streamlit sends no Cache-Control for these. Browsers then keep a file for a tenth of
            # its age, and an age of years saves 4.8 MB at every visit.
            os.utime(temporary, (0, 0))
    return f"app/static/{name}"


def _forget(place: str) -> None:
    """The browser lacks points or holds too many: the next message is a whole history."""
    st.session_state.pop(place, None)
