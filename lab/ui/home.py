"""The Home page's ready starts."""

from __future__ import annotations

import streamlit as st

from lab.data import catalog
from lab.errors import LabError
from lab.experiments.starts import STARTS, Start
from lab.runs.queue import queue
from lab.ui.state import fill_form, look_at


def draw_cards() -> None:
    with st.grid(3, min_column_width=280, gap="medium"):
        for start in STARTS:
            with st.container(border=True, height="stretch"):
                _card(start)


def _card(start: Start) -> None:
    infos = [catalog.describe(name) for name in start.datasets]
    info = next((i for i in infos if i.usable), None)
    st.markdown(f"#### {start.icon} {start.title}")
    st.markdown(start.story)
    if info is None:
        st.caption(f"Needs the data set “{infos[0].title}”, which is not on this machine yet.")
        st.page_link(
            "pages/data.py",
            label=f"Get {infos[0].title}",
            icon=":material/download:",
            width="stretch",
        )
        return
    st.caption(f"Data: {info.title}.")
    if st.button(
        "Start", key=f"home_start_{start.key}", icon=":material/play_arrow:", type="primary"
    ):
        _begin(start, info.name)


def _begin(start: Start, dataset: str) -> None:
    config = start.config(dataset)
    try:
        from lab.training.plan import resolve

        run_id = queue().submit(resolve(config))
    except LabError as error:
        st.error(str(error))
        return
    fill_form(config)
    look_at(run_id)
    st.switch_page("pages/train.py", query_params={"run": run_id})
