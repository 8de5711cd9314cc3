"""The Take it away tab of a run: a box a format, with what was measured and the download."""

from __future__ import annotations

from urllib.parse import quote

import streamlit as st

from lab import jobs
from lab.errors import LabError
from lab.export.exporting import Export, job_key, kept_export, start_export
from lab.export.formats import EXPORTS, ExportFormat
from lab.people import current_person
from lab.runs.store import RunRow, store
from lab.training.checkpoint import checkpoints
from lab.ui.widgets.background import draw_job
from lab.ui.widgets.checkpoints import CheckpointChoice, choose_checkpoint
from lab.ui.words import plain
from lab.words import duration, size


def draw_take_away(run: RunRow) -> None:
    """Draws the whole tab."""
    names = checkpoints(store().folder(run.id))
    if not names:
        st.info(
            "This run has no checkpoint yet, so there is nothing to take away.",
            icon=":material/hourglass_empty:",
        )
        return
    st.caption("Files that work without the lab. Each is made once, in the background.")
    choice = choose_checkpoint(run, names, key="export_checkpoint", width=260)
    with st.grid(3, min_column_width=300, gap="small"):
        for entry in EXPORTS:
            with st.container(border=True, key=f"export_{entry.name}", height="stretch"):
                _draw_format(entry, choice)
        if current_person().is_admin:
            with st.container(border=True, key="export_hub", height="stretch"):
                _draw_hub(choice)


def _draw_format(entry: ExportFormat, choice: CheckpointChoice) -> None:
    run = choice.run
    st.markdown(f":material/{entry.icon}: **{entry.title}**")
    st.caption(entry.about)
    if reason := entry.available(run):
        st.caption(f":material/block: {plain(reason)}")
        return
    job = jobs.latest(job_key(run, entry.name, choice.checkpoint))
    if job is not None and job.active:
        key = f"export_{entry.name}_job"
        draw_job(job.id, key=key, title=entry.title, cancellable=True)
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
    export = kept_export(run, entry.name, checkpoint=choice.checkpoint)
    if export is None:
        _button(entry, choice, "Make it", "play_arrow")
        return
    for sentence in export.written.sentences:
        st.caption(plain(sentence))
    with st.container(horizontal=True, vertical_alignment="center"):
        _draw_download(entry, choice, export)
        _button(entry, choice, "Make it again", "replay")


def _draw_download(entry: ExportFormat, choice: CheckpointChoice, export: Export) -> None:
    # Not Streamlit's own button, which holds the whole file in memory.
    st.link_button(
        f"Download, {size(export.bytes)}",
        f"api/runs/{quote(choice.run.id)}/exports/{entry.name}"
        f"?checkpoint={quote(choice.checkpoint)}",
        key=f"export_{entry.name}_download",
        icon=":material/download:",
        type="primary",
        help=f"Made in {duration(export.seconds)}.",
    )


def _draw_hub(choice: CheckpointChoice) -> None:
    """Draws the box that writes the run to the Hugging Face Hub."""
    from lab.export.hub import job_key as key_of  # late: the card brings much

    run = choice.run
    st.markdown(":material/hub: **Hugging Face Hub**")
    st.caption(
        "Weights and lab card as a repository of your own there, without any picture. This "
        "machine's token is used (`hf auth login`)."
    )
    job = jobs.latest(key_of(run))
    if job is not None and job.active:
        draw_job(job.id, key="export_hub_job", title=job.title, cancellable=True)
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
    if job is not None and job.state == "done":
        st.success(f"Written: {plain(job.result.address)}", icon=":material/check:")
        st.link_button("Open it on the hub", job.result.url, icon=":material/open_in_new:")
    st.text_input("Repository", key=f"export_hub_repository_{run.id}", placeholder="owner/name")
    st.checkbox(
        "For everybody",
        key=f"export_hub_public_{run.id}",
        help="A new repository is private otherwise. One that is there stays as it is.",
    )
    st.button(
        "Write it there",
        key="export_hub_push",
        icon=":material/upload:",
        on_click=_push,
        args=(choice,),
    )


def _push(choice: CheckpointChoice) -> None:
    from lab.export.hub import start_push

    state = st.session_state
    try:
        start_push(
            choice.run,
            state[f"export_hub_repository_{choice.run.id}"],
            checkpoint=choice.checkpoint,
            public=state[f"export_hub_public_{choice.run.id}"],
        )
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")


def _button(entry: ExportFormat, choice: CheckpointChoice, label: str, icon: str) -> None:
    st.button(
        label,
        key=f"export_{entry.name}_make",
        icon=f":material/{icon}:",
        type="tertiary" if icon == "replay" else "secondary",
        on_click=_start,
        args=(choice, entry.name),
    )


def _start(choice: CheckpointChoice, name: str) -> None:
    try:
        start_export(choice.run, name, checkpoint=choice.checkpoint)
    except LabError as error:
        st.toast(plain(str(error)), icon=":material/error:")
