"""Suspected labels in the Check tab: a card each, with what speaks against the label.

    Judged by: features │ a run of this set
    picture │ its map │ given -> suggested, in words
    nearest training pictures with their classes
    It is a … · Leave out · It is right · Where a run looks

The map is of the head that suspects the picture: where it looks like the suggested class. "It is a
…" and "Leave out" take note of an edit (`lab.ui.widgets.edits`). "It is right" is remembered with
the pictures (`lab.data.quality.confirmed`), so that the label is not suspected again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from typing import cast

import numpy as np
import streamlit as st

from lab import jobs
from lab.data import versions
from lab.data.access import may_change_dataset
from lab.data.catalog import DatasetInfo
from lab.data.pack import Pack
from lab.data.quality import check as quality
from lab.data.quality import confirmed
from lab.data.quality.features import AUTO, Floats
from lab.data.quality.findings import CheckResult, Finding
from lab.data.quality.label_errors import judged_by, suspect_maps
from lab.errors import LabError
from lab.explain.overlay import overlay, square
from lab.progress import Cancel, Report
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.data.map.features import features_key
from lab.ui.widgets import edits
from lab.ui.widgets.background import computed
from lab.ui.widgets.checkpoints import default_checkpoint, run_labels
from lab.ui.widgets.pictures import enlarge, jpeg
from lab.ui.widgets.queue_actions import ask
from lab.ui.words import plain
from lab.words import probability

PER_PAGE = 12
PICTURE_SIDE = 136
NEIGHBOUR_SIDE = 76
CARD_WIDTH = 560
MOST_RIGHT = 24


def choose_judge(info: DatasetInfo, pack: Pack, found: CheckResult) -> CheckResult | None:
    """Draws the choice of who judges the labels; returns what that one found.

    `found` is by the features of the check itself. None while the page shows a button or a job.
    """
    runs = {run.id: run for run in store().runs() if run.dataset == info.name and run.has_weights}
    if not runs:
        return found
    labels = run_labels(list(runs.values()))
    chosen = st.selectbox(
        "Judged by",
        [AUTO, *runs],
        format_func=lambda name: (
            "The best features here" if name == AUTO else f"Run {labels[name]}"
        ),
        key=f"data_check_judge_{info.name}",
        width=420,
        help="Whose features the heads read that judge the labels. A run knows what matters in "
        "these pictures, but it may have learned wrong labels by heart.",
    )
    if chosen == AUTO:
        return found
    try:
        extractor = f"run:{chosen}:{default_checkpoint(runs[chosen]).checkpoint}"
        check = judged_by(extractor, features_key(extractor))
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None
    if (judged := quality.result(pack, check)) is not None:
        return judged
    key = f"{quality.job_key(info.name)}-{pack.meta.content_hash}-{check.name}"
    job = jobs.latest(key)
    if (job is None or job.state == "cancelled") and not st.button(
        "Judge the labels by this run", key="data_check_judge_start", icon=":material/fact_check:"
    ):
        return None

    def work(report: Report, cancel: Cancel) -> CheckResult:
        return quality.run_checks(pack, [check], report, cancel)[check.name]

    answer: CheckResult | None = computed(key, "Judging the labels", work, cancellable=True)
    return answer


def draw_suspects(
    info: DatasetInfo, pack: Pack, found: CheckResult, findings: list[Finding], *, key: str
) -> None:
    """Draws the suspected labels that nobody has called right, a page of cards at a time."""
    try:
        right = confirmed.confirmed(pack)
    except LabError as error:
        right = frozenset()
        st.error(plain(str(error)), icon=":material/error:")
    open_ones = [finding for finding in findings if finding.row not in right]
    # Also those that an earlier check had suspected: a newer one leaves them out itself.
    suspects = {finding.row for finding in found.findings}
    hidden = [f.row for f in findings if f.row in right] + sorted(right - suspects)
    if hidden:
        with st.popover(f"{len(hidden):,} that you called right", icon=":material/check:"):
            _draw_right(info, pack, hidden, key)
    pages = -(-len(open_ones) // PER_PAGE)
    slot = st.container()
    page = st.pagination(pages, key=f"{key}_page_{info.name}") if pages > 1 else 1
    run_id = newest_run(pack)
    shown = open_ones[(page - 1) * PER_PAGE : page * PER_PAGE]
    with slot:
        maps = _maps(pack, found, [finding.row for finding in shown])
        with st.container(horizontal=True, gap="small"):
            for finding in shown:
                with st.container(border=True, width=CARD_WIDTH):
                    _draw_card(
                        info,
                        pack,
                        found,
                        finding,
                        shown=None if maps is None else maps.get(finding.row),
                        waiting=maps is None,
                        run_id=run_id,
                        key=f"{key}_{finding.row}",
                    )


def _draw_right(info: DatasetInfo, pack: Pack, rows: Sequence[int], key: str) -> None:
    """Draws pictures whose labels were called right, to take that back."""
    st.caption("Not suspected as long as they have this label; the newest check may need to run.")
    for row in rows[:MOST_RIGHT]:
        given = info.class_names[pack.labels[row]]
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.image(enlarge(pack.images[row]), width=NEIGHBOUR_SIDE, alt=pack.names[row])
            st.markdown(plain(given), width="stretch")
            if may_change_dataset(info.name):
                st.button(
                    "Suspect again",
                    key=f"{key}_{row}_again",
                    icon=":material/undo:",
                    on_click=ask,
                    args=(confirmed.take_back, pack, row),
                )
    if len(rows) > MOST_RIGHT:
        st.caption(f"and {len(rows) - MOST_RIGHT:,} more")


def _maps(pack: Pack, found: CheckResult, rows: list[int]) -> dict[int, Floats] | None:
    """Row -> map of these suspects; None while they are drawn, as the page then shows."""
    if not rows:
        return {}
    asked = f"{found.figures['extractor']} {rows}".encode() + found.arrays["weights"].tobytes()
    digest = hashlib.blake2b(asked, digest_size=8).hexdigest()
    maps: dict[int, Floats] | None = computed(
        f"suspects:{pack.meta.content_hash}:{digest}",
        "Drawing what speaks for the other class",
        lambda report, cancel: suspect_maps(pack, found, rows, report, cancel),
    )
    return maps


def _draw_card(
    info: DatasetInfo,
    pack: Pack,
    found: CheckResult,
    finding: Finding,
    *,
    shown: Floats | None,
    waiting: bool,
    run_id: str | None,
    key: str,
) -> None:
    row, suggestion = finding.row, cast("str", finding.suggestion)
    given = info.class_names[pack.labels[row]]
    with st.container(horizontal=True, gap="small"):
        with st.container(width=PICTURE_SIDE, gap="xsmall"):
            pixels = pack.take(np.array([row]))[0]
            st.image(
                jpeg(square(pixels, 2 * PICTURE_SIDE)),
                width=PICTURE_SIDE,
                alt=f"{given}, {pack.names[row]}",
            )
            st.caption(plain(pack.names[row].rsplit("/", 1)[-1]))
        with st.container(width=PICTURE_SIDE, gap="xsmall"):
            if shown is not None:
                st.image(
                    jpeg(overlay(pixels, shown, side=2 * PICTURE_SIDE)),
                    width=PICTURE_SIDE,
                    alt=f"Map of what speaks for {suggestion}",
                )
                st.caption(f"What speaks for {plain(suggestion)}")
            elif not waiting:
                st.caption("No map: no single place speaks for it.")
        with st.container(width="stretch", gap="xsmall"):
            st.markdown(f"**{plain(given)} → {plain(suggestion)}?**")
            st.markdown(
                evidence(
                    given,
                    suggestion,
                    float(found.arrays["given"][row]),
                    float(found.arrays["suggested"][row]),
                )
            )
    st.caption("Nearest training pictures:")
    with st.container(horizontal=True, gap="xsmall"):
        for other in finding.others:
            class_name = info.class_names[pack.labels[other]]
            with st.container(width=NEIGHBOUR_SIDE, gap=None):
                st.image(
                    enlarge(pack.images[other]),
                    width=NEIGHBOUR_SIDE,
                    alt=f"Nearest: {class_name}, {pack.names[other]}",
                )
                st.caption(plain(class_name))
    pending = edits.pending(info.name)
    if row in pending.exclude or row in pending.relabel:
        with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
            if row in pending.exclude:
                st.badge("Left out", icon=":material/visibility_off:", color="orange")
            else:
                st.badge(plain(pending.relabel[row]), icon=":material/label:", color="orange")
            edits.draw_take_back(info.name, row, key=f"{key}_take_back")
        return
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.button(
            f"It is {plain(suggestion)}",
            key=f"{key}_relabel",
            icon=":material/label:",
            on_click=edits.relabel,
            args=(info.name, [row], suggestion),
        )
        st.button(
            "Leave out",
            key=f"{key}_exclude",
            icon=":material/visibility_off:",
            on_click=edits.exclude,
            args=(info.name, [row]),
        )
        if may_change_dataset(info.name):
            st.button(
                "It is right",
                key=f"{key}_right",
                icon=":material/check:",
                help="Remembered: this picture is not suspected again as long as it has this "
                "label.",
                on_click=ask,
                args=(confirmed.confirm, pack, row),
            )
        if run_id is not None:
            st.page_link(
                "pages/inspect.py",
                label="Where a run looks",
                icon=":material/visibility:",
                query_params={"run": run_id, "image": str(row)},
            )


def evidence(given: str, suggestion: str, label: float, other: float) -> str:
    """Returns what speaks against a label, in a sentence of Markdown."""
    sure = "surely" if other > 0.95 else "probably" if other > 0.75 else "perhaps"
    return (
        f"To a head that never saw it this is {sure} {plain(suggestion)}: "
        f"{probability(other)} against {probability(label)} for {plain(given)}."
    )


def newest_run(pack: Pack) -> str | None:
    """The id of the newest run on these pictures whose weights can be asked.

    Also one on another version of them: a row is the same picture in all.
    """
    name = pack.meta.dataset
    hashes = {
        version.content_hash
        for version in versions.versions(name)
        if version.images_hash == pack.meta.images_hash
    } | {pack.meta.content_hash}
    for row in store().runs():
        if row.dataset == name and row.has_weights:
            with contextlib.suppress(LabError):
                if CheckpointMetadata.read(store().folder(row.id)).dataset_hash in hashes:
                    return row.id
    return None
