"""The Data page's tab "Check": what is wrong in a data set, with the pictures that show it.

    Run button ── a background job runs every check ── a section a check: sentence, findings, notes

A finding is drawn as its pictures side by side. Each has a menu that leaves it out, gives it
another class or moves it to another split; that only takes note of the edit
(`lab.ui.widgets.edits`), and nothing changes before a new version is saved.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.groups import Groups
from lab.data.pack import EXCLUDED, SPLIT_WORDS, SPLITS, Pack
from lab.data.quality import check as quality
from lab.data.quality.findings import CHECKS, Check, CheckResult, Finding
from lab.data.splits import Indices
from lab.ui.data.suspects import choose_judge, draw_suspects
from lab.ui.widgets import edits
from lab.ui.widgets.background import draw_job
from lab.ui.widgets.pictures import SHOWN_SIDE, enlarge
from lab.ui.words import plain
from lab.words import duration

FINDINGS_PER_PAGE = 8
MOST_SHOWN = 8
"""Pictures of one finding that are shown; a group of copies can have hundreds."""


def draw_check(info: DatasetInfo) -> None:
    """Draws the whole tab."""
    pack = catalog.open_pack(info.name)
    results = {check.name: quality.result(pack, check.name) for check in CHECKS}
    job = jobs.latest(quality.job_key(info.name))
    _draw_run(info, missing=sum(found is None for found in results.values()), job=job)
    for check in CHECKS:
        if (found := results[check.name]) is not None:
            _draw_section(info, pack, check, found)


def _draw_run(info: DatasetInfo, *, missing: int, job: jobs.JobView | None) -> None:
    """Draws the button, or the progress of the job that it started."""
    if job is not None and job.active:
        draw_job(job.id, key=f"data_check_job_{job.id}", title=job.title, cancellable=True)
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
    if job is not None and job.state == "cancelled":
        st.caption(plain(job.message))
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button(
            "Check" if missing else "Check again",
            key="data_check_run",
            type="primary" if missing else "secondary",
            icon=":material/fact_check:",
            on_click=_start,
            args=(info.name, not missing),
        )
        st.caption(
            "Looks for "
            + ", ".join(check.title[:1].lower() + check.title[1:] for check in CHECKS)
            + ". Nothing is changed.",
            width="content",
        )


def _start(name: str, again: bool) -> None:
    quality.start_checks(name, again=again)


def _draw_section(info: DatasetInfo, pack: Pack, check: Check, found: CheckResult) -> None:
    title = st.empty()
    if check.name == "label_errors":
        title.header(check.title, anchor=False)
        judged = choose_judge(info, pack, found)
        if judged is None:
            return
        found = judged
    title.header(f"{check.title} ({found.count():,})", anchor=False)
    if found.notes:
        st.markdown(plain(found.notes[0]))
    for note in found.notes[1:]:
        st.caption(plain(note))
    took = f" Took {duration(found.seconds)}." if found.seconds >= 1 else ""
    st.caption(f"{check.explain}{took}")
    if not found.findings:
        return
    kinds = [kind for kind in check.kinds if found.count(kind)]
    kind = st.segmented_control(
        "Kind",
        kinds,
        default=kinds[0],
        format_func=lambda kind: f"{check.kinds[kind]} ({found.count(kind):,})",
        key=f"data_check_{check.name}_kind_{info.name}",
        required=True,
        label_visibility="collapsed",
    )
    findings = [finding for finding in found.findings if finding.kind == kind]
    key = f"data_check_{check.name}_{kind}"
    if check.name == "label_errors":
        draw_suspects(info, pack, found, findings, key=key)
    else:
        draw_findings(info, pack, findings, key=key, groups=found.arrays.get("groups"))


def draw_findings(
    info: DatasetInfo,
    pack: Pack,
    findings: list[Finding],
    *,
    key: str,
    groups: Groups | None = None,
) -> None:
    """Draws findings page by page, each with its pictures side by side and their menus.

    `groups` (N,): each finding is one of these groups, and can be put right as a whole.
    """
    if groups is not None and len(findings) > 1:
        _draw_groups_menu(info, pack, findings, groups, key=key)
    pages = -(-len(findings) // FINDINGS_PER_PAGE)
    slot = st.container()
    page = st.pagination(pages, key=f"{key}_page_{info.name}") if pages > 1 else 1
    first = (page - 1) * FINDINGS_PER_PAGE
    with slot, st.container(horizontal=True, gap="small"):
        for finding in findings[first : first + FINDINGS_PER_PAGE]:
            with st.container(border=True, width="content"):
                _draw_finding(info, pack, finding, key=key)
                if groups is not None:
                    _draw_group_menu(info, pack, finding, groups, key=key)


def _draw_groups_menu(
    info: DatasetInfo, pack: Pack, findings: list[Finding], groups: Groups, *, key: str
) -> None:
    """Draws what can be done to all groups of copies at once, also those on other pages."""
    kept = [finding.row for finding in findings]
    rows = np.flatnonzero(np.isin(groups, groups[kept]) & (pack.split != EXCLUDED))
    others = rows[~np.isin(rows, kept)]
    actions = {f"Keep one of each, leave out {len(others):,}": others}
    for title, chosen in split_with_copies(pack, rows, groups).items():
        actions[f"Leave out the {len(chosen):,} in {title}"] = chosen
    _draw_leave_out_menu(info, f"All {len(findings):,} groups", actions, key=f"{key}_groups")


def _draw_group_menu(
    info: DatasetInfo, pack: Pack, finding: Finding, groups: Groups, *, key: str
) -> None:
    """Draws what can be done to all copies of one picture; the finding may show only some."""
    rows = np.flatnonzero((groups == groups[finding.row]) & (pack.split != EXCLUDED))
    name = plain(pack.names[finding.row].rsplit("/", 1)[-1])
    actions = {f"Keep {name}, leave out the rest": rows[rows != finding.row]}
    for title, chosen in split_with_copies(pack, rows, groups).items():
        actions[f"Leave out those in {title}"] = chosen
    label = "Both copies" if len(rows) == 2 else f"All {len(rows):,} copies"
    _draw_leave_out_menu(info, label, actions, key=f"{key}_group_{finding.row}")


def split_with_copies(pack: Pack, rows: Indices, groups: Groups) -> dict[str, Indices]:
    """Returns split title -> those of `rows` that lie there and have a copy in another split."""
    splits = {split: rows[pack.split[rows] == place] for place, split in enumerate(SPLITS)}
    found = {}
    for split, chosen in splits.items():
        elsewhere = rows[pack.split[rows] != SPLITS.index(split)]
        if len(straddling := chosen[np.isin(groups[chosen], groups[elsewhere])]):
            found[SPLIT_WORDS[split]] = straddling
    return found


def _draw_leave_out_menu(
    info: DatasetInfo, label: str, actions: dict[str, Indices], *, key: str
) -> None:
    chosen = st.menu_button(label, list(actions), key=key, icon=":material/content_copy:")
    if chosen is not None:
        edits.exclude(info.name, actions[chosen].tolist())
        st.rerun()


def _draw_finding(info: DatasetInfo, pack: Pack, finding: Finding, *, key: str) -> None:
    rows = finding.rows[:MOST_SHOWN]
    with st.container(horizontal=True, gap="small", width="content"):
        for row in rows:
            suggestion = finding.suggestion if row == finding.row else None
            draw_picture(info, pack, row, suggestion=suggestion, key=f"{key}_{finding.row}_{row}")
    if len(finding.rows) > len(rows):
        st.caption(f"And {len(finding.rows) - len(rows):,} more.")


def draw_picture(
    info: DatasetInfo, pack: Pack, row: int, *, key: str, suggestion: str | None = None
) -> None:
    """Draws one picture with its name, class and split, and the menu of what can be done to it."""
    class_name, name = info.class_names[pack.labels[row]], pack.names[row]
    split = SPLITS[pack.split[row]] if pack.split[row] < len(SPLITS) else ""
    pending = edits.pending(info.name)
    shape = "" if pack.sizes is None else "{} × {}".format(*pack.sizes[row])
    with st.container(width=SHOWN_SIDE, gap="xsmall"):
        st.image(enlarge(pack.images[row]), width=SHOWN_SIDE, alt=f"{class_name}, {name}")
        st.caption(
            f"**{plain(class_name)}** · {SPLIT_WORDS.get(split, 'left out').capitalize()}  \n"
            f"{plain(name.rsplit('/', 1)[-1])}" + f"  \n{shape}" * bool(shape)
        )
        if row in pending.exclude:
            st.badge("Left out", icon=":material/visibility_off:", color="orange")
            edits.draw_take_back(info.name, row, key=f"{key}_take_back")
            return
        if row in pending.relabel:
            st.badge(plain(pending.relabel[row]), icon=":material/label:", color="orange")
        if row in pending.move:
            title = SPLIT_WORDS[pending.move[row]].capitalize()
            st.badge(title, icon=":material/move_item:", color="orange")
        if row in pending.rows:
            edits.draw_take_back(info.name, row, key=f"{key}_take_back")
        actions = {"Leave out": partial(edits.exclude, info.name, [row])}
        if suggestion is not None and suggestion != class_name:
            actions[f"Is {plain(suggestion)}"] = partial(
                edits.relabel, info.name, [row], suggestion
            )
        for other in SPLITS:
            if other != split and (info.split_totals.get(other) or other == "train"):
                actions[f"Move to {SPLIT_WORDS[other]}"] = partial(
                    edits.move, info.name, [row], other
                )
        chosen = st.menu_button("Put right", list(actions), key=f"{key}_menu", type="tertiary")
        if chosen is not None:
            actions[chosen]()
            st.rerun()
