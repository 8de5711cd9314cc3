"""What adding a folder or zip would give: layout, counts, pictures, and the choices in doubt."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

import streamlit as st

from lab.data import catalog
from lab.data.decode import Fit
from lab.data.pack import SPLIT_WORDS
from lab.data.preview import Preview
from lab.data.resize import LARGEST, SMALLEST
from lab.errors import ConfigError
from lab.progress import Cancel, Report
from lab.ui.widgets.background import computed
from lab.ui.widgets.pictures import jpeg_url
from lab.ui.words import plain

CLASSES_PER_PAGE = 8
SIDE = 84
_LOOK = "data_look_id"
"""The session's key of the present look: a new one reads the folder anew."""
_FIT_WORDS = {
    "stretch": "Squash to a square",
    "crop": "Cut the middle out",
    "pad": "Pad with a border",
}


@dataclass(frozen=True)
class ImportChoices:
    """How a set is read: what `catalog.add_dataset` takes beside name and path."""

    answers: dict[str, str] = field(default_factory=dict)
    fit: Fit = "stretch"
    image_size: int | None = None
    without: tuple[str, ...] = ()
    """Classes that are left out."""


DEFAULTS = ImportChoices()


def look_again() -> None:
    """Has the folder or zip read anew."""
    st.session_state[_LOOK] = uuid.uuid4().hex[:8]


def draw_preview(place: Path, kind: str) -> ImportChoices | None:
    """Draws what adding `place` would give, with its choices; None while that is not known.

    `kind` is the name of a registered data set, "" for a person's own pictures.
    """
    look = st.session_state.setdefault(_LOOK, uuid.uuid4().hex[:8])
    prefix = f"data_choice_{look}_"
    answers = {
        key.removeprefix(f"{prefix}answer_"): value
        for key, value in st.session_state.items()
        if isinstance(key, str) and key.startswith(f"{prefix}answer_") and value is not None
    }
    fit: Fit = st.session_state.get(f"{prefix}fit") or "stretch"
    size: int | None = st.session_state.get(f"{prefix}size")
    without = tuple(st.session_state.get(f"{prefix}without") or ())
    preview = _look(look, place, kind, ImportChoices(answers, fit, size, without), page=1)
    if preview is None:
        return None
    with st.container(border=True):
        st.subheader("What would be added", anchor=False)
        _draw_facts(preview)
        _draw_choices(preview, prefix, kind)
        choices = ImportChoices(dict(preview.answers), preview.fit, size, preview.without)
        _draw_pictures(preview, look, place, kind, choices)
        _draw_left_out(preview)
    return choices


def _look(
    look: str,
    place: Path,
    kind: str,
    choices: ImportChoices,
    *,
    page: int,
    of: Preview | None = None,
) -> Preview | None:
    """Returns the preview with the pictures of one page of classes, from a background job."""
    shown = None if of is None else _classes_of_page(of, page)

    def read(progress: Report, cancel: Cancel) -> Preview:
        # Runs in a job's thread: must not call st.*.
        def once(answers: dict[str, str], without: tuple[str, ...]) -> Preview:
            return catalog.look(
                place,
                kind,
                fit=choices.fit,
                image_size=choices.image_size,
                answers=answers,
                without=without,
                pictures_of=shown,
                progress=progress,
                cancel=cancel,
            )

        try:
            return once(choices.answers, choices.without)
        except ConfigError:  # an answer that another answer has made impossible
            return once({}, ())

    parts: tuple[Any, ...] = (str(place), kind, sorted(choices.answers.items()), choices.fit)
    parts += (choices.image_size, choices.without, page)
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=6).hexdigest()
    return computed(f"look-{look}-{digest}", "Looking through the files", read, kind="look")


def _classes_of_page(preview: Preview, page: int) -> tuple[str, ...]:
    return preview.class_names[(page - 1) * CLASSES_PER_PAGE : page * CLASSES_PER_PAGE]


def _draw_facts(preview: Preview) -> None:
    totals = {split: sum(classes.values()) for split, classes in preview.counts.items()}
    parts = ", ".join(f"{total:,} {SPLIT_WORDS[split]}" for split, total in totals.items() if total)
    st.markdown(
        f"**{preview.total:,} pictures in {len(preview.class_names):,} classes** ({parts})  \n"
        + "  \n".join(map(plain, preview.notes))
    )
    columns: dict[str, list[Any]] = {"Class": list(preview.class_names)}
    for split, classes in preview.counts.items():
        if totals[split]:
            title = SPLIT_WORDS[split].capitalize() + (
                " (about)" if preview.test_set_apart and split != "val" else ""
            )
            columns[title] = [classes[name] for name in preview.class_names]
    st.dataframe(
        columns,
        hide_index=True,
        height="content" if len(preview.class_names) <= 8 else 320,
        alt="Pictures of each class in each part.",
    )


def _draw_choices(preview: Preview, prefix: str, kind: str) -> None:
    for question in preview.questions:
        words = {value: plain(text) for value, text in question.choices}
        st.radio(
            plain(question.text),
            list(words),
            index=list(words).index(preview.answers[question.key]),
            format_func=words.__getitem__,
            key=f"{prefix}answer_{question.key}",
            help=plain(question.why) or None,
        )
    if len(preview.class_names) + len(preview.without) > 2:
        st.multiselect(
            "Leave out classes",
            [*preview.class_names, *preview.without],
            default=preview.without,
            key=f"{prefix}without",
            placeholder="None",
        )
    if preview.size_is_fixed:
        st.caption(f"The pictures stay {preview.image_size}×{preview.image_size} pixels.")
        return
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.segmented_control(
            "How a picture becomes a square",
            get_args(Fit),
            default=preview.fit,
            format_func=lambda fit: _FIT_WORDS.get(fit, fit),
            key=f"{prefix}fit",
            required=True,
            wrap=True,
        )
        st.number_input(
            "Side in pixels",
            min_value=SMALLEST,
            max_value=LARGEST,
            value=preview.image_size,
            step=16,
            key=f"{prefix}size",
            width=140,
        )


def _draw_pictures(
    preview: Preview, look: str, place: Path, kind: str, choices: ImportChoices
) -> None:
    pages = -(-len(preview.class_names) // CLASSES_PER_PAGE)
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"data_preview_page_{look}")
    shown: Preview | None = preview
    if not all(name in preview.samples for name in _classes_of_page(preview, page)):
        shown = _look(look, place, kind, choices, page=page, of=preview)
    for name in _classes_of_page(preview, page) if shown is not None else ():
        samples = shown.samples.get(name, ()) if shown is not None else ()
        st.caption(plain(name) if samples else f"{plain(name)}: no picture of it could be decoded.")
        with st.container(horizontal=True, gap="xsmall"):
            for sample in samples:
                st.image(jpeg_url(sample.pixels), width=SIDE, alt=f"{name}, {sample.name}")


def _draw_left_out(preview: Preview) -> None:
    if not preview.rejected_count:
        return
    count = preview.rejected_count
    with st.expander(f"What is left out, and why ({count:,})", icon=":material/rule:"):
        st.dataframe(
            [{"File": each.file, "Reason": each.reason} for each in preview.rejected],
            hide_index=True,
            alt="What would be left out, with the reason.",
        )
