"""The Classify page: the answers, picture by picture, the runs side by side."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from lab.ui.classify.answers import Basket, Cut, Key, png
from lab.ui.classify.runs import Ask
from lab.ui.classify.uploads import Upload, file_name
from lab.ui.inspect.images import Given, give
from lab.ui.state import look_at
from lab.ui.words import plain, probability

if TYPE_CHECKING:
    from lab.evaluate.classify import Answer
    from lab.evaluate.familiarity import Familiarity

PER_PAGE = 12
"""Answers on a page; with several runs fewer pictures, so that a page stays as quick."""
NAMED = 12

Measured = Mapping[tuple[str, str], "Familiarity"]


def draw_problems(kept: Basket, uploads: Sequence[Upload], asks: Sequence[Ask]) -> None:
    """What could not be read or asked, each in one sentence."""
    for ask in asks:
        if said := kept.failures.get((ask.run_id, ask.checkpoint)):
            st.error(f"**{plain(ask.run_name)}:** {plain(said)}", icon=":material/error:")
    broken = [upload for upload in uploads if upload.id in kept.broken]
    if not broken:
        return
    lines = [f"- “{file_name(u)}” {plain(kept.broken[u.id])}." for u in broken]
    what = "One file is" if len(broken) == 1 else f"{len(broken)} files are"
    st.warning(
        f"{what} not answered:\n\n" + "\n".join(lines[:NAMED]), icon=":material/broken_image:"
    )
    if len(lines) > NAMED:
        with st.expander(f"{len(lines) - NAMED} more"):
            st.markdown("\n".join(lines[NAMED:]))


def draw_answers(
    kept: Basket,
    uploads: Sequence[Upload],
    asks: Sequence[Ask],
    cuts: Mapping[str, Cut],
    measured: Measured,
) -> None:
    answered = [
        upload
        for upload in uploads
        if any(kept.key(upload, cuts.get(upload.id), ask) in kept.answers for ask in asks)
    ]
    if not answered:
        return
    split = [u for u in answered if _disagreement(kept, u, asks, cuts)]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        choices = _widest(kept, answered, asks, cuts)
        count = 5
        if choices > 2:
            count = st.number_input(
                "Classes to name",
                min_value=1,
                max_value=choices,
                value=min(5, choices),
                key=f"classify_top_{choices}",
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
        _download(kept, answered, asks, cuts, measured)
    if len(asks) > 1:
        _say_disagreement(kept, answered, split, asks, cuts)
    shown = split if only else answered
    per_page = max(1, PER_PAGE // len(asks))
    pages = -(-len(shown) // per_page)
    slot = st.container()
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"classify_page_{pages}_{len(asks)}")
    first = (page - 1) * per_page
    with slot:
        for upload in shown[first : first + per_page]:
            _picture(kept, upload, asks, cuts, measured, count, strength)
        st.caption(
            f"{first + 1:,} to {min(first + per_page, len(shown)):,} of {len(shown):,} pictures. "
            "Bright places of a map (Grad-CAM) speak most for the class named below it; each map "
            "is scaled to its own brightest place. Whether such maps can be trusted for a network "
            "is tested on the Inspect page."
        )


def _widest(
    kept: Basket, uploads: Sequence[Upload], asks: Sequence[Ask], cuts: Mapping[str, Cut]
) -> int:
    """The largest number of classes of any run that answered."""
    said = [answers for u in uploads for answers in _answers(kept, u, asks, cuts).values()]
    return max(len(answer.class_names) for answer in said)


def _answers(
    kept: Basket, upload: Upload, asks: Sequence[Ask], cuts: Mapping[str, Cut]
) -> dict[Ask, Answer]:
    found = {ask: kept.answers.get(kept.key(upload, cuts.get(upload.id), ask)) for ask in asks}
    return {ask: said for ask, said in found.items() if said is not None}


def _disagreement(
    kept: Basket, upload: Upload, asks: Sequence[Ask], cuts: Mapping[str, Cut]
) -> bool:
    """Whether two runs that know the same classes name different ones."""
    by_classes: dict[frozenset[str], set[str]] = {}
    for said in _answers(kept, upload, asks, cuts).values():
        by_classes.setdefault(frozenset(said.class_names), set()).add(said.predicted_class)
    return any(len(named) > 1 for named in by_classes.values())


def _say_disagreement(
    kept: Basket,
    answered: Sequence[Upload],
    split: Sequence[Upload],
    asks: Sequence[Ask],
    cuts: Mapping[str, Cut],
) -> None:
    classes = {
        frozenset(said.class_names)
        for upload in answered
        for said in _answers(kept, upload, asks, cuts).values()
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
    elif len(classes) < len(asks):
        st.caption(f"The runs agree on all {len(answered)} pictures.")


def _picture(
    kept: Basket,
    upload: Upload,
    asks: Sequence[Ask],
    cuts: Mapping[str, Cut],
    measured: Measured,
    count: int,
    strength: int,
) -> None:
    answers = _answers(kept, upload, asks, cuts)
    thumb = kept.thumbs[upload.id]
    width, height = thumb.size
    cut = ", cropped" if upload.id in cuts else ""
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.markdown(f"**{file_name(upload)}**", width="content")
            st.caption(f"{width:,} × {height:,} pixels{cut}", width="content")
            if _disagreement(kept, upload, asks, cuts):
                st.badge("The runs disagree", icon=":material/call_split:", color="orange")
            _inspect_button(upload, cuts.get(upload.id), asks)
        if len(asks) == 1:
            images, words = st.columns([3, 2], gap="medium")
            with images, st.grid(3, min_column_width=130):
                _original(kept, upload)
                for ask in answers:
                    _seen(
                        kept,
                        kept.key(upload, cuts.get(upload.id), ask),
                        upload,
                        strength,
                    )
            with words:
                for ask, said in answers.items():
                    _words(ask, said, measured, count)
            return
        _original(kept, upload, width=140)
        for column, ask in zip(st.columns(len(asks), gap="medium"), asks, strict=True):
            with column:
                st.markdown(f"**{plain(ask.run_name)}**")
                if ask not in answers:
                    st.caption("No answer.")
                    continue
                with st.grid(2, min_column_width=110):
                    _seen(
                        kept,
                        kept.key(upload, cuts.get(upload.id), ask),
                        upload,
                        strength,
                    )
                _words(ask, answers[ask], measured, count)


def _inspect_button(upload: Upload, cut: Cut | None, asks: Sequence[Ask]) -> None:
    """To the Inspect page, with this picture and the first of the asked networks."""
    from lab.evaluate.pictures import Crop

    if st.button(
        "Inspect",
        key=f"classify_inspect_{upload.id}",
        icon=":material/frame_inspect:",
        type="tertiary",
        help="Look into the network with this picture: its layers, other maps, the trust test.",
    ):
        crop = None if cut is None else Crop(*cut)
        give(Given(f"{upload.id}:{cut}", upload.name, upload.data, crop))
        look_at(asks[0].run_id)
        st.switch_page(
            "pages/inspect.py",
            query_params={"run": asks[0].run_id, "checkpoint": asks[0].checkpoint},
        )


def _encoded(
    kept: Basket, key: tuple[str, Key | None, str], make: Callable[[], NDArray[np.uint8]]
) -> bytes:
    if key not in kept.shown:
        kept.shown[key] = png(make())
    return kept.shown[key]


def _original(kept: Basket, upload: Upload, *, width: int | Literal["stretch"] = "stretch") -> None:
    shown = _encoded(kept, (upload.id, None, "as it came"), lambda: kept.thumbs[upload.id].pixels)
    st.image(shown, width=width, caption="as it came", alt=f"The picture {upload.name}")


def _seen(kept: Basket, key: Key, upload: Upload, strength: int) -> None:
    """What the network saw, and the map on it."""
    from lab.explain.overlay import overlay, square

    said = kept.answers[key]
    side = said.seen.shape[0]
    st.image(
        _encoded(kept, (upload.id, key, "seen"), lambda: square(said.seen, max(224, side))),
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
            kept,
            (upload.id, key, f"map {strength}"),
            lambda: overlay(said.seen, cam, strength=strength / 100),
        ),
        width="stretch",
        caption=f"what speaks for {plain(target)}, layer {said.layer}",
        alt=f"Where layer {said.layer} finds what speaks for {target}, bright on the picture",
    )


def _words(ask: Ask, said: Answer, measured: Measured, count: int) -> None:
    """The classes with their bars, and how familiar the picture is."""
    epoch = f"epoch {said.epoch}" if said.epoch is not None else "epoch not noted"
    going_on = ", still training" if ask.training else ""
    st.caption(f"Weights “{said.checkpoint}”, {epoch}{going_on}")
    for place, (name, share) in enumerate(said.top(count)):
        text = f"{plain(name)} {probability(share)}"
        st.progress(min(1.0, share), text=f"**{text}**" if place == 0 else text)
    known = measured.get((ask.run_id, ask.checkpoint))
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
    kept: Basket,
    answered: Sequence[Upload],
    asks: Sequence[Ask],
    cuts: Mapping[str, Cut],
    measured: Measured,
) -> None:
    from lab.evaluate.classify import Row, answers_csv
    from lab.evaluate.pictures import Crop

    rows = []
    for upload in answered:
        cut = cuts.get(upload.id)
        for ask, said in _answers(kept, upload, asks, cuts).items():
            known = measured.get((ask.run_id, ask.checkpoint))
            if known is not None and known.identity != said.identity:
                known = None
            rows.append(
                Row(
                    run=ask.run_id,
                    run_name=ask.run_name,
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
