"""The Versions tab: every state of a data set, what changed, and whether a change helped."""

from __future__ import annotations

from datetime import datetime

import streamlit as st

from lab.data import catalog, version_files, versions
from lab.data.catalog import DatasetInfo
from lab.data.pack import SPLIT_WORDS, Pack
from lab.data.versions import Change, Version
from lab.errors import LabError
from lab.experiments import proof
from lab.experiments.estimates import estimate, past_runs, rough_time
from lab.runs.store import RunRow, store
from lab.training.plan import resolve
from lab.ui.widgets.pictures import SHOWN_SIDE, enlarge
from lab.ui.words import page_words, plain
from lab.words import size

SHOWN = 8
"""Versions that are listed at first."""
PICTURES = 24
"""Pictures of each kind of change that are shown."""
SUITED = "suited"


def draw_versions(info: DatasetInfo) -> None:
    """Draws the list of versions, the difference of two, the proof and what can be cleared away."""
    there = versions.versions(info.name)
    runs = [run for run in store().runs() if run.dataset == info.name]
    used = proof.trained_on(info.name, runs)
    if len(there) == 1:
        st.caption(
            "This data set has one version. Leave pictures out, relabel or move them on the other "
            "tabs and save: each saving is a version, and none is ever lost."
        )
    _draw_list(info, there, used)
    if len(there) > 1:
        _draw_difference(info, there)
        _draw_proof(info, there, runs)
        _draw_clearing(info, used)


def _draw_list(info: DatasetInfo, there: list[Version], used: dict[str, int]) -> None:
    every = len(there) <= SHOWN or st.toggle(f"All {len(there)} versions", key="data_all_versions")
    for version in there if every else there[:SHOWN]:
        count = used.get(version.content_hash, 0)
        trained = f"{count:,} run{'s' * (count != 1)} on it" if count else "no run on it"
        with st.container(border=True, horizontal=True, vertical_alignment="center"):
            parts = [
                f"{version.split_total(split):,} {title}"
                for split, title in SPLIT_WORDS.items()
                if version.split_total(split)
            ]
            reason = f"  \n“{plain(version.reason)}”" if version.reason else ""
            st.markdown(
                f"**Version {version.number}** · {_when(version)}  \n{plain(version.changes)}"
                f"{reason}  \n:small[{', '.join(parts)} pictures in "
                f"{len(version.meta.class_names)} classes · "
                f"{trained} · content {version.content_hash[:8]}]",
                width="stretch",
            )
            if version.newest:
                st.badge("In use", icon=":material/check:", color="green")
            elif version.content_hash != there[0].content_hash:
                st.button(
                    "Restore",
                    key=f"data_restore_{version.number}",
                    icon=":material/settings_backup_restore:",
                    help="Makes this content the newest version again; none is lost.",
                    on_click=_restore,
                    args=(info.name, version),
                )


def _restore(name: str, version: Version) -> None:
    """The button's callback."""
    try:
        versions.restore(name, version.content_hash)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _when(version: Version) -> str:
    try:
        return f"{datetime.fromisoformat(version.created):%-d %B %Y, %H:%M} UTC"
    except ValueError:
        return plain(version.created)


# --- what changed ---------------------------------------------------------------------------------
def _choose_two(there: list[Version], key: str) -> tuple[Version, Version]:
    """Draws two select boxes; by default the newest version and the one before."""
    by_number = {version.number: version for version in there}
    numbers = list(by_number)
    with st.container(horizontal=True):
        old = st.selectbox(
            "Version before",
            numbers,
            index=1,
            format_func=lambda n: _title(by_number[n]),
            key=f"{key}_before_{there[0].number}",
            width=320,
        )
        new = st.selectbox(
            "Version after",
            numbers,
            index=0,
            format_func=lambda n: _title(by_number[n]),
            key=f"{key}_after_{there[0].number}",
            width=320,
        )
    return by_number[old], by_number[new]


def _title(version: Version) -> str:
    words = version.reason or version.changes
    return f"{version.number} · {words[:60]}{'…' * (len(words) > 60)}"


def _draw_difference(info: DatasetInfo, there: list[Version]) -> None:
    st.subheader("What changed", anchor=False)
    old, new = _choose_two(there, "data_diff")
    if old.content_hash == new.content_hash:
        st.caption("These two have the same content.")
        return
    try:
        changes = versions.diff(info.name, old.content_hash, new.content_hash)
        packs = [
            catalog.open_pack(info.name, version=version.content_hash) for version in (old, new)
        ]
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return
    st.markdown(f"From version {old.number} to {new.number}: **{plain(changes.words)}**.")
    for title, kind in (
        ("Left out", changes.left_out),
        ("Brought back", changes.brought_back),
        ("Added", changes.added),
        ("Relabelled", changes.relabelled),
        ("Moved", changes.moved),
    ):
        if kind:
            st.markdown(f"**{title}:** {len(kind):,}")
            _draw_changes(packs[0], packs[1], kind)


