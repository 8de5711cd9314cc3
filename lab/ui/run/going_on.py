"""Going on from a run that has ended: more epochs, or other settings from here on."""

from __future__ import annotations

import streamlit as st

from lab.config import KNOBS, RunConfig, StartWith
from lab.errors import LabError
from lab.runs.naming import shortened
from lab.runs.queue import queue
from lab.runs.store import RunRow, store
from lab.training.plan import as_trained, resolve
from lab.ui.state import fill_form, look_at
from lab.ui.words import page_words, plain

SCHEDULES: tuple[StartWith, ...] = ("stretched", "restart", "constant")


def draw_going_on(run: RunRow) -> None:
    """Draws both ways on; nothing for a run whose settings another version wrote."""
    try:
        config = as_trained(run.config, store().folder(run.id))
    except LabError:
        return
    with st.popover("More epochs", icon=":material/forward:", key="going_on_more"):
        more = st.number_input(
            "Epochs more",
            min_value=1,
            max_value=max(1, int(KNOBS["epochs"].maximum or 1) - done(run)),
            value=min(config.epochs, 10),
            key="going_on_epochs",
        )
        schedule: StartWith = "stretched"
        if config.schedule != "constant":
            knob = KNOBS["start_with"]
            schedule = st.radio(
                KNOBS["schedule"].title,
                SCHEDULES,
                format_func=lambda choice: knob.text(choice).removeprefix("Go on, ").capitalize(),
                key="going_on_schedule",
                help=knob.help,
            )
        st.caption(
            f"A new run from epoch {done(run)} on, to epoch {done(run) + more}; this one stays as "
            "it is." + (TESTED if run.test else "")
        )
        if st.button("Go on", key="going_on_start", type="primary", icon=":material/play_arrow:"):
            _start(run, longer(run, config, int(more), schedule))
    if st.button(
        "Go on with other settings",
        key="going_on_fork",
        icon=":material/fork_right:",
        help="Opens the Train page: choose an epoch, settings, or other data for these weights.",
    ):
        fill_form(
            longer(run, config, config.epochs, "stretched"), touched=frozenset({"start_from"})
        )
        look_at(None)
        st.switch_page("pages/train.py")


TESTED = " It was tested: the new test will be one look more at the same images."


def done(run: RunRow) -> int:
    """Returns the run's last whole epoch."""
    return store().newest(run.id).epoch or run.parent_epoch or 0


def longer(run: RunRow, config: RunConfig, more: int, start_with: StartWith) -> RunConfig:
    """Returns the settings of a run that goes on for so many epochs after this one."""
    return config.changed(
        start_from=run.id, start_epoch=0, start_with=start_with, epochs=done(run) + more
    )


def _start(run: RunRow, config: RunConfig) -> None:
    """Queues the run and shows it; or says why not."""
    name = shortened(run.name.split(", on to epoch")[0], f", on to epoch {config.epochs}")
    try:
        run_id = queue().submit(resolve(config), name=name)
    except LabError as error:
        st.error(plain(page_words(str(error))), icon=":material/error:")
        return
    look_at(run_id)
    st.rerun()  # the whole page: this stands in a fragment
