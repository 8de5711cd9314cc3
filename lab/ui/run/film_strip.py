"""The film strip of a run: what it makes of a few pictures, epoch after epoch, growing live.

A fragment of its own that looks every few seconds whether a new epoch's file is there. It reads
files of the run's folder and never touches the training; the HTML is kept in the session and made
anew only when there is something new, so that the live chart beside it is not held up.
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
"""Seconds between two looks in a run's first minute, while the run may still take pictures."""

_DRAWN = "film_drawn"
"""Where the session keeps the HTML of what it shows now, beside what it was made from."""


def draw_film_strip(run: RunRow) -> None:
    """Draw the strip of `run` and let it grow while the run is active."""
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
    takes = [take for epoch in epochs if (take := film_files.read_snapshot(folder, epoch))]
    if not takes:
        st.caption(_why_empty(run))
        return
    st.caption(
        "The same pictures after each epoch: what the network answers, and where in the picture it "
        "finds evidence for the right answer."
    )
    stage = _choose_stage(run, takes[-1])
    chosen = _chosen_epoch(run, takes)
    shown = film_frames.columns([take.epoch for take in takes], chosen)
    strip_html, large_html = _html(run, folder, takes, shown, stage, chosen)
    st.html(strip_html)
    st.caption(_legend(takes, stage, shown))
    if len(takes) > 1:
        st.select_slider(
            "Look closer",
            [take.epoch for take in takes],
            format_func=lambda epoch: "before training" if epoch == 0 else f"after epoch {epoch}",
            key=_epoch_key(run),
            help="At the right end it follows the run: each new epoch is shown as it comes.",
        )
    st.html(large_html)
    draw_pins(run, folder, takes[-1])


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


def _chosen_epoch(run: RunRow, takes: Sequence[ProbeSnapshot]) -> int:
    """The scrubber's epoch; who has it at the newest follows the run. Before the slider is
    drawn."""
    key, newest_key = _epoch_key(run), f"film_newest_{run.id}"
    newest = takes[-1].epoch
    chosen = st.session_state.get(key)
    if chosen == st.session_state.get(newest_key) or chosen not in [t.epoch for t in takes]:
        chosen = st.session_state[key] = newest
    st.session_state[newest_key] = newest
    return int(chosen)


def _html(
    run: RunRow,
    folder: Path,
    takes: Sequence[ProbeSnapshot],
    shown: Sequence[int],
    stage: str | None,
    chosen: int,
) -> tuple[str, str]:
    """The strip and the larger pictures; from the session when nothing has changed."""
    written = (folder / film_files.FOLDER).stat().st_mtime_ns  # changes with every file in it
    made_from = (run.id, written, tuple(shown), stage, chosen)
    kept = st.session_state.get(_DRAWN)
    if kept is None or kept[0] != made_from:
        columns = [take for take in takes if take.epoch in shown]
        indices = {index for take in columns for index in take.indices.tolist()}
        pictures = {i: film_files.read_picture(folder, i) for i in sorted(indices)}
        strip = film_frames.Strip(
            takes=columns,
            maps=[
                None if stage is None else film_files.read_maps(folder, take.epoch, stage)
                for take in columns
            ],
            stage=stage,
            scales=film_frames.scales(takes, stage),
            pictures={i: pixels for i, pixels in pictures.items() if pixels is not None},
            class_names=run.class_names,
        )
        at = [take.epoch for take in columns].index(chosen)
        kept = (
            made_from,
            film_frames.strip_html(strip, chosen=chosen),
            film_frames.large_html(strip, at),
        )
        st.session_state[_DRAWN] = kept
    return kept[1], kept[2]


def _legend(takes: Sequence[ProbeSnapshot], stage: str | None, shown: Sequence[int]) -> str:
    newest = takes[-1]
    said = ["✓ the answer is right, ✗ it is wrong; beside it how sure the network was."]
    if stage is not None:
        said.append(
            f"Bright: places where layer {stage} speaks for the picture's true class (Grad-CAM), "
            "whatever the answer was. Each picture has one colour scale for all epochs: full "
            "colour is its largest value of the whole run, so brighter means more evidence."
        )
        columns = [take for take in takes if take.epoch in shown]
        if any(
            film_frames.lacks_map(t, stage, row) for t in columns for row in range(len(t.names))
        ):
            said.append(
                "“no map”: nothing in this layer speaks for the true class; the network may answer "
                "it all the same, when even less speaks for the others."
            )
    if len(shown) < len(takes):
        said.append(f"{len(shown)} of {len(takes)} epochs are columns; the slider has them all.")
    if newest.every > 1:
        said.append(
            f"Taken after every {newest.every} epochs, and after the first and the last: more "
            "would cost training time or room (the log says which)."
        )
    return " ".join(said)
