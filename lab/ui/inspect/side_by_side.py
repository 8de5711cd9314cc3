"""Inspect, "Runs side by side": the same image through up to four runs, and where they disagree.

The runs are called A to D, as several may have the same name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import streamlit as st
from PIL.Image import Image

from lab.errors import LabError
from lab.evaluate.opened import PublishedNetwork
from lab.evaluate.pictures import Picture
from lab.evaluate.side_by_side import View, agreement, view_of
from lab.explain.grad_cam import Cost, Method
from lab.explain.overlay import Mode, coloured, drawn, scaled, square
from lab.jobs import Work
from lab.models.architecture import ARCHITECTURES
from lab.runs.store import RunRow, store
from lab.training.checkpoint import checkpoint_epoch
from lab.ui.inspect.disagreements import draw_disagreements
from lab.ui.inspect.methods import choose_method, choose_mode
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import (
    CheckpointChoice,
    checkpoint_title,
    default_checkpoint,
    run_labels,
)
from lab.ui.widgets.pictures import jpeg
from lab.ui.widgets.settings_table import draw_differences
from lab.ui.words import plain
from lab.words import probability, stage_title

MOST_RUNS = 4
MOST_CLASSES = 5
SIDE = 176
"""Of a picture in pixels: two fit beside one another on a telephone."""
OWN = -1
"""In the select box of classes: each run's own answer."""


@dataclass(frozen=True)
class Side:
    """One of the runs that are compared."""

    letter: str
    choice: CheckpointChoice
    title: str
    """Of the checkpoint."""
    network: PublishedNetwork

    @property
    def run(self) -> RunRow:
        return self.choice.run


def draw_side_by_side(
    picture: Picture | None,
    run_id: str,
    *,
    original: Image | None = None,
    checkpoint: str | None = None,
) -> None:
    """The tab. `picture` was made for run `run_id`; `original` is the upload that it was made from.

    `checkpoint` is that run's; of the others, and without it, the best one, or the newest of a run
    that is still training.
    """
    sides = _choose(run_id, checkpoint)
    if not sides:
        return
    if picture is None:
        st.caption("Choose an image above to see what each of these runs makes of it.")
    else:
        _draw_views(picture, sides, reference=store().folder(run_id), original=original)
    if len(sides) > 1:
        _draw_settings(sides)
        draw_disagreements({side.letter: side.choice for side in sides}, run_id)


# --- which runs ----------------------------------------------------------------------------------
def _choose(run_id: str, checkpoint: str | None) -> list[Side]:
    current = store().run(run_id)
    rows = {
        row.id: row
        for row in store().runs()
        if row.has_weights and row.class_names == current.class_names
    }
    rows.setdefault(run_id, current)
    key = f"inspect_side_runs_{run_id}"
    before = st.session_state.get(key)
    if before is None:
        st.session_state[key] = [run_id]
    elif any(chosen not in rows for chosen in before):  # deleted since
        st.session_state[key] = [chosen for chosen in before if chosen in rows]
    chosen = st.multiselect(
        "Runs to compare",
        list(rows),
        format_func=run_labels(list(rows.values())).__getitem__,
        key=key,
        max_selections=MOST_RUNS,
        select_all=False,
        wrap=True,
        placeholder="Choose one to four runs",
        persist_state="session",
        help="Runs with the same classes as this one. Each is asked with the weights of its best "
        "epoch; one that is still training with its newest.",
    )
    if not chosen:
        st.caption("Choose at least one run.")
    elif len(rows) == 1:
        st.caption("No other run has the same classes yet. Train one with another setting.")
    sides = []
    for letter, i in zip("ABCD", chosen, strict=False):
        try:
            choice = default_checkpoint(rows[i])
            if i == run_id and checkpoint is not None:
                choice = replace(choice, checkpoint=checkpoint)
            sides.append(_side(letter, choice))
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
    return sides


def _side(letter: str, choice: CheckpointChoice) -> Side:
    folder, name = choice.folder, choice.checkpoint
    title = checkpoint_title(choice.run, name, checkpoint_epoch(folder, name))
    return Side(letter, choice, title, PublishedNetwork.newest(folder, name))


