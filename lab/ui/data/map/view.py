"""The tab: choices, the map itself, and below it the pictures that were chosen on it."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.pack import EXCLUDED, Pack
from lab.data.quality.embedding import METHODS, Embedding, embed
from lab.data.quality.features import set_features
from lab.errors import LabError
from lab.progress import Cancel, Report
from lab.ui.data.map.chosen import Chosen, choose, chosen, draw_chosen
from lab.ui.data.map.colours import choose_colouring
from lab.ui.data.map.features import choose_extractor, features_key
from lab.ui.widgets.background import computed
from lab.ui.widgets.point_map import Frame, MapPictures, draw_point_map
from lab.ui.words import plain
from lab.words import percent

_WHAT_IT_SHOWS = {
    "pca": "Pictures that are alike in these features lie together. Of all that sets them apart, "
    "the plane shows {share}; what is apart here is apart, what is together here may still differ.",
    "tsne": "Neighbours on the map are neighbours in these features. How far groups are from each "
    "other, and how large they are, means little.",
}


def draw_map(info: DatasetInfo) -> None:
    """Draws the tab."""
    pack = catalog.open_pack(info.name)
    rows = np.flatnonzero(pack.split != EXCLUDED).astype(np.int64)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        extractor = choose_extractor(pack)
        method = st.segmented_control(
            "Map",
            list(METHODS),
            default="pca",
            format_func=METHODS.__getitem__,
            key="data_map_method",
            required=True,
            help="PCA: the plane of largest spread, at once. t-SNE: keeps neighbours together, so "
            "groups show; the first one takes about a minute for 20,000 pictures.",
        )
        slot = st.container(width="content")
    answer = _embedding(pack, extractor, method)
    if answer is None:
        return
    title, embedding = answer
    with slot:
        colouring = choose_colouring(pack, rows, key=f"data_map_colour_{info.name}")
    at = chosen(pack)
    draw_point_map(
        MapPictures(
            info.name,
            pack.meta.images_hash,
            pack.meta.class_names,
            rows,
            pack.labels[rows],
            pack.split[rows],
        ),
        [Frame(METHODS[method], embedding.points[rows])],
        colouring,
        key="data_map",
        alt=f"Map of {len(rows):,} pictures of {info.title} in {len(pack.meta.class_names)} "
        f"classes by {METHODS[method]}, coloured by {colouring.title.lower()}.",
        chosen=at.rows,
        on_choose=lambda picked: choose(pack, Chosen(tuple(picked))),
    )
    share = percent(embedding.share or 0)
    st.caption(f"Features: {plain(title)}. {_WHAT_IT_SHOWS[method].format(share=share)}")
    draw_chosen(info, pack, rows, extractor)


def _embedding(pack: Pack, extractor: str, method: str) -> tuple[str, Embedding] | None:
    """Returns the features' title and the map; None while the page shows a button or a job."""
    try:
        key = f"map:{pack.meta.images_hash}:{features_key(extractor)}:{method}"
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None
    job = jobs.latest(key)
    if job is not None and job.state == "cancelled":
        st.caption("The map was cancelled.")
        if not st.button("Draw the map", key="data_map_start", icon=":material/scatter_plot:"):
            return None

    def work(report: Report, cancel: Cancel) -> tuple[str, Embedding]:
        features = set_features(pack, extractor=extractor, progress=report, cancel=cancel)
        embedding = embed(
            features.rows,
            method,
            images_hash=pack.meta.images_hash,
            progress=report,
            cancel=cancel,
        )
        return features.title, embedding

    answer: tuple[str, Embedding] | None = computed(
        key, f"Map of {pack.meta.title}", work, cancellable=True
    )
    return answer
