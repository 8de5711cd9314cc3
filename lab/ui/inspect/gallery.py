"""Inspect, "Gallery": right and wrong answers of a class with what each was decided by."""

from __future__ import annotations

import numpy as np
import streamlit as st

from lab.evaluate.maps import GalleryItem, gallery_items
from lab.explain.grad_cam import Cost
from lab.explain.overlay import Mode, drawn, square
from lab.ui.inspect.methods import choose_layer_and_method, choose_mode, started
from lab.ui.inspect.subject import Subject
from lab.ui.widgets.background import computed
from lab.ui.widgets.pictures import jpeg
from lab.ui.widgets.predictions import predictions_of
from lab.ui.words import plain
from lab.words import probability

EACH = 6
SIDE = 150


def draw_gallery(subject: Subject) -> None:
    """The tab: the surest right and the surest wrong answers for images of one class."""
    if subject.splits is None:
        st.caption("The data set of this run is not here, so there are no images to show.")
        return
    if not subject.layers.stages:
        st.info("This network has no layer with places, so there are no maps to show.")
        return
    names = subject.class_names
    parts = [part for part in ("val", "test") if len(getattr(subject.splits, part))]
    with st.grid("auto", min_column_width=190, gap="small"):
        label = st.selectbox(
            "Images of class",
            range(len(names)),
            format_func=names.__getitem__,
            key=f"inspect_gallery_class_{subject.run.id}",
        )
        part = st.segmented_control(
            "Part",
            parts,
            default=parts[0],
            format_func={"val": "Validation", "test": "Test"}.__getitem__,
            key=f"inspect_gallery_part_{subject.run.id}",
            required=True,
        )
        layer, method = choose_layer_and_method(subject, place="gallery")
    predictions = predictions_of(subject.choice, part)
    if predictions is None:
        return
    sure = predictions.probabilities.max(1)
    lists = {}
    for title, wanted in (("Right", predictions.right), ("Wrong", ~predictions.right)):
        there = (predictions.labels == label) & wanted
        positions = there.nonzero()[0]
        lists[title] = predictions.indices[positions[(-sure[positions]).argsort(kind="stable")]][
            :EACH
        ]
    indices = [int(i) for part_ in lists.values() for i in part_]
    key = f"gallery:{indices}:{layer.name}:{method.name}:{subject.key}"
    slow = method.cost is Cost.CHANNEL
    if slow and not started(
        key,
        "inspect_gallery_draw",
        label=f"Draw the maps of {len(indices)} images",
        icon=":material/hourglass_top:",
    ):
        return
    items: list[GalleryItem] | None = computed(
        key,
        "Drawing the gallery",
        lambda report, cancel: gallery_items(
            subject.network,
            indices,
            layer=layer.name,
            method=method.name,
            progress=report,
            cancel=cancel,
        ),
        cancellable=slow,
    )
    if items is None:
        return
    by_index = {item.index: item for item in items}
    with st.container(horizontal=True, vertical_alignment="center"):
        mode = choose_mode()
        shared = st.toggle(
            "One colour scale for all images",
            key="inspect_gallery_scale",
            help="On: a map that is weak beside the others looks weak.",
        )
    top = max((float(item.map.values.max()) for item in items), default=0.0) if shared else None
    for title, chosen in lists.items():
        st.markdown(f"**{title} answers**, the surest first")
        if not len(chosen):
            st.caption(f"None of the images of {plain(names[label])}.")
        with st.grid("auto", min_column_width=130, gap="small"):
            for index in chosen.tolist():
                _card(subject, by_index[index], mode, top)
    st.caption(
        "Each map says what speaks for the class that the image was taken for. "
        + (
            "All have one scale, so a weak map looks weak."
            if top is not None
            else "Each has a scale of its own, so compare where they are bright, not how bright."
        ),
        help=f"Full scale is {top:.3g}, the largest value of all." if top is not None else None,
    )


def _card(subject: Subject, item: GalleryItem, mode: Mode, scale: float | None) -> None:
    names = subject.class_names
    answer = names[item.predicted]
    shown = drawn(item.pixels, item.map.values, mode, scale=scale, side=2 * SIDE)
    if mode == "map":  # with the picture above it, as nothing of that is left in the map
        shown = np.concatenate([square(item.pixels, 2 * SIDE), shown])
    with st.container(gap="xxsmall"):
        st.image(
            jpeg(shown),
            width="stretch",
            output_format="JPEG",
            alt=f"{names[item.label]} taken for {answer} with {probability(item.probability)}",
        )
        faint = "" if item.map.meaningful else ", no map"
        st.caption(f"{plain(answer)} {probability(item.probability)}{faint}")
        st.page_link(
            "pages/inspect.py",
            label="Look closer",
            icon="",
            query_params={
                "run": subject.run.id,
                "image": str(item.index),
                "checkpoint": subject.checkpoint,
            },
        )
