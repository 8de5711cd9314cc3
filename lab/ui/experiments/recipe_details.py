"""All about one recipe: what to watch for, its choices and sizes, what differs here."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import streamlit as st

from lab.config import KNOBS
from lab.data import catalog
from lab.errors import LabError
from lab.experiments.recipes.book import DOCUMENTS
from lab.experiments.recipes.recipe import (
    SIZES,
    Prepared,
    Recipe,
    Size,
    dataset_choices,
    network_choices,
    prepare,
    weights_to_get,
)
from lab.experiments.recipes.results import answer, answered, newest_results
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_ready
from lab.runs.naming import setting_words
from lab.runs.queue import queue
from lab.runs.store import store
from lab.training.devices import trains_elsewhere
from lab.training.plan import resolve
from lab.ui.experiments.machine import Machine, Times, is_rough, sources_words, time_words
from lab.ui.experiments.recipe_picture import draw_picture
from lab.ui.experiments.recipe_progress import draw_progress
from lab.ui.experiments.recipe_results import draw_results
from lab.ui.state import fill_form, look_at
from lab.ui.words import plain


def show_details(each: Recipe, machine: Machine) -> None:
    """Opens the details over the page."""
    st.dialog(each.asks, width="large")(draw_details)(each, machine)


def draw_details(each: Recipe, machine: Machine) -> bool:
    """Draws everything about the recipe and its buttons; returns whether its times are only
    rough."""
    left, right = st.columns(2, gap="large")
    with left:
        ended = answered(each, newest_results(store()))
        draw_picture(each, ended)
        if ended:
            st.markdown(plain(answer(each, ended)))
        st.markdown(each.story)
        st.markdown("**Watch for**\n" + "\n".join(f"- {line}" for line in each.watch_for))
    with right:
        document = DOCUMENTS[each.document]
        st.caption(f"From “{document.title}” ({document.reference}).")
        _draw_figures(each)
        dataset, network = _choose(each)
        runs = {size: prepare(each, size, dataset=dataset, network=network) for size in SIZES}
        times = {size: machine.times(runs[size]) for size in SIZES}
        with st.container(horizontal=True):
            for size in SIZES[::-1]:
                key = f"experiments_start_{size}_{each.id}"  # the card behind has a button, too
                queue_button(size, runs[size], times[size], key=key)
            _open_in_train(each, runs["full"])
        st.caption(sources_words(times))
        _draw_missing(each, runs["full"])
    draw_progress(each, key=f"experiments_details_live_{each.id}")
    draw_results(each)
    with st.expander("What is different here from the document", icon=":material/difference:"):
        _draw_differences(each)
    return any(is_rough(times[size]) for size in SIZES)


def _draw_figures(each: Recipe) -> None:
    """The document's figures, and in what its runs differ."""
    rows = {
        "Run": [variant.title for variant in each.variants],
        "The document": [variant.reported.text for variant in each.variants],
    }
    if len(each.variants) > 1:
        rows["Settings"] = [
            ", ".join(setting_words(KNOBS[name], value) for name, value in variant.knobs.items())
            for variant in each.variants
        ]
    st.dataframe(
        pd.DataFrame(rows),
        key=f"experiments_figures_{each.id}",
        hide_index=True,
        placeholder="",
        alt=f"What the document reports of {each.title}.",
    )


def _draw_differences(each: Recipe) -> None:
    quick = (
        "The quick size takes fewer and smaller pictures and fewer epochs. It shows what happens; "
        "its results are not to be compared with the document's."
    )
    st.markdown("\n".join(f"- {line}" for line in (*each.differences, quick)))


def _choose(each: Recipe) -> tuple[str, str | None]:
    """Returns the data set and the network to run it with; draws select boxes where it can."""
    infos = dataset_choices(each)
    names = [info.name for info in infos] or [each.datasets[0]]
    dataset, network = names[0], None
    networks = network_choices(each)
    if len(names) > 1:
        titles = {info.name: info.title for info in infos}
        dataset = st.selectbox(
            "Pictures",
            names,
            format_func=lambda name: titles[name],
            key=f"experiments_data_{each.id}",
            persist_state="session",
        )
    if networks:
        network = st.selectbox(
            "Network",
            networks,
            format_func=lambda name: _network_title(each, name),
            key=f"experiments_network_{each.id}",
            persist_state="session",
            help="Networks whose ImageNet weights are on this machine come first; another one's "
            "are downloaded when its run starts.",
        )
    return dataset, network


def _network_title(each: Recipe, name: str) -> str:
    spec = ARCHITECTURES.get(name)
    role = "the document's" if name == each.networks[0] else "stands in"
    known = weights_ready(spec) or trains_elsewhere()
    return f"{spec.title} ({role}{'' if known else ', weights not here yet'})"


def _draw_missing(each: Recipe, runs: Sequence[Prepared]) -> None:
    own = catalog.describe(each.datasets[0])
    if not own.usable:
        text = f"The document's pictures, “{own.title}”, are {own.state}. {own.how_to_get}"
        text += "" if text.endswith(".") else "."
        if not runs[0].missing:
            text += " Until then the drawn ones stand in; their results are not to be compared."
        st.info(text, icon=":material/photo_library:")
        st.page_link("pages/data.py", label=f"Get {own.title}", icon=":material/download:")
    downloads = {run.download for run in runs if run.download}
    if each.networks and not downloads and (absent := weights_to_get(each.networks[0])):
        title = ARCHITECTURES.get(runs[0].config.architecture).title
        own_title = ARCHITECTURES.get(each.networks[0]).title
        st.caption(
            f"{title} stands in for {own_title}, the document's network. {absent} Choose it above "
            "to train it."
        )
    for download in sorted(downloads):
        st.info(download, icon=":material/weight:")


def queue_button(
    size: Size,
    runs: Sequence[Prepared],
    times: Times,
    *,
    key: str,
    label: str = "",
    blocked: str = "",
) -> None:
    """Draws the button that queues the runs, with their number and time; `blocked` is why not."""
    about = time_words(times)
    words = [
        label or ("Quick" if size == "quick" else "Full size"),
        f"{len(runs)} runs" if len(runs) > 1 else "",
        about,
    ]
    locked = blocked or next((run.missing for run in runs if run.missing), "")
    if st.button(
        " · ".join(filter(None, words)),
        key=key,
        icon=":material/bolt:" if size == "quick" else ":material/play_arrow:",
        type="primary" if size == "quick" else "secondary",
        disabled=bool(locked),
        help=locked or "Puts it in the queue; it trains in the background and can be stopped.",
    ):
        _queue(runs)


def _queue(runs: Sequence[Prepared]) -> None:
    """Queues all runs of the recipe together; none where one of them does not fit."""
    try:
        resolved = [(resolve(run.config), run) for run in runs]
        ids = [queue().submit(config, name=run.name, origin=run.origin) for config, run in resolved]
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    look_at(ids[0])
    st.toast(
        f"In the queue: {', '.join(plain(run.name) for run in runs)}",
        icon=":material/playlist_add:",
    )
    st.rerun()


def _open_in_train(each: Recipe, runs: Sequence[Prepared]) -> None:
    if st.button(
        "Change settings first",
        key=f"experiments_form_{each.id}",
        icon=":material/tune:",
        disabled=bool(runs[0].missing),
        help="Opens the Train page with the full-size settings"
        + (f" of “{runs[0].variant.title}”." if len(runs) > 1 else "."),
    ):
        fill_form(runs[0].config)
        look_at(None)
        st.switch_page("pages/train.py")
