"""The pictures that the film strip follows, pinned or the lab's choice, and buttons to unpin."""

from __future__ import annotations

import streamlit as st

from lab.data import catalog, probes
from lab.data.access import may_change_dataset
from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.training.checkpoint import CheckpointMetadata
from lab.training.watch import film_files
from lab.training.watch.film_files import Pixels
from lab.ui.widgets.pin_button import draw_pin_button
from lab.ui.words import plain
from lab.words import plural

_PARTS = {
    "train": "the network trains on it",
    "val": "set aside for validation",
    "test": "of the test set",
    "unused": "not used by this run",
}


def draw_pins(run: RunRow) -> None:
    """Draws an expander with the pictures of the strip and the data set's pins; nothing where the
    run has no strip and will have none."""
    folder = store().folder(run.id)
    epochs = film_files.snapshot_epochs(folder)
    newest = film_files.read_snapshot(folder, epochs[-1]) if epochs else None
    if newest is None and not (run.is_live and run.settings.get("film_strip", True)):
        return
    panel = st.expander(
        "Pictures of the film strip",
        icon=":material/keep:",
        key="film_pins",
        on_change="rerun",
    )
    if not panel.open:
        return
    if newest is None:
        panel.caption("The strip begins with the first training step.")
        return
    with panel:
        version = CheckpointMetadata.read(folder).dataset_hash
        try:
            pins = probes.pins(run.dataset, version)
        except catalog.VersionNotFoundError:
            pins = probes.Pins()  # the pins of today are of other pictures
        except LabError as error:
            st.caption(plain(str(error)))
            return
        st.markdown(_what_is_followed(pins))
        waiting = [i for i in pins.indices if i not in newest.indices]
        if waiting:
            st.caption(
                f"{plural(len(waiting), 'pinned picture')} will join with the next column."
                if run.is_live
                else f"Pinned since: {plural(len(waiting), 'picture')}; the next run follows them."
            )
        with st.container(horizontal=True, gap="medium"):
            for row, index in enumerate(newest.indices.tolist()):
                name = _title(run.class_names, int(newest.labels[row]))
                pixels = film_files.read_picture(folder, index)
                _card(run, index, name, _PARTS.get(newest.parts[row], ""), pixels, pins)
            for index, name, pixels in _pinned(run.dataset, version, tuple(waiting)):
                _card(run, index, name, "pinned, not in the strip yet", pixels, pins)
        if not may_change_dataset(run.dataset):
            st.caption("Whoever added the data set chooses which pictures are pinned.")
            return
        st.page_link(
            "pages/data.py",
            label="Choose others on the Data page: “Pin pictures” above the images",
            icon=":material/photo_library:",
        )


def _what_is_followed(pins: probes.Pins) -> str:
    if pins.indices:
        return (
            f"**{len(pins.indices)} of at most {probes.MOST} pictures of this data set are "
            "pinned**; every run on it follows them."
        )
    lost = ""
    if pins.forgotten:
        lost = (
            f"Pinned in an earlier version of this data set: {plural(pins.forgotten, 'picture')}. "
            "It was replaced, so they are forgotten. "
        )
    if pins.problem:
        lost = f"The pins of this data set cannot be read: {plain(pins.problem)}. "
    return (
        f"{lost}Nothing is pinned, so the lab chose: pictures of all sorts of classes that "
        "the network does not train on. Pinned ones take their place."
    )


def _title(class_names: tuple[str, ...], label: int) -> str:
    return class_names[label] if label < len(class_names) else f"class {label}"


def _card(
    run: RunRow, index: int, name: str, part: str, pixels: Pixels | None, pins: probes.Pins
) -> None:
    with st.container(width=132, gap="xsmall"):
        if pixels is not None:
            st.image(pixels[..., 0] if pixels.shape[2] == 1 else pixels, width=84, alt=name)
        st.text(name)
        st.caption(part)
        if index in pins.indices:
            draw_pin_button(run.dataset, index, key=f"film_unpin_{index}", pinned=True)
        st.page_link(
            "pages/inspect.py",
            label="Inspect",
            icon=":material/frame_inspect:",
            query_params={"run": run.id, "image": str(index)},
        )


@st.cache_data(max_entries=16, show_spinner=False)
def _pinned(dataset: str, version: str, indices: tuple[int, ...]) -> list[tuple[int, str, Pixels]]:
    """Returns index, class and pixels of pictures that no file of the run has yet."""
    if not indices:
        return []
    pack = catalog.open_pack(dataset, version=version)
    return [
        (i, _title(pack.meta.class_names, int(pack.labels[i])), pack.images[i].copy())
        for i in indices
        if i < len(pack)
    ]
