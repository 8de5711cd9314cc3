"""The Data page's upper half: facts, images, labels and pixels of a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from lab.charts.labels import label_distribution, label_distribution_alt
from lab.charts.series import LabelCounts
from lab.config import RunConfig
from lab.data import catalog, probes
from lab.data.augment import preview
from lab.data.catalog import DatasetInfo
from lab.data.preprocess import statistics
from lab.ui.widgets.pictures import PER_PAGE, SHOWN_SIDE, enlarge
from lab.ui.widgets.pin_button import draw_pin_button
from lab.words import size

AUGMENTATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "horizontal_flip": ("Horizontal flip", {"horizontal_flip": True}),
    "rotation": ("Rotation 25°", {"rotation_degrees": 25}),
    "zoom": ("Zoom 0.3", {"zoom": 0.3}),
    "shift": ("Shift 0.2", {"width_shift": 0.2, "height_shift": 0.2}),
    "shear": ("Shear 20°", {"shear_degrees": 20}),
    "brightness": ("Brightness 0.4", {"brightness": 0.4}),
    "contrast": ("Contrast 0.5", {"contrast": 0.5}),
}


def choose() -> DatasetInfo:
    """Draws the select box of data sets, which keeps its value for the session."""
    infos = {info.name: info for info in catalog.list_datasets()}
    name = st.selectbox(
        "Data set",
        list(infos),
        format_func=lambda n: (
            infos[n].title + (" — not on this machine" if not infos[n].usable else "")
        ),
        key="data_dataset",
        persist_state="session",
    )
    return infos[name if name in infos else next(iter(infos))]


def draw_facts(info: DatasetInfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.subheader(info.title, anchor=False, width="content")
        if info.drawn:
            st.badge("Drawings, not photographs", icon=":material/draw:", color="violet")
    st.markdown(info.story)
    if info.state == catalog.READY:
        with st.grid("auto", min_column_width=120, gap="small"):
            st.metric("Classes", len(info.class_names), border=True)
            for split, title in (("train", "Training"), ("val", "Validation"), ("test", "Test")):
                count = info.split_totals.get(split, 0)
                if count or split != "val":
                    st.metric(f"{title} images", f"{count:,}", border=True)
            st.metric(
                "Stored at",
                f"{info.image_size}×{info.image_size}",
                border=True,
                help="Side in pixels, "
                + ("three colour channels." if info.channels == 3 else "one grey channel."),
            )
            st.metric("On disk", size(info.bytes_on_disk), border=True)
    st.caption(f"Source: {info.source} · Licence: {info.licence}")
    if info.rejected_count:
        st.caption(f"{info.rejected_count} file(s) could not be used; the list is further down.")


def draw_browser(info: DatasetInfo) -> None:
    """Draws images, labels, statistics and augmentation of a set that is here or can be drawn."""
    if info.state != catalog.READY:
        with st.skeleton(height=240):
            catalog.open_pack(info.name)
        st.rerun()
    images, labels, pixels, augmentation = st.tabs(
        ["Images", "Labels", "Sizes and pixels", "Augmentation"],
        key="data_tab",
        on_change="rerun",
    )
    if images.open:
        with images:
            _gallery(info)
    if labels.open:
        with labels:
            _labels(info)
    if pixels.open:
        with pixels:
            _pixels(info)
    if augmentation.open:
        with augmentation:
            _augmentation(info)


def _gallery(info: DatasetInfo) -> None:
    pack = catalog.open_pack(info.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Class", info.class_names, key=f"data_class_{info.name}", width=200)
        splits = [s for s in ("train", "val", "test") if s in info.split_totals]
        split = st.segmented_control(
            "Part",
            splits,
            default=splits[0],
            format_func={"train": "Training", "val": "Validation", "test": "Test"}.__getitem__,
            key=f"data_split_{info.name}",
            required=True,
        )
        pinning = st.toggle(
            "Pin pictures",
            key="data_pinning",
            help=f"Runs follow up to {probes.MOST} pinned pictures through their training: see the "
            "film strip on the Train page.",
        )
    label = info.class_names.index(name)
    indices = pack.indices(split)
    indices = indices[pack.labels[indices] == label]
    if not len(indices):
        st.caption(f"No images of {name} in this part.")
        return
    slot = st.container()
    pages = -(-len(indices) // PER_PAGE)
    page = st.pagination(pages, key=f"data_page_{info.name}_{split}_{label}") if pages > 1 else 1
    shown = indices[(page - 1) * PER_PAGE : page * PER_PAGE]
    pinned = probes.probes(info.name) if pinning else ()
    with slot, st.container(horizontal=True, gap="xsmall"):
        for index in shown.tolist():
            with st.container(width=SHOWN_SIDE, gap="xsmall"):
                st.image(
                    enlarge(pack.images[index]),
                    width=SHOWN_SIDE,
                    alt=f"{name}, {pack.names[index]}",
                )
                if pinning:
                    draw_pin_button(
                        info.name,
                        index,
                        key=f"data_pin_{info.name}_{index}",
                        pinned=index in pinned,
                        width="stretch",
                    )
    if pinning:
        st.caption(f"{len(pinned)} of at most {probes.MOST} pictures of this data set are pinned.")
    first = (page - 1) * PER_PAGE + 1
    st.caption(f"{first:,} to {first + len(shown) - 1:,} of {len(indices):,} images of {name}.")


def _labels(info: DatasetInfo) -> None:
    counts = LabelCounts(
        class_names=info.class_names,
        counts={
            split: np.array([per_class[name] for name in info.class_names])
            for split, per_class in info.counts.items()
            if sum(per_class.values())
        },
    )
    st.plotly_chart(
        label_distribution(counts),
        key=f"data_labels_{info.name}",
        alt=label_distribution_alt(counts),
    )
    train = np.array(counts.counts["train"])
    if train.max() > 1.5 * train.min():
        rare = info.class_names[int(train.argmin())]
        st.caption(
            f"The classes are unequal: {rare} has {train.min():,} training images, the largest "
            f"class {train.max():,}. Class balancing on the Train page can make up for it."
        )


@st.cache_data(max_entries=16, show_spinner="Measuring the training images")
def _statistics(name: str, content_hash: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Returns mean and deviation of each channel; the hash has a changed set measured again."""
    pack = catalog.open_pack(name)
    measured = statistics(pack, pack.indices("train"))
    return measured.mean, measured.std


