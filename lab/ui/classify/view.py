"""The Classify page: the answers to each picture, the runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.evaluate.classify import Answer, Row, answers_csv
from lab.evaluate.familiarity import ALARM, MISSES, Familiarity
from lab.evaluate.pictures import Crop
from lab.explain.overlay import overlay, square
from lab.ui.classify.answers import AnswerKey, ClassifyState, Cut
from lab.ui.classify.uploads import Upload, file_name
from lab.ui.state import look_at
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.links import Upload as InspectUpload
from lab.ui.widgets.links import inspect_upload
from lab.ui.widgets.pictures import png
from lab.ui.words import plain
from lab.words import probability

PER_PAGE = 12
"""Answers on a page: with several runs it has fewer pictures."""
NAMED = 12

Familiarities = Mapping[tuple[str, str], Familiarity]
"""By (run, checkpoint)."""


def draw_problems(
    state: ClassifyState, uploads: Sequence[Upload], choices: Sequence[CheckpointChoice]
) -> None:
    """Tells which files could not be read and which runs could not classify, and why."""
    for choice in choices:
        if reason := state.failures.get((choice.run.id, choice.checkpoint)):
            st.error(f"**{plain(choice.run.name)}:** {plain(reason)}", icon=":material/error:")
    broken = [upload for upload in uploads if upload.id in state.broken]
    if not broken:
        return
    lines = [f"- “{file_name(u)}” {plain(state.broken[u.id])}." for u in broken]
    subject = "One file is" if len(broken) == 1 else f"{len(broken)} files are"
    st.warning(
        f"{subject} not answered:\n\n" + "\n".join(lines[:NAMED]), icon=":material/broken_image:"
    )
    if len(lines) > NAMED:
        with st.expander(f"{len(lines) - NAMED} more"):
            st.markdown("\n".join(lines[NAMED:]))


def draw_answers(
    state: ClassifyState,
    uploads: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    familiarities: Familiarities,
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
    disputed = [u for u in answered if _disagreement(state, u, choices, cuts)]
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
        only = bool(disputed) and st.toggle("Only disagreements", key="classify_only_split")
        _download(state, answered, choices, cuts, familiarities)
    if len(choices) > 1:
        _draw_disagreement(state, answered, disputed, choices, cuts)
    shown = disputed if only else answered
    per_page = max(1, PER_PAGE // len(choices))
    pages = -(-len(shown) // per_page)
    slot = st.container()
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"classify_page_{pages}_{len(choices)}")
    first = (page - 1) * per_page
    with slot:
        for upload in shown[first : first + per_page]:
            _picture(state, upload, choices, cuts, familiarities, count, strength)
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
    """Returns the largest number of classes of any run that answered."""
    return max(
        len(answer.class_names)
        for upload in uploads
        for answer in _answers(state, upload, choices, cuts).values()
    )


def _answers(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> dict[CheckpointChoice, Answer]:
    keys = {choice: state.key(upload, cuts.get(upload.id), choice) for choice in choices}
    return {choice: state.answers[key] for choice, key in keys.items() if key in state.answers}


def _disagreement(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> bool:
    """Returns whether two runs that know the same classes give different ones."""
    by_classes: dict[frozenset[str], set[str]] = {}
    for answer in _answers(state, upload, choices, cuts).values():
        by_classes.setdefault(frozenset(answer.class_names), set()).add(answer.predicted_class)
    return any(len(predicted) > 1 for predicted in by_classes.values())


def _draw_disagreement(
    state: ClassifyState,
    answered: Sequence[Upload],
    disputed: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
) -> None:
    classes = {
        frozenset(answer.class_names)
        for upload in answered
        for answer in _answers(state, upload, choices, cuts).values()
    }
    if len(classes) > 1:
        st.caption("These runs know different classes; those with the same classes are compared.")
    if disputed:
        names = ", ".join(f"“{file_name(u)}”" for u in disputed[:NAMED])
        more = f" and {len(disputed) - NAMED} more" if len(disputed) > NAMED else ""
        st.info(
            f"The runs disagree on {len(disputed)} of {len(answered)} pictures: {names}{more}.",
            icon=":material/call_split:",
        )
    elif len(classes) < len(choices):
        st.caption(f"The runs agree on all {len(answered)} pictures.")


def _picture(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    familiarities: Familiarities,
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
            images, texts = st.columns([3, 2], gap="medium")
            with images, st.grid(3, min_column_width=130):
                _original(state, upload)
                for choice in answers:
                    _input_and_map(
                        state,
                        state.key(upload, cuts.get(upload.id), choice),
                        upload,
                        strength,
                    )
            with texts:
                for choice, answer in answers.items():
                    _classes(choice, answer, familiarities, count)
            return
        _original(state, upload, width=140)
        for column, choice in zip(st.columns(len(choices), gap="medium"), choices, strict=True):
            with column:
                st.markdown(f"**{plain(choice.run.name)}**")
                if choice not in answers:
                    st.caption("No answer.")
                    continue
                with st.grid(2, min_column_width=110):
                    _input_and_map(
                        state,
                        state.key(upload, cuts.get(upload.id), choice),
                        upload,
                        strength,
                    )
                _classes(choice, answers[choice], familiarities, count)


def _inspect_button(upload: Upload, cut: Cut | None, choices: Sequence[CheckpointChoice]) -> None:
    """Opens the Inspect page with this picture and the first of the chosen networks."""
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
    state: ClassifyState,
    key: tuple[str, AnswerKey | None, str],
    make: Callable[[], NDArray[np.uint8]],
) -> bytes:
    if key not in state.encoded:
        state.encoded[key] = png(make())
    return state.encoded[key]


def _original(
    state: ClassifyState, upload: Upload, *, width: int | Literal["stretch"] = "stretch"
) -> None:
    pixels = _encoded(
        state, (upload.id, None, "as it came"), lambda: state.thumbs[upload.id].pixels
    )
    st.image(pixels, width=width, caption="as it came", alt=f"The picture {upload.name}")


def _input_and_map(state: ClassifyState, key: AnswerKey, upload: Upload, strength: int) -> None:
    """Draws the network's input and the map on it, or says why there is no map."""
    answer = state.answers[key]
    side = answer.seen.shape[0]
    st.image(
        _encoded(state, (upload.id, key, "seen"), lambda: square(answer.seen, max(224, side))),
        width="stretch",
        caption=f"what the network sees, {side} × {side}",
        alt=f"{upload.name} as the network sees it, {side} by {side} pixels",
    )
    if answer.cam is None:
        st.caption(
            "No map: this network has no layer with places that could point at any. Inspect shows "
            "what its weights look at."
        )
        return
    target = answer.class_names[answer.target]
    if not answer.meaningful:
        st.caption(
            f"No map: the score of {plain(target)} hardly depends on layer {answer.layer}."
            if answer.cam.any()
            else f"No map: no place of layer {answer.layer} speaks for {plain(target)}."
        )
        return
    cam = answer.cam
    st.image(
        _encoded(
            state,
            (upload.id, key, f"map {strength}"),
            lambda: overlay(answer.seen, cam, strength=strength / 100),
        ),
        width="stretch",
        caption=f"what speaks for {plain(target)}, layer {answer.layer}",
        alt=f"Where layer {answer.layer} finds what speaks for {target}, bright on the picture",
    )