def _draw_changes(old: Pack, new: Pack, kind: tuple[Change, ...]) -> None:
    with st.container(horizontal=True, gap="xsmall"):
        for change in kind[:PICTURES]:
            pack = new if change.row < len(new) else old
            with st.container(width=SHOWN_SIDE, gap="xsmall"):
                st.image(
                    enlarge(pack.images[change.row]),
                    width=SHOWN_SIDE,
                    alt=f"{pack.names[change.row]}: {_change_words(change)}",
                )
                st.caption(plain(_change_words(change)))
    if len(kind) > PICTURES:
        st.caption(f"The first {PICTURES} of {len(kind):,}.")


def _change_words(change: Change) -> str:
    if change.class_after is None or change.class_before is None:
        return change.class_before or change.class_after or ""
    if change.class_before != change.class_after:
        return f"{change.class_before} → {change.class_after}"
    titles = [SPLIT_WORDS.get(s or "", "") for s in (change.split_before, change.split_after)]
    return f"{change.class_after}, {titles[0]} → {titles[1]}"


# --- did it help ----------------------------------------------------------------------------------
def _draw_proof(info: DatasetInfo, there: list[Version], runs: list[RunRow]) -> None:
    st.subheader("Did it help?", anchor=False)
    st.caption(
        "Trains the same settings with the same seeds on both versions, tests them on the same "
        "test pictures with the corrected labels, and says whether the difference is more than "
        "chance."
    )
    for old in proof.proofs(info.name)[:5]:
        numbers = [v.number if (v := proof.version_of(old, s)) else "?" for s in proof.SIDES]
        state = "training" if old.is_live else f"{len(old.completed_seeds)} of {len(old.seeds)}"
        st.page_link(
            "pages/proof.py",
            label=f"Version {numbers[0]} against {numbers[1]}, "
            f"{old.created_at:%-d %B, %H:%M} UTC: {state}" + " seeds done" * (not old.is_live),
            icon=":material/balance:",
            query_params={"proof": old.id},
        )
    before, after = _choose_two(there, "data_proof")
    done = {run.id: run for run in runs if run.status == "completed"}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.selectbox(
            "Settings",
            [*list(done)[:30], SUITED],
            format_func=lambda r: (
                "What suits this data set" if r == SUITED else f"As in “{done[r].name}”"
            ),
            key=f"data_proof_settings_{info.name}",
            width=320,
        )
        seeds = st.segmented_control(
            "Seeds",
            proof.SEED_COUNTS,
            default=3,
            key="data_proof_seeds",
            required=True,
            help="One seed tells whether these two networks differ; three or five tell whether "
            "cleaning does, beyond the luck of a training.",
        )
    try:
        config = proof.base_of(info.name, done.get(source))
        one = estimate(resolve(config), past=past_runs(store()))
    except LabError as error:
        st.error(plain(page_words(str(error))), icon=":material/error:")
        return
    time = f", {rough_time(2 * seeds * one.seconds)} in all ({one.source})" if one else ""
    if st.button(
        f"Train both, {2 * seeds} runs",
        key="data_proof_start",
        type="primary",
        icon=":material/balance:",
    ):
        try:
            proof_id = proof.start(
                info.name, before.content_hash, after.content_hash, config, seeds
            )
        except LabError as error:
            st.error(plain(page_words(str(error))), icon=":material/error:")
            return
        st.switch_page("pages/proof.py", query_params={"proof": proof_id})
    st.caption(f"{2 * seeds} runs through the queue{time}.")


# --- clearing away --------------------------------------------------------------------------------
def _draw_clearing(info: DatasetInfo, used: dict[str, int]) -> None:
    idle = versions.unused(info.name, used)
    if not idle:
        return
    numbers = {version.number for version in idle}
    count = f"{len(idle)} earlier version{'s' * (len(idle) != 1)}"
    freed = version_files.freed_by(info.name, numbers)
    with st.expander(f"Clear away {count} that no run uses", icon=":material/cleaning_services:"):
        listing = ", ".join(str(number) for number in sorted(numbers))
        st.markdown(
            f"Version{'s' * (len(idle) != 1)} {listing}: deleting frees {size(freed)}. Versions "
            "share their pictures, so that is often little. They cannot be restored afterwards."
        )
        if st.button(f"Delete {count}", key="data_clear_versions", icon=":material/delete:"):
            try:
                versions.remove(info.name, numbers)
            except LabError as error:
                st.error(plain(str(error)), icon=":material/error:")
                return
            st.rerun()
