"""Wrong answers put right: the picture's class, and the data set that it joins."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from lab import jobs
from lab.data import catalog
from lab.data.additions import NewPicture, add_pictures, new_dataset
from lab.progress import Cancel, Report
from lab.ui.classify.answers import ClassifyState
from lab.ui.classify.uploads import Upload, UploadList, short_name
from lab.ui.classify.view import thumb
from lab.ui.widgets.background import draw_job
from lab.ui.widgets.checkpoints import CheckpointChoice
from lab.ui.words import plain
from lab.words import probability

NEW_SET = "A new data set …"
SHOWN = 12
_JOB = "classify_added_job"
_ADDED = "classify_added"
"""The session's keys of the last job that added pictures, and of upload -> its job."""


def draw_put_right(
    state: ClassifyState, pictures: UploadList, choices: Sequence[CheckpointChoice]
) -> None:
    """Draws, for each answered picture, the box that says what it is, the least sure answer first;
    and the button that adds those to a data set of one's own."""
    choice = choices[0]
    answered = [
        (upload, answer)
        for upload in pictures.uploads
        if (answer := state.answers.get(state.key(upload, choice))) is not None
        and not _was_added(upload)
    ]
    if not answered:
        if pictures.uploads:
            _draw_outcome()  # of the last one that was put right
        return
    answered.sort(key=lambda pair: float(pair[1].probabilities.max()))
    with st.expander(
        "Put answers right and add the pictures to a data set",
        icon=":material/fact_check:",
        key="classify_put_right",
        on_change="rerun",
    ) as panel:
        if not panel.open:
            return
        st.caption(
            "Say what each picture is; those with a class are added. The least sure answers come "
            "first: the network learns most from these."
        )
        if len(answered) > SHOWN:
            st.caption(f"The {SHOWN} least sure of {len(answered):,}. Remove or add them for more.")
        chosen: list[tuple[Upload, str]] = []
        for upload, answer in answered[:SHOWN]:
            with st.container(horizontal=True, vertical_alignment="center"):
                thumb(state, upload)
                st.markdown(
                    f"**{short_name(upload.name)}**  \nanswered {plain(answer.predicted_class)}, "
                    f"{probability(float(answer.probabilities.max()))}",
                    width=200,
                )
                class_name = st.selectbox(
                    f"What is on {upload.name}?",  # collapsed, so it is read as it stands
                    answer.class_names,
                    index=None,
                    placeholder="This is a …",
                    accept_new_options=True,
                    key=f"classify_right_{upload.id}",
                    label_visibility="collapsed",
                    width=220,
                )
            if class_name and class_name.strip():
                chosen.append((upload, class_name.strip()))
        _draw_target(chosen, choice)
        _draw_outcome()


def _draw_target(chosen: Sequence[tuple[Upload, str]], choice: CheckpointChoice) -> None:
    own = {
        info.name: info.title
        for info in catalog.list_datasets()
        if info.state == catalog.READY and not info.drawn
    }
    targets = [*own, NEW_SET]
    trained = choice.run.dataset
    with st.container(horizontal=True, vertical_alignment="bottom"):
        target = st.selectbox(
            "Data set",
            targets,
            index=targets.index(trained) if trained in own else 0,
            format_func=lambda name: own.get(name, name),
            key="classify_right_target",
            width=260,
        )
        title = ""
        if target == NEW_SET:
            title = st.text_input("Its name", key="classify_right_title", max_chars=100).strip()
        count = len(chosen)
        pressed = st.button(
            f"Add {count:,} picture{'s' * (count != 1)}",
            key="classify_right_add",
            type="primary",
            icon=":material/add_photo_alternate:",
            disabled=not count or (target == NEW_SET and not title),
        )
    st.caption(
        "A new set needs two classes and two pictures of each; a part of them is set apart for the "
        "test."
        if target == NEW_SET
        else "They join the training pictures, as a new version: in the test set, pictures chosen "
        "by a network's answers would make its figure a lie."
    )
    if pressed:
        _start(target, title, chosen)
        st.rerun()


def _start(target: str, title: str, chosen: Sequence[tuple[Upload, str]]) -> None:
    added = [NewPicture(upload.name, class_name, upload.data) for upload, class_name in chosen]

    def work(progress: Report, cancel: Cancel) -> dict[str, str]:
        # Runs in a job's thread: must not call st.*.
        if target == NEW_SET:
            name = new_dataset(title, added, progress=progress, cancel=cancel)
            info = catalog.describe(name)
            total = sum(info.split_totals.values())
            return {
                "dataset": name,
                "title": info.title,
                "sentence": f"{info.title} is made: {total:,} pictures.",
            }
        found = add_pictures(
            target, added, reason="Put right on Classify", progress=progress, cancel=cancel
        )
        title_now = catalog.describe(target).title
        return {"dataset": target, "title": title_now, "sentence": found.sentence}

    job = jobs.start("dataset", "Adding pictures", work)
    jobs.wait(job.id, timeout=1.0)
    st.session_state[_JOB] = job.id
    st.session_state.setdefault(_ADDED, {}).update({upload.id: job.id for upload, _ in chosen})


def _was_added(upload: Upload) -> bool:
    """Whether the picture joined a data set, or is about to; after a failure it has not."""
    job_id = st.session_state.get(_ADDED, {}).get(upload.id)
    job = None if job_id is None else jobs.get(job_id)
    return job_id is not None and (job is None or job.state not in ("failed", "cancelled"))


def _draw_outcome() -> None:
    job = jobs.get(st.session_state.get(_JOB, ""))
    if job is None:
        return
    if job.active:
        draw_job(job.id, key="classify_adding", title=job.title)
    elif job.state == "done":
        st.success(plain(job.result["sentence"]), icon=":material/check_circle:")
        st.page_link(
            "pages/data.py",
            label="Look at the data set",
            icon=":material/photo_library:",
            query_params={"dataset": job.result["dataset"]},
        )
    else:
        st.error(plain(job.message), icon=":material/error:")
