"""The Classify page: the answers, picture by picture, the runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.evaluate.classify import Answer, Row, answers_csv
from lab.evaluate.familiarity import Familiarity
from lab.evaluate.pictures import Crop
from lab.explain.overlay import overlay, square
from lab.ui.classify.answers import ClassifyState, Cut, Key
from lab.ui.classify.uploads import Upload, file_name
from lab.ui.state import look_at
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.links import Upload as InspectUpload
from lab.ui.widgets.links import inspect_upload
from lab.ui.widgets.pictures import png
from lab.ui.words import plain
from lab.words import probability

PER_PAGE = 12
"""Answers on a page; with several runs fewer pictures, so that a page stays as quick."""
NAMED = 12

Measured = Mapping[tuple[str, str], "Familiarity"]


def draw_problems(
    state: ClassifyState, uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]
) -> None:
    """What could not be read or asked, each in one sentence."""
    for choice in choices:
        if said := state.failures.get((choice.run.id, choice.checkpoint)):
            st.error(f"**{plain(choice.run.name)}:** {plain(said)}", icon=":material/error:")
    broken = [upload for upload in uploads if upload.id in state.broken]
    if not broken:
        return
    lines = [f"- “{file_name(u)}” {plain(state.broken[u.id])}." for u in broken]
    what = "One file is" if len(broken) == 1 else f"{len(broken)} files are"
    st.warning(
        f"{what} not answered:\n\n" + "\n".join(lines[:NAMED]), icon=":material/broken_image:"
    )
    if len(lines) > NAMED:
        with st.expander(f"{len(lines) - NAMED} more"):
            st.markdown("\n".join(lines[NAMED:]))


def draw_answers(
    state: ClassifyState,
    uploads: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    measured: Measured,
) -> None:
    answered = [
        upload
        for upload in uploads
        if any(
            state.key(upload, cuts.get(upload.id), choice) in state.answers for choice in choices
        )
    ]
    if not answered:
        return
    split = [u for u in answered if _disagreement(state, u, choices, cuts)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        classes = _widest(state, answered, choices, cuts)
        count = 5
        if classes > 2:
            count = st.number_input(
                "Classes to name",
                min_value=1,
                max_value=classes,
                value=min(5, classes),
                key=f"classify_top_{classes}",
                width=140,
            )
        strength = st.slider(
            "Strength of the map's colours",
            min_value=0,
            max_value=100,
            value=60,
            format="%d%%",
            key="classify_strength",
            width=240,
        )
        only = bool(split) and st.toggle("Only disagreements", key="classify_only_split")
        _download(state, answered, choices, cuts, measured)
    if len(choices) > 1:
        _say_disagreement(state, answered, split, choices, cuts)
    shown = split if only else answered
    per_page = max(1, PER_PAGE // len(choices))
    pages = -(-len(shown) // per_page)
    slot = st.container()
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"classify_page_{pages}_{len(choices)}")
    first = (page - 1) * per_page
    with slot:
        for upload in shown[first : first + per_page]:
            _picture(state, upload, choices, cuts, measured, count, strength)
        st.caption(
            f"{first + 1:,} to {min(first + per_page, len(shown)):,} of {len(shown):,} pictures. "
            "Bright places of a map (Grad-CAM) speak most for the class named below it; each map "
            "is scaled to its own brightest place. Whether such maps can be trusted for a network "
            "is tested on the Inspect page."
        )


def _widest(
    state: ClassifyState,
    uploads: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> int:
    """The largest number of classes of any run that answered."""
    said = [answers for u in uploads for answers in _answers(state, u, choices, cuts).values()]
    return max(len(answer.class_names) for answer in said)


def _answers(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> dict[CheckpointChoice, Answer]:
    found = {
        choice: state.answers.get(state.key(upload, cuts.get(upload.id), choice))
        for choice in choices
    }
    return {choice: said for choice, said in found.items() if said is not None}


def _disagreement(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> bool:
    """Whether two runs that know the same classes name different ones."""
    by_classes: dict[frozenset[str], set[str]] = {}
    for said in _answers(state, upload, choices, cuts).values():
        by_classes.setdefault(frozenset(said.class_names), set()).add(said.predicted_class)
    return any(len(named) > 1 for named in by_classes.values())


def _say_disagreement(
    state: ClassifyState,
    answered: Sequence[Upload],
    split: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> None:
    classes = {
        frozenset(said.class_names)
        for upload in answered
        for said in _answers(state, upload, choices, cuts).values()
    }
    if len(classes) > 1:
        st.caption("These runs know different classes; those with the same classes are compared.")
    if split:
        names = ", ".join(f"“{file_name(u)}”" for u in split[:NAMED])
        more = f" and {len(split) - NAMED} more" if len(split) > NAMED else ""
        st.info(
            f"The runs disagree on {len(split)} of {len(answered)} pictures: {names}{more}.",
            icon=":material/call_split:",
        )
    elif len(classes) < len(choices):
        st.caption(f"The runs agree on all {len(answered)} pictures.")


def _picture(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    measured: Measured,
    count: int,
    strength: int,
) -> None:
    answers = _answers(state, upload, choices, cuts)
    thumb = state.thumbs[upload.id]
    width, height = thumb.size
    cut = ", cropped" if upload.id in cuts else ""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{file_name(upload)}**", width="content")
            st.caption(f"{width:,} × {height:,} pixels{cut}", width="content")
            if _disagreement(state, upload, choices, cuts):
                st.badge("The runs disagree", icon=":material/call_split:", color="orange")
            _inspect_button(upload, cuts.get(upload.id), choices)
        if len(choices) == 1:
            images, words = st.columns([3, 2], gap="medium")
            with images, st.grid(3, min_column_width=130):
                _original(state, upload)
                for choice in answers:
                    _seen(
                        state,
                        state.key(upload, cuts.get(upload.id), choice),
                        upload,
                        strength,
                    )
            with words:
                for choice, said in answers.items():
                    _words(choice, said, measured, count)
            return
        _original(state, upload, width=140)
        for column, choice in zip(st.columns(len(choices), gap="medium"), choices, strict=True):
            with column:
                st.markdown(f"**{plain(choice.run.name)}**")
                if choice not in answers:
                    st.caption("No answer.")
                    continue
                with st.grid(2, min_column_width=110):
                    _seen(
                        state,
                        state.key(upload, cuts.get(upload.id), choice),
                        upload,
                        strength,
                    )
                _words(choice, answers[choice], measured, count)


def _inspect_button(upload: Upload, cut: Cut | None, choices: Sequence[CheckpointChoice]) -> None:
    """To the Inspect page, with this picture and the first of the asked networks."""

    if st.button(
        "Inspect",
        key=f"classify_inspect_{upload.id}",
        icon=":material/frame_inspect:",
        type="tertiary",
        help="Look into the network with this picture: its layers, other maps, the trust test.",
    ):
        crop = None if cut is None else Crop(*cut)
        inspect_upload(InspectUpload(f"{upload.id}:{cut}", upload.name, upload.data, crop))
        look_at(choices[0].run.id)
        st.switch_page(
            "pages/inspect.py",
            query_params={"run": choices[0].run.id, "checkpoint": choices[0].checkpoint},
        )


def _encoded(
    state: ClassifyState, key: tuple[str, Key | None, str], make: Callable[[], NDArray[np.uint8]]
) -> bytes:
    if key not in state.shown:
        state.shown[key] = png(make())
    return state.shown[key]


def _original(
    state: ClassifyState, upload: Upload, *, width: int | Literal["stretch"] = "stretch"
) -> None:
    shown = _encoded(state, (upload.id, None, "as it came"), lambda: state.thumbs[upload.id].pixels)
    st.image(shown, width=width, caption="as it came", alt=f"The picture {upload.name}")


def _seen(state: ClassifyState, key: Key, upload: Upload, strength: int) -> None:
    """What the network saw, and the map on it."""

    said = state.answers[key]
    side = said.seen.shape[0]
    st.image(
        _encoded(state, (upload.id, key, "seen"), lambda: square(said.seen, max(224, side))),
        width="stretch",
        caption=f"what the network sees, {side} × {side}",
        alt=f"{upload.name} as the network sees it, {side} by {side} pixels",
    )
    if said.cam is None:
        st.caption(
            "No map: this network has no layer with places that could point at any. Inspect shows "
            "what its weights look at."
        )
        return
    target = said.class_names[said.target]
    if not said.meaningful:
        st.caption(
            f"No map: the score of {plain(target)} hardly depends on layer {said.layer}."
            if said.cam.any()
            else f"No map: no place of layer {said.layer} speaks for {plain(target)}."
        )
        return
    cam = said.cam
    st.image(
        _encoded(
            state,
            (upload.id, key, f"map {strength}"),
            lambda: overlay(said.seen, cam, strength=strength / 100),
        ),
        width="stretch",
        caption=f"what speaks for {plain(target)}, layer {said.layer}",
        alt=f"Where layer {said.layer} finds what speaks for {target}, bright on the picture",
    )


def _words(choice: CheckpointChoice, said: Answer, measured: Measured, count: int) -> None:
    """The classes with their bars, and how familiar the picture is."""
    epoch = f"epoch {said.epoch}" if said.epoch is not None else "epoch not noted"
    going_on = ", still training" if choice.run.is_active else ""
    st.caption(f"Weights “{said.checkpoint}”, {epoch}{going_on}")
    for place, (name, share) in enumerate(said.top(count)):
        text = f"{plain(name)} {probability(share)}"
        st.progress(min(1.0, share), text=f"**{text}**" if place == 0 else text)
    known = measured.get((choice.run.id, choice.checkpoint))
    if known is None or known.identity != said.identity:
        return
    verdict = known.judge(said.features)
    if verdict.unlike:
        st.badge("Unlike the training pictures", icon=":material/warning:", color="orange")
    st.caption(
        plain(verdict.sentence),
        help="How far what the network's head is given lies from the nearest class's mean, each "
        "feature divided by how much it varies within classes (Mahalanobis distance, diagonal). "
        "A false alarm is a test picture that is farther than the limit. The other error is not "
        "measured: a picture within the limit may still show nothing that the network knows.",
    )


def _download(
    state: ClassifyState,
    answered: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    measured: Measured,
) -> None:

    rows = []
    for upload in answered:
        cut = cuts.get(upload.id)
        for choice, said in _answers(state, upload, choices, cuts).items():
            known = measured.get((choice.run.id, choice.checkpoint))
            if known is not None and known.identity != said.identity:
                known = None
            rows.append(
                Row(
                    run=choice.run.id,
                    run_name=choice.run.name,
                    answer=said,
                    crop=None if cut is None else Crop(*cut),
                    distance=None if known is None else known.judge(said.features).distance,
                    limit=None if known is None else known.limit,
                )
            )
    st.download_button(
        "All answers as CSV",
        answers_csv(rows),
        file_name="classified.csv",
        mime="text/csv",
        key="classify_csv",
        icon=":material/download:",
        on_click="ignore",
    )
