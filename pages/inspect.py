"""Inspect: one image through one network; where it looks, what its layers see."""

import streamlit as st

from lab.errors import LabError
from lab.ui.inspect.cam import draw_cam
from lab.ui.inspect.choice import choose_picture, choose_subject
from lab.ui.inspect.features import draw_features
from lab.ui.inspect.gallery import draw_gallery
from lab.ui.inspect.layout import panel_and_stage
from lab.ui.inspect.side_by_side import draw_side_by_side
from lab.ui.words import plain

st.title("Inspect", anchor=False)
panel, stage = panel_and_stage()
try:
    with panel:
        subject = choose_subject()
        chosen = choose_picture(subject) if subject is not None else None
    if subject is not None:
        with stage:
            cams, features, gallery, runs = st.tabs(
                ["Where it looks", "Feature maps", "Gallery", "Runs side by side"],
                key="inspect_tab",
                on_change="rerun",
            )
        if cams.open and chosen is not None:
            with cams:
                draw_cam(subject, chosen, panel)
        if features.open and chosen is not None:
            with features:
                draw_features(subject, chosen, panel)
        if gallery.open:
            with gallery:
                draw_gallery(subject)
        if runs.open:
            with runs:
                draw_side_by_side(
                    chosen.picture if chosen else None,
                    subject.run.id,
                    original=chosen.original if chosen else None,
                    checkpoint=subject.checkpoint,
                )
except LabError as error:
    st.error(plain(str(error)), icon=":material/error:")
