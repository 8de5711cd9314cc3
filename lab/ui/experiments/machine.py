"""How long a recipe would take where runs train, and the offer to measure this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from lab import jobs
from lab.config import RunConfig
from lab.experiments.estimates import (
    Estimate,
    PastRun,
    Speed,
    estimate,
    measure_speeds,
    measured_speeds,
    past_runs,
    rough_time,
)
from lab.experiments.recipes.recipe import SIZES, Prepared, Size
from lab.progress import Cancel, Report
from lab.runs.store import store
from lab.training.devices import resolve_device, trains_elsewhere
from lab.ui.widgets.background import computed
from lab.ui.words import plain

MEASURE = "measure-speeds"

PAST_RUNS = 30
"""Completed runs that estimates are made from, the newest."""

Times = Sequence[Estimate | None]


@dataclass(frozen=True)
class Machine:
    """What time estimates are made from, read once for all cards."""

    device: str
    past: Sequence[PastRun]
    measured: Mapping[str, Speed]

    def times(self, runs: Iterable[Prepared]) -> Times:
        return [
            estimate(run.config, past=self.past, measured=self.measured, device=self.device)
            for run in runs
        ]


def this_machine() -> Machine:
    device = resolve_device(RunConfig())
    completed = store().runs(status="completed")[:PAST_RUNS]
    past = _past_runs(store().url, tuple(run.id for run in completed))
    return Machine(device, past, measured_speeds(device))


@st.cache_data(max_entries=4, show_spinner=False)
def _past_runs(url: str, run_ids: tuple[str, ...]) -> list[PastRun]:
    """Reads the epochs of the completed runs with these ids, which do not change any more."""
    return past_runs(store(), at_most=len(run_ids))


def time_words(times: Times) -> str:
    """Returns "about 20 s" for all runs together; empty where one of them is not known."""
    seconds = [time.seconds for time in times if time is not None]
    return rough_time(sum(seconds)) if len(seconds) == len(times) else ""


def is_rough(times: Times) -> bool:
    """Whether they go by another machine."""
    return any(time is None or time.basis == "counted" for time in times)


def sources_words(times: Mapping[Size, Times]) -> str:
    """Tells what the times of both sizes are estimated from."""
    sizes_by_basis: dict[str, list[str]] = {}
    for size in SIZES[::-1]:
        bases = dict.fromkeys(time.source for time in times[size] if time is not None)
        basis = "not known yet" if None in times[size] else " and ".join(bases)
        sizes_by_basis.setdefault(basis, []).append("quick" if size == "quick" else "full size")
    if len(sizes_by_basis) == 1:
        return f"Times are estimated {next(iter(sizes_by_basis))}."
    parts = [f"{sizes[0]} {basis}" for basis, sizes in sizes_by_basis.items()]
    return f"Times are estimated: {'; '.join(parts)}."


def draw_measuring(device: str, *, rough: bool) -> None:
    """Offers to time the networks on this machine, where runs train on it and estimates are only
    rough."""
    if trains_elsewhere():
        return
    job = jobs.latest(MEASURE)
    if job is not None and job.active:
        computed(MEASURE, job.title, _measure(device))
        return
    if job is not None and job.state == "failed":
        st.error(plain(job.message), icon=":material/error:")
    if not rough:
        return
    busy = bool(store().runs(status=("running", "preparing")))
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(
            "Measure this machine",
            key="experiments_measure",
            icon=":material/timer:",
            disabled=busy,
            help="A run is training; beside it the measurement would be wrong." if busy else None,
        ):
            jobs.start("measure", "Timing the networks", _measure(device), key=MEASURE)
            st.rerun()
        st.caption(
            "Some times are rough: they go by another machine. Timing a few steps of each network "
            "here takes about a minute."
        )


def _measure(device: str) -> jobs.Work:
    def work(report: Report, cancel: Cancel) -> int:
        return len(measure_speeds(device=device, progress=report, cancel=cancel))

    return work
