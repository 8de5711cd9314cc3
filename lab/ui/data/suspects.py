"""Suspected labels in the Check tab: a card each, with what speaks against the label.

    picture │ given -> suggested, in words │ nearest training pictures with their classes
            │ It is a … · Leave out · It is right · Where a run looks

The first two take note of an edit (`lab.ui.data.edits`). "It is right" is remembered with the
pictures (`lab.data.quality.confirmed`), so that the label is not suspected again.
"""

from __future__ import annotations

import contextlib
from typing import cast

import streamlit as st

from lab.data import versions
from lab.data.catalog import DatasetInfo
from lab.data.pack import Pack
from lab.data.quality import confirmed
from lab.data.quality.findings import CheckResult, Finding
from lab.errors import LabError
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata
from lab.ui.data import edits
from lab.ui.widgets.pictures import enlarge
from lab.ui.words import plain
from lab.words import probability

PER_PAGE = 12
PICTURE_SIDE = 168
NEIGHBOUR_SIDE = 76
CARD_WIDTH = 560


def draw_suspects(
    info: DatasetInfo, pack: Pack, found: CheckResult, findings: list[Finding], *, key: str
) -> None:
    """Draws the suspected labels that nobody has called right, a page of cards at a time."""
    right = confirmed.confirmed(pack)
    open_ones = [finding for finding in findings if finding.row not in right]
    if len(open_ones) < len(findings):
        st.caption(
            f"{len(findings) - len(open_ones):,} that you called right "
            f"{'are' if len(findings) - len(open_ones) > 1 else 'is'} not shown."
        )
    pages = -(-len(open_ones) // PER_PAGE)
    slot = st.container()
    page = st.pagination(pages, key=f"{key}_page_{info.name}") if pages > 1 else 1
    run_id = newest_run(pack)
    with slot, st.container(horizontal=True, gap="small"):
        for finding in open_ones[(page - 1) * PER_PAGE : page * PER_PAGE]:
            with st.container(border=True, width=CARD_WIDTH):
                _draw_card(info, pack, found, finding, run_id=run_id, key=f"{key}_{finding.row}")


def _draw_card(
    info: DatasetInfo,
    pack: Pack,
    found: CheckResult,
    finding: Finding,
    *,
    run_id: str | None,
    key: str,
) -> None:
    row, suggestion = finding.row, cast("str", finding.suggestion)
    given = info.class_names[pack.labels[row]]
    with st.container(horizontal=True, gap="small"):
        with st.container(width=PICTURE_SIDE, gap="xsmall"):
            st.image(enlarge(pack.images[row]), width=PICTURE_SIDE, alt=f"{given}, row {row}")
            st.caption(plain(pack.names[row].rsplit("/", 1)[-1]))
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
                            alt=f"Nearest: {class_name}, row {other}",
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
        st.button(
            "It is right",
            key=f"{key}_right",
            icon=":material/check:",
            help="Remembered: this picture is not suspected again as long as it has this label.",
            on_click=confirmed.confirm,
            args=(pack, row),
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
