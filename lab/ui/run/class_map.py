"""How the classes come apart: the run's validation pictures on a map, epoch after epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from lab.charts.style import PALETTE
from lab.data import catalog
from lab.data.quality.embedding import aligned
from lab.errors import LabError
from lab.runs.store import RunRow, store
from lab.training.watch import class_map_files
from lab.training.watch.class_map_files import ClassSnapshot
from lab.ui.widgets.point_map import (
    Colouring,
    Frame,
    Group,
    MapPictures,
    by_class,
    draw_point_map,
)
from lab.words import percent

WHAT = {"features": "What the last layer sees", "answers": "Its answers"}
COLOURS = {"class": "Class", "right": "Right or wrong"}
RIGHT_GROUPS = (
    Group("Right", PALETTE[0], "circle"),
    Group("Wrong", PALETTE[1], "triangle"),
)


def draw_class_map(run: RunRow) -> None:
    """Draws an expander with the map; nothing where the run has kept none and will keep none."""
    folder = store().folder(run.id)
    comes = run.is_live and run.settings.get("film_strip", True)
    if not comes and not class_map_files.snapshot_epochs(folder):
        return
    panel = st.expander(
        "How the classes come apart, epoch after epoch",
        icon=":material/scatter_plot:",
        key="class_map",
        on_change="rerun",
    )
    if not panel.open:
        return
    with panel:
        snapshots = class_map_files.read_snapshots(folder)
        if not snapshots and comes:
            st.caption("The map begins with the end of the first epoch.")
            return
        if not snapshots:
            st.caption("The files of this map cannot be read; the run's log may say more.")
            return
        _draw(run, snapshots)


def _draw(run: RunRow, snapshots: Sequence[ClassSnapshot]) -> None:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        what = st.segmented_control(
            "Map of",
            list(WHAT),
            default="features",
            format_func=WHAT.__getitem__,
            key="class_map_what",
            required=True,
            help="What goes into the network's last layer: a picture as the network has come to "
            "see it. Or what comes out of it: a score for each class.",
        )
        colour = st.segmented_control(
            "Colour by",
            list(COLOURS),
            default="class",
            format_func=COLOURS.__getitem__,
            key="class_map_colour",
            required=True,
        )
        if run.is_live:
            st.button("Newer epochs", key="class_map_newer", icon=":material/update:")
    newest = snapshots[-1]
    maps, shares = aligned([getattr(snapshot, what) for snapshot in snapshots])
    frames = []
    for snapshot, points, share in zip(snapshots, maps, shares.tolist(), strict=True):
        wrong = snapshot.predicted != snapshot.labels
        kept = snapshot.kept_share if what == "features" else 1.0
        frames.append(
            Frame(
                f"Epoch {snapshot.epoch}",
                points,
                note=f"After epoch {snapshot.epoch}: {percent(1 - wrong.mean())} of these pictures "
                f"right. The map shows {percent(share * kept)} of what sets them apart.",
                answers=snapshot.predicted,
                codes=wrong.astype(np.int64) if colour == "right" else None,
            )
        )
    colouring = by_class(newest.labels, run.class_names)
    if colour == "right":
        wrong = newest.predicted != newest.labels
        colouring = Colouring("Answer", RIGHT_GROUPS, wrong.astype(np.int64))
    draw_point_map(
        MapPictures(run.dataset, _images_hash(run), run.class_names, newest.rows, newest.labels),
        frames,
        colouring,
        key=f"class_map_{what}",
        alt=f"Map of {len(newest.rows)} validation pictures of {len(run.class_names)} classes in "
        f"the network, after each of {len(frames)} epochs. After epoch {newest.epoch}, "
        f"{percent((newest.predicted == newest.labels).mean())} of them are right.",
    )
    if _stays(snapshots) and what == "features":
        st.caption(
            "The pictures stay where they are, because all that is before the last layer is frozen "
            "in this run. Its answers move."
        )
    st.caption(
        f"The same {len(newest.rows)} validation pictures after each epoch; the network does not "
        "train on them. Pictures that the network sees as alike lie together. Each epoch is turned "
        "onto the next one and scaled to the same size, so compare which pictures lie together, "
        "not how far the whole map reaches.",
        help="Principal components of the last epoch; earlier ones are turned and mirrored onto "
        "the one after them (Procrustes), which keeps the distances within an epoch. "
        f"{class_map_files.DIMENSIONS} directions of each epoch are kept, two are shown.",
    )


def _stays(snapshots: Sequence[ClassSnapshot]) -> bool:
    first, last = snapshots[0].features, snapshots[-1].features
    return len(snapshots) > 1 and np.allclose(first, last, rtol=1e-4, atol=1e-4)


def _images_hash(run: RunRow) -> str:
    """Returns the hash of the data set's pictures; "" where the set is gone."""
    try:
        return catalog.open_pack(run.dataset).meta.images_hash
    except LabError:
        return ""
