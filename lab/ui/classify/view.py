"""The Classify page: one line a picture with the answers of all networks; the rest on demand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import streamlit as st

from lab.evaluate.classify import Answer, Row, answers_csv
from lab.evaluate.familiarity import ALARM, MISSES
from lab.evaluate.pictures import Crop
from lab.explain.overlay import overlay, square
from lab.ui.classify.answers import ClassifyState
from lab.ui.classify.crop import draw_crop
from lab.ui.classify.uploads import Upload, UploadList, short_name
from lab.ui.state import look_at
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.widgets.links import Upload as InspectUpload
from lab.ui.widgets.links import inspect_upload
from lab.ui.widgets.pictures import jpeg_url, png_url
from lab.ui.words import plain
from lab.words import probability, stage_title

PER_PAGE = 12
NAMED = 12
CLASSES = 5
"""Classes with a bar in the details; the others are in one line below."""
THUMB_WIDTH = 64
PICTURE_WIDTH = 224


def draw_problems(
    state: ClassifyState, pictures: UploadList, choices: Sequence[CheckpointChoice]
) -> None:
    """Tells which files could not be read and which runs could not classify, and why."""
    for choice in choices:
        if reason := state.failures.get((choice.run.id, choice.checkpoint)):
            st.error(f"**{plain(choice.run.name)}:** {plain(reason)}", icon=":material/error:")
    broken = [upload for upload in pictures.uploads if upload.id in state.broken]
    if not broken:
        return
    lines = [f"- “{short_name(u.name)}” {plain(state.broken[u.id])}." for u in broken]
    subject = "One file" if len(broken) == 1 else f"{len(broken)} files"
    st.warning(
        f"{subject} could not be classified:\n\n" + "\n".join(lines[:NAMED]),
        icon=":material/broken_image:",
    )
    if len(lines) > NAMED:
        with st.expander(f"{len(lines) - NAMED} more"):
            st.markdown("\n".join(lines[NAMED:]))
    st.button(
        "Remove it" if len(broken) == 1 else "Remove them",
        key="classify_remove_broken",
        icon=":material/delete:",
        type="tertiary",
        on_click=pictures.remove,
        args=([upload.id for upload in broken],),
    )


def draw_answers(
    state: ClassifyState,
    pictures: UploadList,
    choices: Sequence[CheckpointChoice],
) -> None:
    """Draws a line for each picture that has an answer, and above them what concerns all."""
    answered = [u for u in pictures.uploads if _answers(state, u, choices)]
    if not answered:
        return
    disputed = [u for u in answered if _disagreement(state, u, choices)]
    with st.container(horizontal=True, vertical_alignment="center"):
        only = bool(disputed) and st.toggle("Only disagreements", key="classify_only_split")
        _draw_disagreement(state, answered, disputed, choices)
    shown = disputed if only else answered
    pages = -(-len(shown) // PER_PAGE)
    slot = st.container(gap="small")
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"classify_page_{pages}")
    first = (page - 1) * PER_PAGE
    with slot:
        for upload in shown[first : first + PER_PAGE]:
            _picture(state, pictures, upload, choices, alone=len(answered) == 1)
    with st.container(horizontal=True, vertical_alignment="center"):
        if pages > 1:
            last = min(first + PER_PAGE, len(shown))
            st.caption(f"{first + 1:,} to {last:,} of {len(shown):,} pictures", width="content")
        _download(state, answered, choices)
        st.button(
            "Remove all",
            key="classify_remove_all",
            icon=":material/delete:",
            type="tertiary",
            on_click=pictures.remove,
            args=([upload.id for upload in pictures.uploads],),
        )


def _answers(
    state: ClassifyState, upload: Upload, choices: Sequence[CheckpointChoice]
) -> dict[CheckpointChoice, Answer]:
    shown = {choice: state.answer(upload, choice) for choice in choices}
    return {choice: answer for choice, answer in shown.items() if answer is not None}


def _disagreement(
    state: ClassifyState, upload: Upload, choices: Sequence[CheckpointChoice]
) -> bool:
    """Returns whether two runs that know the same classes give different ones."""
    by_classes: dict[frozenset[str], set[str]] = {}
    for answer in _answers(state, upload, choices).values():
        by_classes.setdefault(frozenset(answer.class_names), set()).add(answer.predicted_class)
    return any(len(predicted) > 1 for predicted in by_classes.values())


def _draw_disagreement(
    state: ClassifyState,
    answered: Sequence[Upload],
    disputed: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
) -> None:
    if len(choices) < 2:
        return
    classes = {
        frozenset(answer.class_names)
        for upload in answered
        for answer in _answers(state, upload, choices).values()
    }
    note = ""
    if len(classes) > 1:
        note = " Only networks with the same classes are compared."
    count = len(answered)
    if disputed:
        of = f"{len(disputed)} of {count} pictures" if count > 1 else "this picture"
        st.caption(f":material/call_split: The networks disagree on {of}.{note}")
    elif len(classes) < len(choices):
        of = f"all {count} pictures" if count > 1 else "this picture"
        st.caption(f"The networks agree on {of}.{note}")


def _picture(
    state: ClassifyState,
    pictures: UploadList,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    *,
    alone: bool,
) -> None:
    """Draws one line: the picture, what each network says, and the way to more."""
    answers = _answers(state, upload, choices)
    is_open = state.opened.get(upload.id, alone)
    with st.container(border=True, key=f"classify_line_{upload.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            thumb(state, upload)
            with st.container(width=170, gap="xxsmall"):
                st.markdown(f"**{short_name(upload.name)}**")
                if _disagreement(state, upload, choices):
                    st.badge("Disagreement", icon=":material/call_split:", color="orange")
            for choice in choices:
                with st.container(gap="xxsmall"):
                    _answer(state, upload, choice, named=len(choices) > 1)
            with st.container(horizontal=True, width="content", gap="small"):
                st.button(
                    "Less" if is_open else "Details",
                    key=f"classify_details_{upload.id}",
                    icon=":material/expand_less:" if is_open else ":material/expand_more:",
                    type="tertiary",
                    help="The picture to crop, all classes, and where the network looks",
                    on_click=state.opened.__setitem__,
                    args=(upload.id, not is_open),
                )
                _inspect_button(state, upload, choices)
                st.button(
                    "",
                    key=f"classify_remove_{upload.id}",
                    icon=":material/close:",
                    type="tertiary",
                    help="Remove this picture",
                    on_click=pictures.remove,
                    args=([upload.id],),
                )
        if is_open:
            _details(state, upload, choices, answers)


def thumb(state: ClassifyState, upload: Upload) -> None:
    cut, pixels = state.cuts.get(upload.id), state.thumbs[upload.id].pixels

    def make() -> str:
        part = pixels
        if cut is not None:
            left, top, right, bottom = Crop(*cut).box(pixels.shape[1], pixels.shape[0])
            part = pixels[top:bottom, left:right]
        step = max(1, min(part.shape[:2]) // (2 * THUMB_WIDTH))
        return jpeg_url(part[::step, ::step])

    st.image(
        state.encode((upload.id, None, f"thumb {cut}"), make),
        width=THUMB_WIDTH,
        alt=f"The picture {upload.name}" + (", cropped" if cut else ""),
    )


def _answer(state: ClassifyState, upload: Upload, choice: CheckpointChoice, *, named: bool) -> None:
    """Draws the most probable class as a bar, and the alarm if there is one."""
    if named:
        st.caption(plain(choice.run.name))
    answer = state.answer(upload, choice)
    if answer is None:
        st.caption("No answer.")
        return
    [(name, share)] = answer.top(1)
    st.progress(min(1.0, share), text=f"**{plain(name)}** {probability(share)}")
    if inside := state.answer_set(upload, choice):
        st.markdown(f":small[{_set_words(inside, state.level or 0.0)}]")
    verdict = state.verdict(upload, choice)
    if verdict is not None and verdict.unlike:
        st.markdown(f":orange[:material/warning:] :small[{ALARM}]")  # a badge would cut it off


def _set_words(names: Sequence[str], level: float) -> str:
    """ "One of these 2: cat, dog" with how often that is to be right."""
    shown = ", ".join(f"**{plain(name)}**" for name in names[:CLASSES])
    if len(names) > CLASSES:
        shown += f" and {len(names) - CLASSES} more"
    return f"{level:.0%}: {f'one of these {len(names)}: ' if len(names) > 1 else 'only '}{shown}"


def _inspect_button(
    state: ClassifyState, upload: Upload, choices: Sequence[CheckpointChoice]
) -> None:
    """Opens the Inspect page with this picture and the first of the chosen networks."""
    if st.button(
        "Inspect",
        key=f"classify_inspect_{upload.id}",
        icon=":material/frame_inspect:",
        type="tertiary",
        help="Look into the network with this picture: its layers, other maps, the trust test.",
    ):
        cut = state.cuts.get(upload.id)
        crop = None if cut is None else Crop(*cut)
        inspect_upload(InspectUpload(f"{upload.id}:{cut}", upload.name, upload.data, crop))
        look_at(choices[0].run.id)
        st.switch_page(
            "pages/inspect.py",
            query_params={"run": choices[0].run.id, "checkpoint": choices[0].checkpoint},
        )


def _details(
    state: ClassifyState,
    upload: Upload,
    choices: Sequence[CheckpointChoice],
    answers: Mapping[CheckpointChoice, Answer],
) -> None:
    """Draws the picture to crop, and for each network its input, its map and all classes."""
    width, height = state.thumbs[upload.id].size
    columns = st.columns([2, 4] if len(choices) == 1 else [1] * (1 + len(choices)), gap="medium")
    with columns[0]:
        draw_crop(state, upload)
        cropped = ", cropped" if upload.id in state.cuts else ""
        st.caption(f"{width:,} × {height:,} pixels{cropped}")
        if remark := state.thumbs[upload.id].remark:
            st.caption(f":material/info: {remark}.")
    for column, choice in zip(columns[1:], choices, strict=True):
        with column:
            if choice not in answers:
                st.caption("No answer.")
                continue
            answer = answers[choice]
            if len(choices) == 1:
                images, texts = st.columns([3, 2], gap="medium")
            else:
                st.caption(f"**{plain(choice.run.name)}**")
                images = texts = st.container()
            with images, st.grid(2, min_column_width=110):
                _input_and_map(state, choice, upload, answer)
            with texts:
                _classes(state, upload, choice, answer)


def _input_and_map(
    state: ClassifyState, choice: CheckpointChoice, upload: Upload, answer: Answer
) -> None:
    """Draws the network's input and the map on it, or says why there is no map."""
    key = state.key(upload, choice)
    side = answer.seen.shape[0]
    st.image(
        state.encode(
            (upload.id, key, "seen"),
            lambda: png_url(square(answer.seen, max(PICTURE_WIDTH, side))),
        ),
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
    layer = stage_title(answer.layer or "")
    if not answer.meaningful:
        st.caption(
            f"No map: the score of {plain(target)} hardly depends on {layer}."
            if answer.cam.any()
            else f"No map: no place of {layer} speaks for {plain(target)}."
        )
        return
    cam = answer.cam
    st.image(
        state.encode((upload.id, key, "map"), lambda: jpeg_url(overlay(answer.seen, cam))),
        width="stretch",
        caption=f"what speaks for {plain(target)}",
        alt=f"Where {layer} finds what speaks for {target}, bright on the picture",
    )


def _classes(
    state: ClassifyState, upload: Upload, choice: CheckpointChoice, answer: Answer
) -> None:
    """Draws the classes as bars, which weights answered, and how familiar the picture is."""
    top = answer.top(len(answer.class_names))
    for name, share in top[:CLASSES]:
        st.progress(min(1.0, share), text=f"{plain(name)} {probability(share)}")
    if rest := [f"{plain(name)} {probability(share)}" for name, share in top[CLASSES:]]:
        st.caption(", ".join(rest))
    epoch = f"epoch {answer.epoch}" if answer.epoch is not None else "epoch not noted"
    going_on = ", still training" if choice.run.is_active else ""
    layer = stage_title(answer.layer or "")
    mapped = f" The map is Grad-CAM's of {layer}, scaled to its brightest place."
    st.caption(
        f"Weights “{answer.checkpoint}”, {epoch}{going_on}.{_temperature_words(state, choice)}",
        help=None
        if answer.layer is None
        else f"{plain(mapped)} Whether such maps can be trusted for a network is tested on the "
        "Inspect page.",
    )
    verdict = state.verdict(upload, choice)
    if verdict is not None:
        st.caption(plain(verdict.details), help=MISSES)


def _temperature_words(state: ClassifyState, choice: CheckpointChoice) -> str:
    sure = state.how_sure.get((choice.run.id, choice.checkpoint))
    return f" With temperature {sure.temperature:.2f}." if sure and state.calibrated else ""


def _download(
    state: ClassifyState,
    answered: Sequence[Upload],
    choices: Sequence[CheckpointChoice],
) -> None:
    rows = []
    for upload in answered:
        cut = state.cuts.get(upload.id)
        for choice, answer in _answers(state, upload, choices).items():
            verdict = state.verdict(upload, choice)
            familiarity = state.familiarities.get((choice.run.id, choice.checkpoint))
            sure = state.how_sure.get((choice.run.id, choice.checkpoint))
            rows.append(
                Row(
                    run=choice.run.id,
                    run_name=choice.run.name,
                    answer=answer,
                    crop=None if cut is None else Crop(*cut),
                    distance=None if verdict is None else verdict.distance,
                    limit=None if familiarity is None else familiarity.limit,
                    temperature=sure.temperature if sure and state.calibrated else None,
                    level=state.level if sure else None,
                    answer_set=state.answer_set(upload, choice),
                )
            )
    st.download_button(
        "All answers as CSV",
        answers_csv(rows),
        file_name="classified.csv",
        mime="text/csv",
        key="classify_csv",
        icon=":material/download:",
        type="tertiary",
        on_click="ignore",
    )