def _pixels(info: DatasetInfo) -> None:
    pack = catalog.open_pack(info.name)
    mean, std = _statistics(info.name, pack.meta.content_hash)
    channels = ("grey",) if info.channels == 1 else ("red", "green", "blue")
    st.dataframe(
        {
            "Channel": channels,
            "Mean": [round(m, 3) for m in mean],
            "Standard deviation": [round(s, 3) for s in std],
        },
        hide_index=True,
        alt="Mean and standard deviation of the training pixels, as fractions of full brightness.",
    )
    st.caption(
        "Of the training pixels, as fractions of full brightness (0 black, 1 white). "
        "Pixel scaling “standard” subtracts this mean and divides by this deviation."
    )
    if info.original_sizes:
        st.dataframe(
            {
                "Original size": list(info.original_sizes),
                "Images": list(info.original_sizes.values()),
            },
            hide_index=True,
            alt="The most frequent original image sizes.",
        )
    how = "squeezed to a square" if pack.meta.fit == "stretch" else "cut to a centred square"
    st.caption(f"Every image is {how} of {info.image_size} pixels once, when the set is added.")
    if pack.meta.rejected:
        st.markdown("**Files that could not be used**")
        st.dataframe(
            [{"File": r.file, "Reason": r.reason} for r in pack.meta.rejected],
            hide_index=True,
            alt="Files that could not be used, with the reason.",
        )


def _augmentation(info: DatasetInfo) -> None:
    pack = catalog.open_pack(info.name)
    train = pack.indices("train")
    st.caption(
        "The same training image, eight random draws of each knob. The network never sees the same "
        "picture twice; validation and test images are never changed."
    )
    number = st.number_input(
        "Training image",
        min_value=1,
        max_value=len(train),
        key=f"data_augmented_{info.name}",
        width=200,
    )
    image = np.asarray(pack.images[train[int(number) - 1]])
    with st.container(horizontal=True, vertical_alignment="center"):
        st.image(enlarge(image), width=SHOWN_SIDE, alt="The image as it is", caption="as it is")
    for title, knobs in AUGMENTATIONS.values():
        st.markdown(f"**{title}**")
        draws = preview(image, RunConfig().changed(**knobs), draws=8, seed=0)
        with st.container(horizontal=True, gap="xsmall"):
            for place, draw in enumerate(draws, start=1):
                st.image(enlarge(draw), width=84, alt=f"{title}, draw {place}")