def _classes(
    choice: CheckpointChoice, answer: Answer, familiarities: Familiarities, count: int
) -> None:
    """Draws the probable classes as bars, and how familiar the picture is."""
    epoch = f"epoch {answer.epoch}" if answer.epoch is not None else "epoch not noted"
    going_on = ", still training" if choice.run.is_active else ""
    st.caption(f"Weights “{answer.checkpoint}”, {epoch}{going_on}")
    for place, (name, share) in enumerate(answer.top(count)):
        text = f"{plain(name)} {probability(share)}"
        st.progress(min(1.0, share), text=f"**{text}**" if place == 0 else text)
    familiarity = familiarities.get((choice.run.id, choice.checkpoint))
    if familiarity is None or familiarity.identity != answer.identity:
        return
    verdict = familiarity.judge(answer.features)
    if verdict.unlike:
        st.badge(ALARM, icon=":material/warning:", color="orange")
    st.caption(
        "Alarm" if verdict.unlike else "No alarm", help=f"{plain(verdict.details)}\n\n{MISSES}"
    )


def _download(
    state: ClassifyState,
    answered: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
    cuts: Mapping[str, Cut],
    familiarities: Familiarities,
) -> None:

    rows = []
    for upload in answered:
        cut = cuts.get(upload.id)
        for choice, answer in _answers(state, upload, choices, cuts).items():
            familiarity = familiarities.get((choice.run.id, choice.checkpoint))
            if familiarity is not None and familiarity.identity != answer.identity:
                familiarity = None
            rows.append(
                Row(
                    run=choice.run.id,
                    run_name=choice.run.name,
                    answer=answer,
                    crop=None if cut is None else Crop(*cut),
                    distance=None
                    if familiarity is None
                    else familiarity.judge(answer.features).distance,
                    limit=None if familiarity is None else familiarity.limit,
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
