"""What the lab keeps on the disk: a bar, a line for each part, a button for what can go."""

from __future__ import annotations

import shutil

import streamlit as st

from lab.data.person_quota import QUOTA, use_of
from lab.errors import LabError
from lab.home import lab_home, quota_bytes
from lab.people import current_person, has_sign_in
from lab.progress import Cancel, Report
from lab.runs.storage import Part, clean, usage, use_of_all
from lab.runs.store import store
from lab.training.devices import trains_elsewhere
from lab.ui.widgets.background import computed
from lab.ui.words import plain
from lab.words import size

COLOURS = (
    *("#2f6fb0", "#d95f02", "#1b9e77", "#7570b3"),
    *("#66a61e", "#e7298a", "#a6761d", "#7d8590"),
)
"""One for each part; a test opens the page."""
_ROUND = "storage_round"


def draw_storage() -> None:
    """Draws the whole page."""
    if not current_person().is_admin:
        _draw_own()
        return
    number = st.session_state.setdefault(_ROUND, 0)
    parts = computed(f"storage:{lab_home()}:{number}:{id(st.session_state)}", "Counting", _count)
    if parts is None:
        return
    total, quota, free = sum(p.bytes for p in parts), quota_bytes(), _free()
    with st.grid("auto", min_column_width=160, gap="small"):
        st.metric("The lab's folder", size(total), border=True)
        st.metric("It may hold", size(quota) if quota else "no limit", border=True)
        st.metric("Free on the disk", size(free), border=True)
        st.metric("Can be cleaned", size(sum(p.clearable for p in parts)), border=True)
    if quota and total > quota:
        st.error("It holds more than it may: no run and no import starts.", icon=":material/error:")
    st.html(_bar(parts, max(total, 1)))
    for colour, part in zip(COLOURS, parts, strict=True):
        _draw_part(colour, part)
    st.caption(
        f"{plain(str(lab_home()))}. The limit is LAB_QUOTA_GB, in gigabytes; 0 is none. Runs and "
        "data sets are deleted on their own pages."
        + " The machines of the cluster keep data sets and features in folders of their own, which "
        "are not counted here." * trains_elsewhere()
    )
    if has_sign_in():
        _draw_people(number)
    with st.container(horizontal=True):
        st.page_link("pages/runs.py", label="Runs", icon=":material/history:")
        st.page_link("pages/data.py", label="Data sets", icon=":material/photo_library:")


def _draw_own() -> None:
    """Draws what a member's runs, data sets and pictures take."""
    person_id = current_person().id
    use, quota = use_of(person_id), quota_bytes(QUOTA)
    with st.grid("auto", min_column_width=160, gap="small"):
        st.metric("Yours", size(sum(use.values())), border=True)
        st.metric("You may have", size(quota) if quota else "no limit", border=True)
        for title, count in use.items():
            st.metric(title, size(count), border=True)
    if quota and sum(use.values()) > quota:
        st.error(
            "You have more than you may: no run, upload or import starts. Delete something.",
            icon=":material/error:",
        )
    st.caption(
        "To make room, delete runs and data sets of yours on their own pages. Exports of others' "
        "runs are cleaned by the teacher."
    )
    with st.container(horizontal=True):
        st.page_link("pages/runs.py", label="Runs", icon=":material/history:")
        st.page_link("pages/data.py", label="Data sets", icon=":material/photo_library:")


def _draw_people(number: int) -> None:
    """Draws what each member takes, for the teacher."""
    st.header("People", anchor=False)
    uses = computed(
        f"storage-people:{lab_home()}:{number}:{id(st.session_state)}", "Counting", _count_people
    )
    quota = quota_bytes(QUOTA)
    if uses:
        titles = next(iter(uses.values()))
        shown = [{"Person": name, "All": size(sum(use.values()))} for name, use in uses.items()]
        for row, use in zip(shown, uses.values(), strict=True):
            row.update({title: size(use[title]) for title in titles})
        st.dataframe(shown, hide_index=True, alt=f"What each of {len(shown)} people takes.")
    elif uses is not None:
        st.caption("Nobody has anything here yet.")
    st.caption(
        f"Each may have {size(quota) if quota else 'as much as there is room for'} "
        f"({QUOTA[0]}, in gigabytes; 0 is no limit). It does not hold for you."
    )


def _count_people(report: Report, cancel: Cancel) -> dict[str, dict[str, int]]:
    return use_of_all(store())


def _count(report: Report, cancel: Cancel) -> list[Part]:
    return usage(store())


def _free() -> int:
    return shutil.disk_usage(lab_home()).free


def _bar(parts: list[Part], whole: int) -> str:
    spans = "".join(
        f'<span style="width:{100 * part.bytes / whole:.2f}%;background:{colour}"></span>'
        for colour, part in zip(COLOURS, parts, strict=True)
    )
    return (
        '<div role="img" aria-label="How much each part takes" style="display:flex;height:18px;'
        f'border-radius:9px;overflow:hidden;background:rgb(128 128 128 / 20%)">{spans}</div>'
    )


def _draw_part(colour: str, part: Part) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.html(
                f'<span style="display:block;width:14px;height:14px;border-radius:4px;'
                f'background:{colour}"></span>',
                width="content",
            )
            st.markdown(f"**{part.title}** · {size(part.bytes)}", width="stretch")
            if part.help and st.button(
                f"Clean {size(part.clearable)}" if part.clearable else "Nothing to clean",
                key=f"storage_{part.name}",
                icon=":material/mop:",
                disabled=not part.clearable,
            ):
                _question(part)
        if part.help:  # below: beside the button it would be a narrow column on a phone
            st.caption(part.help)


@st.dialog("Clean up")
def _question(part: Part) -> None:
    """Asks once more before `part` is cleaned."""
    st.markdown(f"**{part.title}**: {size(part.clearable)} go for good. {part.help}")
    if st.button("Clean", type="primary", key="storage_sure", icon=":material/mop:"):
        try:
            freed = clean(store(), part.name)
        except LabError as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.toast(f"{size(freed)} freed.", icon=":material/check:")
        st.session_state[_ROUND] += 1
        st.rerun()
