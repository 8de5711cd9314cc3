"""The Classify page: cutting the part that matters out of a picture, such as the hand."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st
from numpy.typing import NDArray
from streamlit.delta_generator import DeltaGenerator

from lab.evaluate.pictures import Crop
from lab.explain.overlay import square
from lab.training.checkpoint import NetworkCard
from lab.ui.classify.answers import ClassifyState, Cut
from lab.ui.classify.uploads import Upload, file_name
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.pictures import png

_CUTS = "classify_cuts"
SHOWN_SIDE = 280


class CropPanel:
    """The cuts that are chosen, and the place for the preview, which is drawn once the networks
    have seen the picture: the preview is what they saw."""

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
                width=SHOWN_SIDE,
                caption=f"{width:,} × {height:,} pixels" + (", cut as framed" if cut else ""),
                alt="The picture" + (" with a frame around the part that is used" if cut else ""),
            )
            sizes = set()
            for choice in choices:
                said = state.answers.get(state.key(self._upload, cut, choice))
                if said is None or said.seen.shape in sizes:
                    continue
                sizes.add(said.seen.shape)
                side, grey = said.seen.shape[0], ", grey" * _is_grey(choice)
                st.image(
                    png(in_blocks(said.seen)),
                    width=SHOWN_SIDE,
                    caption=f"what the network sees: {side} × {side}{grey}",
                    alt=f"The {side} by {side} pixels that the network was given, enlarged",
                )


def _is_grey(choice: CheckpointChoice) -> bool:
    """Whether the network learned from grey pictures."""
    return NetworkCard.read(choice.folder).data_channels == 1


def draw(uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]) -> CropPanel:
    """The switch and the sliders; shown by itself for networks that learned from grey pictures."""
    grey = any(map(_is_grey, choices))
    if not uploads or not choices:
        return CropPanel({}, None, None)
    wanted = st.toggle(
        "Crop",
        value=grey,
        # A key each, so that the switch starts as the network needs it.
        key=f"classify_crop_{'grey' if grey else 'colour'}",
        help="Cut out the part that matters. A network that learned hand signs expects the hand "
        "to fill the picture.",
    )
    if not wanted:
        return CropPanel({}, None, None)
    stored: dict[str, Cut] = st.session_state.setdefault(_CUTS, {})
    with st.container(border=True):
        controls, preview = st.columns([1, 2], gap="large")
        with controls:
            upload = _which(uploads)
            _sliders(upload, stored)
        slot = preview.container()
    ids = {upload.id for upload in uploads}
    cuts = {upload_id: cut for upload_id, cut in stored.items() if upload_id in ids}
    st.session_state[_CUTS] = cuts
    return CropPanel(dict(cuts), upload, slot)


def _which(uploads: Sequence[Upload]) -> Upload:
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
    """Write the choice into `stored`: widgets of a picture that is not shown forget theirs."""
    before = stored.get(upload.id)
    x, y, side = before or (0.5, 0.5, 1.0)
    used = st.checkbox(
        "Use only a square part of it",
        value=before is not None,
        key=f"classify_crop_on_{upload.id}",
        help="Without it the whole picture is made square, as the training pictures were.",
    )
    chosen = [
        st.slider(
            label,
            min_value=low,
            max_value=100,
            value=round(share * 100),
            format="%d%%",
            key=f"classify_crop_{name}_{upload.id}",
            disabled=not used,
            help=help,
        )
        / 100
        for label, name, share, low, help in (
            ("Left – right", "x", x, 0, "Where the middle of the part is; 50 is the centre."),
            ("Up – down", "y", y, 0, "Where the middle of the part is; 0 is the top."),
            ("Size", "side", side, 5, "Its side as a share of the picture's shorter side."),
        )
    ]
    if used:
        stored[upload.id] = (chosen[0], chosen[1], chosen[2])
    else:
        stored.pop(upload.id, None)


def with_box(pixels: NDArray[np.uint8], cut: Cut) -> NDArray[np.uint8]:
    """A copy with a frame around what is cut out: a dark line beside a bright one, which shows on
    any picture."""

    shown = pixels.copy()
    height, width = shown.shape[:2]
    left, top, right, bottom = Crop(*cut).box(width, height)
    for inset, colour in ((0, 0), (1, 0), (2, 255), (3, 255)):
        x0, y0, x1, y1 = left + inset, top + inset, right - 1 - inset, bottom - 1 - inset
        if x0 > x1 or y0 > y1:
            break
        shown[[y0, y1], x0 : x1 + 1] = colour
        shown[y0 : y1 + 1, [x0, x1]] = colour
    return shown


def in_blocks(seen: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """(H, W, C) -> (H', W', 3), small ones in whole blocks without blur."""

    side = seen.shape[0]
    return square(seen, side * max(1, SHOWN_SIDE // side))