# --- one image -----------------------------------------------------------------------------------
def _draw_views(
    picture: Picture, sides: Sequence[Side], *, reference: Path, original: Image | None
) -> None:

    names = sides[0].run.class_names
    with st.grid("auto", min_column_width=200, gap="small", vertical_alignment="bottom"):
        target = st.selectbox(
            "What speaks for",
            [OWN, *range(len(names))],
            format_func=lambda k: "Each run's own answer" if k == OWN else names[k],
            key=f"inspect_side_target_{sides[0].run.id}",
            help="The class for which the maps say what speaks for it.",
        )
        method = choose_method("inspect_side_method", None, slow=False)
    mode = choose_mode()
    summary = st.container()
    place = picture.key
    columns = st.columns(len(sides), gap="medium")
    views: dict[str, View] = {}
    for side, column in zip(sides, columns, strict=True):
        with column:
            _draw_head(side)
            view = computed(
                f"side:{side.network}:{reference.name}:{place}:{target}:{method.name}",
                f"Asking run {side.letter}",
                _asking(
                    side,
                    picture,
                    reference=reference,
                    target=None if target == OWN else target,
                    method=method.name,
                    original=original,
                ),
            )
            if view is not None:
                views[side.letter] = view
    shown = _classes(list(views.values()), picture.label)
    for side, column in zip(sides, columns, strict=True):
        if side.letter in views:
            with column:
                _draw_view(side, views[side.letter], names, shown, method, mode)
    if views:
        answers = {
            letter: (plain(names[view.answer]), float(view.probabilities.max()))
            for letter, view in views.items()
        }
        true = None if picture.label is None else plain(names[picture.label])
        summary.markdown(f"**{agreement(answers, true)}**")
        st.caption(
            "Bars: the probability of each class, the same classes in every column. A map shows "
            "what speaks for the class named below it, in the last stage that still has places; "
            "each is scaled to its own brightest place, so compare where they are bright, not how "
            "bright."
        )


def _asking(
    side: Side,
    picture: Picture,
    *,
    reference: Path,
    target: int | None,
    method: str,
    original: Image | None,
) -> Work:
    """The job of one run."""
    return lambda report, cancel: view_of(
        side.network,
        picture,
        reference=reference,
        target=target,
        method=method,
        original=original,
    )


def _draw_head(side: Side) -> None:
    st.markdown(f"**{side.letter}** · {plain(side.run.name)}")
    network = ARCHITECTURES.get(side.run.architecture).title
    st.caption(f"{network} · {side.title}", help=f"Run {side.run.id}")


def _classes(views: Sequence[View], label: int | None) -> list[int]:
    """The classes whose probabilities are shown: those that any run finds likely, and the true."""
    if not views:
        return []
    likely = sum(view.probabilities for view in views)
    order = [int(k) for k in (-likely).argsort(kind="stable")]  # type: ignore[union-attr]
    shown = list(dict.fromkeys([*(view.answer for view in views), *order]))[:MOST_CLASSES]
    if label is not None and label not in shown:
        shown[-1] = label
    return sorted(shown, key=order.index)


def _draw_view(
    side: Side,
    view: View,
    names: Sequence[str],
    shown: Sequence[int],
    method: Method,
    mode: Mode,
) -> None:
    for k in shown:
        share = float(view.probabilities[k])
        mark = "**" if k == view.answer else ""
        st.progress(min(1.0, share), text=f"{mark}{plain(names[k])} {probability(share)}{mark}")
    with st.container(horizontal=True, gap="small"):
        st.image(
            square(view.pixels, SIDE),
            width=SIDE,
            caption=f"what {side.letter} is given: {view.pixels.shape[0]} × {view.pixels.shape[1]}",
            alt=f"The image as run {side.letter} is given it",
        )
        if view.map is None or view.stage is None:
            st.caption("This network has no layer with places, so there is no map.", width=SIDE)
            return
        target, title = names[view.target], stage_title(view.map.layer)
        place = "the whole network" if method.cost is Cost.PICTURE else title
        if view.map.meaningful:
            st.image(
                jpeg(drawn(view.pixels, view.map.values, mode, side=2 * SIDE)),
                width=SIDE,
                output_format="JPEG",
                caption=f"what speaks for {plain(target)} in {place}",
                alt=f"Run {side.letter}: what speaks for {target} in {place}",
            )
        else:
            st.caption(f"No map: nothing in {place} speaks for {plain(target)}.", width=SIDE)
        channel = f"channel {view.stage.channel} of {title}, its most active"
        st.image(
            square(coloured(scaled(view.stage.strongest)), SIDE),
            width=SIDE,
            caption=channel,
            alt=f"Run {side.letter}: {channel}",
        )


# --- settings ------------------------------------------------------------------------------------
def _draw_settings(sides: Sequence[Side]) -> None:
    st.markdown("**What differs in their settings**")
    draw_differences([side.letter for side in sides], [side.run.settings for side in sides])
