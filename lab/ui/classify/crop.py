"""The Classify page: cutting the part that matters out of a picture, such as the hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from lab.evaluate.pictures import Crop
from lab.explain.overlay import square
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.classify.answers import ClassifyState, Cut
from lab.ui.classify.uploads import Upload, file_name
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.pictures import png

_CUTS = "classify_cuts"
PREVIEW_SIDE = 280


class CropPanel:
    """The chosen cuts, and the place for a preview that is drawn once the networks have answered:
    it shows the network's input."""

    def __init__(
        self, cuts: dict[str, Cut], upload: Upload | None, slot: DeltaGenerator | None
    ) -> None:
        self.cuts, self._upload, self._slot = cuts, upload, slot

    def draw_preview(self, state: ClassifyState, choices: Sequence[CheckpointChoice]) -> None:
        if self._upload is None or self._slot is None:
            return
        thumb = state.thumbs.get(self._upload.id)
        if thumb is None:
            return
        cut = self.cuts.get(self._upload.id)
        width, height = thumb.size
        with self._slot, st.container(horizontal=True):
            shown = thumb.pixels if cut is None else with_box(thumb.pixels, cut)
            st.image(
                png(shown),
                width=PREVIEW_SIDE,
                caption=f"{width:,} × {height:,} pixels" + (", cut as framed" if cut else ""),
                alt="The picture" + (" with a frame around the part that is used" if cut else ""),
            )
            sizes = set()
            for choice in choices:
                answer = state.answers.get(state.key(self._upload, cut, choice))
                if answer is None or answer.seen.shape in sizes:
                    continue
                sizes.add(answer.seen.shape)
                side, grey = answer.seen.shape[0], ", grey" * _is_grey(choice)
                st.image(
                    png(in_blocks(answer.seen)),
                    width=PREVIEW_SIDE,
                    caption=f"what the network sees: {side} × {side}{grey}",
                    alt=f"The {side} by {side} pixels that the network was given, enlarged",
                )


def _is_grey(choice: CheckpointChoice) -> bool:
    """Returns whether the network was trained on grey pictures."""
    return CheckpointMetadata.read(choice.folder).data_channels == 1


def draw(uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]) -> CropPanel:
    """Draws the switch and the sliders; on at first for networks trained on grey pictures."""
    grey = any(map(_is_grey, choices))
    if not uploads or not choices:
        return CropPanel({}, None, None)
    cropping = st.toggle(
        "Crop",
        value=grey,
        # A key each, so that the switch starts as the network needs it.
        key=f"classify_crop_{'grey' if grey else 'colour'}",
        help="Cut out the part that matters. A network that learned hand signs expects the hand "
        "to fill the picture.",
    )
    if not cropping:
        return CropPanel({}, None, None)
    stored: dict[str, Cut] = st.session_state.setdefault(_CUTS, {})
    with st.container(border=True):
        controls, preview = st.columns([1, 2], gap="large")
        with controls:
            upload = _choose_upload(uploads)
            _sliders(upload, stored)
        slot = preview.container()
    ids = {upload.id for upload in uploads}
    cuts = {upload_id: cut for upload_id, cut in stored.items() if upload_id in ids}
    st.session_state[_CUTS] = cuts
    return CropPanel(dict(cuts), upload, slot)


def _choose_upload(uploads: Sequence[Upload]) -> Upload:
    if len(uploads) == 1:
        st.markdown(f"**{file_name(uploads[0])}**")
        return uploads[0]
    by_id = {upload.id: upload for upload in uploads}
    chosen = st.selectbox(
        "Picture to crop",
        list(by_id),
        format_func=lambda upload_id: by_id[upload_id].name,
        key="classify_crop_which",
    )
    return by_id.get(chosen, uploads[0])


def _sliders(upload: Upload, stored: dict[str, Cut]) -> None:
    """Draws them and writes the cut into `stored`, as hidden widgets forget their values."""
    cut = stored.get(upload.id)
    x, y, side = cut or (0.5, 0.5, 1.0)
    cropping = st.checkbox(
        "Use only a square part of it",
        value=cut is not None,
        key=f"classify_crop_on_{upload.id}",
        help="Without it the whole picture is made square, as the training pictures were.",
    )
    values = [
        st.slider(
            label,
            min_value=low,
            max_value=100,
            value=round(share * 100),
            format="%d%%",
            key=f"classify_crop_{name}_{upload.id}",
            disabled=not cropping,
            help=help,
        )
        / 100
        for label, name, share, low, help in (
            ("Left – right", "x", x, 0, "Where the middle of the part is; 50 is the centre."),
            ("Up – down", "y", y, 0, "Where the middle of the part is; 0 is the top."),
            ("Size", "side", side, 5, "Its side as a share of the picture's shorter side."),
        )
    ]
    if cropping:
        stored[upload.id] = (values[0], values[1], values[2])
    else:
        stored.pop(upload.id, None)


def with_box(pixels: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """Returns a copy of `pixels` with a frame around `cut`, dark beside bright to show on any."""
    framed = pixels.copy()
    height, width = framed.shape[:2]
    left, top, right, bottom = Crop(*cut).box(width, height)
    for inset, colour in ((0, 0), (1, 0), (2, 255), (3, 255)):
        x0, y0, x1, y1 = left + inset, top + inset, right - 1 - inset, bottom - 1 - inset
        if x0 > x1 or y0 > y1:
            break
        framed[[y0, y1], x0 : x1 + 1] = colour
        framed[y0 : y1 + 1, [x0, x1]] = colour
    return framed


def in_blocks(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarges (H, W, C) to (H', W', 3) in whole blocks, without blur."""
    side = pixels.shape[0]
    return square(pixels, side * max(1, PREVIEW_SIDE // side))
