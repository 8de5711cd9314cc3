"""The Data page's upper half: facts, pictures, labels and pixels of a data set."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import streamlit as st

from lab.charts.labels import label_distribution, label_distribution_alt
from lab.charts.series import LabelCounts
from lab.config import RunConfig
from lab.data import catalog, probes
from lab.data.access import may_change_dataset
from lab.data.augment import preview
from lab.data.catalog import DatasetInfo
from lab.data.decode import FITS
from lab.data.importer import count_files
from lab.data.pack import EXCLUDED, SPLIT_WORDS
from lab.data.preprocess import statistics
from lab.ui.data.add import SELECTED, draw_train_on_it
from lab.ui.data.check import draw_check
from lab.ui.data.map.view import draw_map
from lab.ui.data.mending import draw_mendable
from lab.ui.data.pending_edits import TAB, VERSIONS_TAB, draw_pending, open_tab
from lab.ui.state import knob_key
from lab.ui.widgets import edits
from lab.ui.widgets.pictures import PER_PAGE, SHOWN_SIDE, enlarge
from lab.ui.widgets.pin_button import draw_pin_button
from lab.ui.words import plain
from lab.words import size


@dataclass(frozen=True)
class ShownKnob:
    """An augmentation on the page: its knobs, and a strength to show where Train has it off."""

    title: str
    example: dict[str, float]
    unit: str = ""


AUGMENTATIONS = (
    ShownKnob("Rotation", {"rotation_degrees": 25}, "°"),
    ShownKnob("Zoom", {"zoom": 0.3}),
    ShownKnob("Shift", {"width_shift": 0.2, "height_shift": 0.2}),
    ShownKnob("Shear", {"shear_degrees": 20}, "°"),
    ShownKnob("Brightness", {"brightness": 0.4}),
    ShownKnob("Contrast", {"contrast": 0.5}),
)
"""All but the flip, which has no strength."""
CHECK_TAB = "Check"
FILES_LEFT_OUT = "Files left out"
LEFT_OUT = "left_out"
"""The gallery's part of the pictures that this version leaves out."""
PART_TITLES = {"train": "Training", "val": "Validation", "test": "Test", LEFT_OUT: "Left out"}


def choose() -> DatasetInfo:
    """Draws the select box of data sets, which keeps its value for the session."""
    infos = {info.name: info for info in catalog.list_datasets()}
    name = st.selectbox(
        "Data set",
        list(infos),
        format_func=lambda n: (
            infos[n].title + (" — not on this machine" if not infos[n].usable else "")
        ),
        key=SELECTED,
        persist_state="session",
    )
    st.markdown("[:material/add: Add your own pictures](#add-pictures)")
    return infos[name if name in infos else next(iter(infos))]


