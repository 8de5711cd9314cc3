"""The film strip of a run: its predictions and maps of a few pictures, growing with each epoch.

A fragment of its own that checks every few seconds for a new epoch's file in the run's folder. The
HTML is kept in the session until there is something new, so that the live chart is not held up.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from lab.errors import NotFoundError
from lab.runs.store import RunRow, store
from lab.training.watch import film_files
from lab.training.watch.film_files import ProbeSnapshot
from lab.ui.run import film_frames
from lab.ui.run.film_pins import draw_pins
from lab.ui.widgets.pace import pace

TICK = 3.0
"""Seconds between two refreshes in a run's first minute."""

_DRAWN = "film_drawn"
"""The session's key of the HTML on the page and what it was made from."""


def draw_film_strip(run: RunRow) -> None:
    """Draws the strip of `run`, which grows while the run is active."""
    seconds = pace(run, TICK)
    st.fragment(run_every=seconds, key="film_strip")(_body)(run.id, seconds)


def _body(run_id: str, seconds: float | None) -> None:
    try:
        run = store().run(run_id)
    except NotFoundError:  # deleted in another tab
        st.rerun()
    if pace(run, TICK) != seconds:
        st.rerun()  # once: the timer goes away, or comes
    st.subheader("Film strip", anchor=False)
    folder = store().folder(run_id)
    epochs = film_files.snapshot_epochs(folder)
    snapshots = [
        snapshot for epoch in epochs if (snapshot := film_files.read_snapshot(folder, epoch))
    ]
    if not snapshots:
        st.caption(_why_empty(run))
        return
    st.caption(
        "The same pictures after each epoch: what the network answers, and where in the picture it "
        "finds evidence for the right answer."
    )
    stage = _choose_stage(run, snapshots[-1])
    chosen = _chosen_epoch(run, snapshots)
    shown = film_frames.columns([snapshot.epoch for snapshot in snapshots], chosen)
    strip_html, large_html = _html(run, folder, snapshots, shown, stage, chosen)
    st.html(strip_html)
    st.caption(_legend(snapshots, stage, shown))
    if len(snapshots) > 1:
        st.select_slider(
            "Look closer",
            [snapshot.epoch for snapshot in snapshots],
            format_func=lambda epoch: "before training" if epoch == 0 else f"after epoch {epoch}",
            key=_epoch_key(run),
            help="At the right end it follows the run: each new epoch is shown as it comes.",
        )
    st.html(large_html)
    draw_pins(run, folder, snapshots[-1])


def _why_empty(run: RunRow) -> str:
    if run.settings.get("film_strip") is False:
        return "Switched off for this run, by the knob “Film strip” in the group “Machine”."
    if run.is_live:
        return "The first column shows the untrained network; then comes one after each epoch."
    return (
        "This run has none: it ended with its first steps, could not keep it (the log above says "
        "so), or an earlier version of the lab trained it."
    )


def _choose_stage(run: RunRow, newest: ProbeSnapshot) -> str | None:
    if not newest.stages:
        st.caption(
            "This network has no convolution, so there are no places to point at: predictions only."
        )
        return None
    key = f"film_stage_{run.id}"
    if st.session_state.get(key) not in newest.stages:
        first = newest.default_stage
        st.session_state[key] = first if first in newest.stages else newest.stages[-1]
    return st.selectbox(
        "Layer",
        newest.stages,
        key=key,
        width=220,
        help="Early layers see edges and colours at many places, late ones see parts at few. "
        "The layer shown first is the last one that still has places.",
    )


def _epoch_key(run: RunRow) -> str:
    return f"film_epoch_{run.id}"


def _chosen_epoch(run: RunRow, snapshots: Sequence[ProbeSnapshot]) -> int:
    """Returns the slider's epoch, before it is drawn; at its right end it follows the run."""
    key, newest_key = _epoch_key(run), f"film_newest_{run.id}"
    newest = snapshots[-1].epoch
    chosen = st.session_state.get(key)
    if chosen == st.session_state.get(newest_key) or chosen not in [t.epoch for t in snapshots]:
        chosen = st.session_state[key] = newest
    st.session_state[newest_key] = newest
    return int(chosen)


def _html(
    run: RunRow,
    folder: Path,
    snapshots: Sequence[ProbeSnapshot],
    shown: Sequence[int],
    stage: str | None,
    chosen: int,
) -> tuple[str, str]:
    """Returns the strip and the larger pictures, from the session when nothing has changed."""
    written = (folder / film_files.FOLDER).stat().st_mtime_ns  # changes with every file in it
    made_from = (run.id, written, tuple(shown), stage, chosen)
    cached = st.session_state.get(_DRAWN)
    if cached is None or cached[0] != made_from:
        columns = [snapshot for snapshot in snapshots if snapshot.epoch in shown]
        indices = {index for snapshot in columns for index in snapshot.indices.tolist()}
        pictures = {i: film_files.read_picture(folder, i) for i in sorted(indices)}
        strip = film_frames.Strip(
            snapshots=columns,
            maps=[
                None if stage is None else film_files.read_maps(folder, snapshot.epoch, stage)
                for snapshot in columns
            ],
            stage=stage,
            scales=film_frames.scales(snapshots, stage),
            pictures={i: pixels for i, pixels in pictures.items() if pixels is not None},
            class_names=run.class_names,
        )
        column = [snapshot.epoch for snapshot in columns].index(chosen)
        cached = (
            made_from,
            film_frames.strip_html(strip, chosen=chosen),
            film_frames.large_html(strip, column),
        )
        st.session_state[_DRAWN] = cached
    return cached[1], cached[2]


def _legend(snapshots: Sequence[ProbeSnapshot], stage: str | None, shown: Sequence[int]) -> str:
    newest = snapshots[-1]
    sentences = ["✓ the answer is right, ✗ it is wrong; beside it how sure the network was."]
    if stage is not None:
        sentences.append(
            f"Bright: places where layer {stage} speaks for the picture's true class (Grad-CAM), "
            "whatever the answer was. Each picture has one colour scale for all epochs: full "
            "colour is its largest value of the whole run, so brighter means more evidence."
        )
        columns = [snapshot for snapshot in snapshots if snapshot.epoch in shown]
        if any(
            film_frames.lacks_map(t, stage, row) for t in columns for row in range(len(t.names))
        ):
            sentences.append(
                "“no map”: nothing in this layer speaks for the true class; the network may answer "
                "it all the same, when even less speaks for the others."
            )
    if len(shown) < len(snapshots):
        sentences.append(
            f"{len(shown)} of {len(snapshots)} epochs are columns; the slider has them all."
        )
    if newest.every > 1:
        sentences.append(
            f"Recorded after every {newest.every} epochs, and after the first and the last: more "
            "would cost training time or room (the log says which)."
        )
    return " ".join(sentences)