def draw_facts(info: DatasetInfo) -> None:
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.header(plain(info.title), anchor=False, width="content")
        if info.usable:
            draw_train_on_it(info.name)
        if info.drawn:
            st.badge("Drawings, not photographs", icon=":material/draw:", color="violet")
    st.markdown(plain(info.story))
    for warning in info.warnings:
        st.warning(plain(warning), icon=":material/difference:")
    if info.warnings and info.state == catalog.READY:
        st.button(
            "Find them all and put them right",
            key="data_warning_check",
            type="tertiary",
            icon=":material/fact_check:",
            on_click=open_tab,
            args=(CHECK_TAB,),
        )
    if info.state == catalog.READY:
        with st.grid("auto", min_column_width=120, gap="small"):
            st.metric("Classes", len(info.class_names), border=True)
            for split, title in (("train", "Training"), ("val", "Validation"), ("test", "Test")):
                count = info.split_totals.get(split, 0)
                if count or split != "val":
                    st.metric(title, f"{count:,}", border=True)
            st.metric(
                "Stored at",
                f"{info.image_size}×{info.image_size}",
                border=True,
                help="Side in pixels, "
                + ("three colour channels." if info.channels == 3 else "one grey channel."),
            )
            st.metric("On disk", size(info.bytes_on_disk), border=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        source = plain(info.source) if info.own else info.source
        st.caption(f"Source: {source} · Licence: {info.licence}", width="content")
        if info.rejected_count:
            st.button(
                f"{count_files(info.rejected_count)} left out: see which",
                key="data_left_out",
                type="tertiary",
                icon=":material/rule:",
                on_click=open_tab,
                args=(FILES_LEFT_OUT,),
            )


def draw_browser(info: DatasetInfo) -> None:
    """Draws images, labels, statistics and augmentation of a set that is here or can be drawn."""
    if info.state != catalog.READY:
        with st.skeleton(height=240):
            catalog.open_pack(info.name)
        st.rerun()
    bodies = {
        "Pictures": _gallery,
        "Labels": _labels,
        "Sizes and pixels": _pixels,
        "Augmentation": _augmentation,
        CHECK_TAB: draw_check,
        "Map": draw_map,
    }
    bodies[VERSIONS_TAB] = _versions
    if info.rejected_count:
        bodies[FILES_LEFT_OUT] = _left_out
    if st.session_state.get(TAB) not in bodies:  # the data set before had one more
        st.session_state.pop(TAB, None)
    draw_pending(info)
    for tab, draw in zip(
        st.tabs(list(bodies), key=TAB, on_change="rerun"), bodies.values(), strict=True
    ):
        if tab.open:
            with tab:
                draw(info)


def _versions(info: DatasetInfo) -> None:
    from lab.ui.data.versions import draw_versions  # here: it brings torch, this tab alone needs it

    draw_versions(info)


def _gallery(info: DatasetInfo) -> None:
    pack = catalog.open_pack(info.name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        name = st.selectbox("Class", info.class_names, key=f"data_class_{info.name}", width=200)
        splits: list[str] = [s for s in ("train", "val", "test") if s in info.split_totals]
        splits += [LEFT_OUT] * bool((pack.split == EXCLUDED).any())
        split = st.segmented_control(
            "Part",
            splits,
            default=splits[0],
            format_func=PART_TITLES.__getitem__,
            key=f"data_split_{info.name}",
            required=True,
        )
        pinning = may_change_dataset(info.name) and st.toggle(
            "Pin pictures",
            key="data_pinning",
            help=f"Runs follow up to {probes.MOST} pinned pictures through their training: see the "
            "film strip on the Train page.",
        )
        mending = st.toggle(
            "Edit",
            key="data_mending",
            help="Choose pictures and leave them out, or give them another class or part. What you "
            "save is a new version; no version is lost.",
        )
    label = info.class_names.index(name)
    if split == LEFT_OUT:
        indices = np.flatnonzero(pack.split == EXCLUDED)
    else:
        indices = pack.indices(split)
        indices = indices[pack.labels[indices] == label]
    if not len(indices):
        st.caption(f"No pictures of {plain(name)} in this part.")
        return
    slot = st.container()
    pages = -(-len(indices) // PER_PAGE)
    page = st.pagination(pages, key=f"data_page_{info.name}_{split}_{label}") if pages > 1 else 1
    shown = indices[(page - 1) * PER_PAGE : page * PER_PAGE]
    first = (page - 1) * PER_PAGE + 1
    of = "pictures that this version leaves out" if split == LEFT_OUT else "pictures of "
    of += "" if split == LEFT_OUT else plain(name)
    st.caption(f"{first:,} to {first + len(shown) - 1:,} of {len(indices):,} {of}.")
    if mending:
        with slot:
            draw_mendable(info, pack, shown.tolist(), key=f"data_mend_{info.name}")
        return
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
        st.caption(f"Pinned: {len(pinned)} of at most {probes.MOST} pictures of this data set.")


def _labels(info: DatasetInfo) -> None:
    counts = LabelCounts(
        class_names=info.class_names,
        counts={
            SPLIT_WORDS[split].capitalize(): np.array([per_class[n] for n in info.class_names])
            for split, per_class in info.counts.items()
            if sum(per_class.values())
        },
    )
    st.plotly_chart(
        label_distribution(counts),
        key=f"data_labels_{info.name}",
        alt=label_distribution_alt(counts),
    )
    train = np.array([info.counts["train"][name] for name in info.class_names])
    if train.max() > 1.5 * train.min():
        rare = info.class_names[int(train.argmin())]
        st.caption(
            f"The classes are unequal: {plain(rare)} has {train.min():,} training pictures, the "
            f"largest class {train.max():,}. Class balancing on the Train page can make up for it."
        )
    _draw_class_edits(info)


def _draw_class_edits(info: DatasetInfo) -> None:
    """Draws the form that renames a class, puts it into another one or leaves it out."""
    with (
        st.expander("Rename, merge or leave out classes", icon=":material/edit:"),
        st.container(horizontal=True, vertical_alignment="bottom"),
    ):
        name = st.selectbox("Class", info.class_names, key="data_edit_class", width=200)
        new = st.text_input(
            "New name", key="data_edit_name", max_chars=100, width=200, placeholder=name
        )
        st.button(
            "Rename",
            key="data_rename",
            icon=":material/edit:",
            disabled=not new.strip() or new.strip() == name,
            on_click=edits.rename,
            args=(info.name, name, new.strip()),
        )
        others = [other for other in info.class_names if other != name]
        into = st.selectbox("or put it into", others, key="data_edit_into", width=200)
        st.button(
            "Merge",
            key="data_merge",
            icon=":material/merge:",
            on_click=edits.merge,
            args=(info.name, name, into),
        )
        st.button(
            "Leave it out",
            key="data_leave_out_class",
            icon=":material/visibility_off:",
            help="All pictures of this class; nothing is deleted.",
            on_click=_leave_out_class,
            args=(info, name),
        )


def _leave_out_class(info: DatasetInfo, name: str) -> None:
    """The button's callback."""
    pack = catalog.open_pack(info.name)
    there = (pack.labels == info.class_names.index(name)) & (pack.split != EXCLUDED)
    edits.exclude(info.name, np.flatnonzero(there).tolist())


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
                "Original size": [size.replace("x", "×") for size in info.original_sizes],
                "Pictures": list(info.original_sizes.values()),
            },
            hide_index=True,
            column_config={"Pictures": st.column_config.NumberColumn(format="localized")},
            alt="The most frequent original image sizes.",
        )
    how = FITS[pack.meta.fit]
    st.caption(
        f"Every picture is {how}, {info.image_size} pixels a side, once, when the set is added."
    )


def _left_out(info: DatasetInfo) -> None:
    st.dataframe(
        [{"File": r.file, "Reason": r.reason} for r in info.rejected],
        hide_index=True,
        alt="Files that could not be used, with the reason.",
    )
    if info.rejected_count > len(info.rejected):
        st.caption(f"The first {len(info.rejected):,} of {count_files(info.rejected_count)}.")


def _augmentation(info: DatasetInfo) -> None:
    pack = catalog.open_pack(info.name)
    train = pack.indices("train")
    st.caption(
        "A training picture and eight random versions of it. Every epoch draws new ones; "
        "validation and test pictures are never changed."
    )
    number = st.number_input(
        "Training picture",
        min_value=1,
        max_value=len(train),
        key=f"data_augmented_{info.name}",
        width=200,
    )
    image = np.asarray(pack.images[train[int(number) - 1]])
    flips = st.session_state.get(knob_key("horizontal_flip"))
    st.markdown(f"**Horizontal flip**{_whose(flips)}")
    with st.container(horizontal=True, gap="xsmall"):
        for picture, words in ((image, "as it is"), (image[:, ::-1], "mirrored")):
            st.image(enlarge(picture), width=SHOWN_SIDE, alt=f"The picture {words}", caption=words)
    for shown in AUGMENTATIONS:
        knobs, own = _strengths(shown)
        strength = max(knobs.values())
        st.markdown(f"**{shown.title}** up to {strength:g}{shown.unit}{_whose(own)}")
        draws = preview(image, RunConfig().changed(**knobs), draws=8, seed=0)
        with st.container(horizontal=True, gap="xsmall"):
            for place, draw in enumerate(draws, start=1):
                st.image(enlarge(draw), width=84, alt=f"{shown.title}, version {place}")


def _strengths(shown: ShownKnob) -> tuple[dict[str, float], bool | None]:
    """Returns the knobs to show, and whether they are those of the Train page: None while this
    session has not opened it."""
    form = {name: st.session_state.get(knob_key(name)) for name in shown.example}
    if any(form.values()):
        return {name: value or 0 for name, value in form.items()}, True
    return shown.example, None if None in form.values() else False


def _whose(on_train: bool | None) -> str:
    """Returns whose setting is shown."""
    if on_train is None:
        return " · an example"
    return " · as set on the Train page" if on_train else " · an example; off on the Train page"
