"""The Home page: the ready starts, the newest runs, and what there is to do."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import streamlit as st

from lab import jobs
from lab.api.panels import Panel
from lab.charts.sparkline import accuracy_sparkline
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.examples import examples
from lab.errors import LabError, PlaceLostError
from lab.experiments.starts import STARTS, Start
from lab.home import lab_home
from lab.progress import Cancel, Report, check_cancel
from lab.runs.queue import queue
from lab.runs.status import ENDED
from lab.runs.store import RunRow, store
from lab.ui.live.panel import live_panel
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.busy import machine_is_busy
from lab.ui.widgets.pictures import jpeg
from lab.ui.words import plain, status_badge
from lab.words import percent, plural

PICTURES = 6
"""Pictures on a start's card."""
NEWEST = 4
"""Runs on the page."""
PATIENCE = 0.3
"""Seconds that the page waits for the times before it is drawn without them."""


@dataclass(frozen=True)
class StartTime:
    """What a start will take, in words."""

    time: str
    """Such as "about 20 s"; "" where nothing is known."""
    source: str
    network: str
    """The network's title."""
    is_guess: bool
    """Whether nothing was measured here: then it is counted."""
    missing: str
    """What it takes to get the network's weights, such as "14 MB download"; "" when they are here,
    or when that is asked of the machine that trains."""


# --- the starts ---------------------------------------------------------------------------------
def draw_cards() -> None:
    """Draws a card for each ready start."""
    chosen = {start.key: _dataset(start) for start in STARTS}
    job = _times({key: info.name for key, info in chosen.items() if info.usable})
    times: dict[str, StartTime] = job.result or {}
    runs = store().runs(status="completed")
    with st.grid(3, min_column_width=280, gap="medium"):
        for start in STARTS:
            with st.container(border=True, height="stretch"):
                _draw_card(start, chosen[start.key], times.get(start.key), runs)
    # Without them yet: the page is drawn again once they are there.
    if job.active and live_panel(partial(_counting_panel, job.id), key="home_times", live=True):
        st.rerun()


def _dataset(start: Start) -> DatasetInfo:
    """Returns the first data set of the start that is on this machine, else the first one."""
    infos = [catalog.describe(name) for name in start.datasets]
    return next((info for info in infos if info.usable), infos[0])


def _draw_card(
    start: Start, info: DatasetInfo, time: StartTime | None, runs: Sequence[RunRow]
) -> None:
    st.subheader(f"{start.icon} {start.title}", anchor=False)
    st.html(_strip(info.name, info.content_hash))
    st.markdown(start.story)
    _draw_curve(start, info, runs)
    facts = [info.title]
    if time is not None:
        facts = [time.network, *facts]
        if time.missing:
            facts.append(f"weights: {time.missing}")
    st.caption(" · ".join(facts))
    with st.container(horizontal=True, vertical_alignment="center"):
        if info.usable and st.button(
            "Start", key=f"home_start_{start.key}", icon=":material/play_arrow:", type="primary"
        ):
            _begin(start, info.name)
        if time is not None and time.time:
            st.markdown(
                f":material/timer: {time.time}",
                width="content",
                help=f"Estimated {time.source}.",
            )
    wanted = catalog.describe(start.datasets[0])
    if not wanted.usable:
        st.page_link(
            "pages/data.py",
            label=f"Get {wanted.title}",
            icon=":material/download:",
            query_params={"dataset": wanted.name},
            help="The real photographs, in place of the drawings." if info.usable else None,
        )


def _draw_curve(start: Start, info: DatasetInfo, runs: Sequence[RunRow]) -> None:
    """Draws the newest own run of this start, else what was measured elsewhere."""
    of_start = (r for r in runs if r.dataset == info.name and start.is_like(r.settings))
    own = next(of_start, None)
    if own is not None and (curve := _run_curve(own, "your last run")):
        st.html(curve)
        return
    expected = start.expected.get(info.name)
    if expected is not None:
        classes = len(info.class_names)
        st.html(_curve(expected.validation, classes, "to expect", result=expected.test))


def _begin(start: Start, dataset: str) -> None:
    try:
        from lab.training.plan import resolve

        config = start.suited_config(dataset)
        run_id = queue().submit(resolve(config))
    except LabError as error:
        st.error(plain(str(error)))
        return
    fill_form(config)
    look_at(run_id)
    st.switch_page("pages/train.py", query_params={"run": run_id})


# --- their times --------------------------------------------------------------------------------
def _times(datasets: dict[str, str]) -> jobs.JobView:
    """Returns the job that counts the starts' times; its result is start's key -> StartTime, empty
    while nobody can say where runs train.

    In a job: the first one imports torch, for which the first page of a server does not wait.
    `datasets`: the start's key -> its data set.
    """
    newest = "".join(run.id for run in store().runs(status="completed", limit=1))
    key = f"home-times:{lab_home()}:{newest}:{sorted(datasets.items())}"
    job = jobs.latest(key)
    if job is not None and _can_be_measured(job):  # the machine was busy before
        key += ":measured"
        job = jobs.latest(key)
    if job is None or job.result == {}:  # a cluster did not answer
        job = jobs.start("view", "Times of the starts", partial(_count, datasets), key=key)
        job = jobs.wait(job.id, timeout=PATIENCE) or job
    return job


def _can_be_measured(job: jobs.JobView) -> bool:
    from lab.training.devices import trains_elsewhere

    guessed = any(time.is_guess for time in (job.result or {}).values())
    return guessed and not trains_elsewhere() and not machine_is_busy()


def _counting_panel(job_id: str) -> Panel:
    job = jobs.get(job_id)
    return {"state": "counting" if job is not None and job.active else "counted", "blocks": []}


def _count(datasets: dict[str, str], report: Report, cancel: Cancel) -> dict[str, StartTime]:
    # Runs in a job's thread: must not call st.*.
    from lab.experiments.estimates import (
        estimate,
        measure_speeds,
        measured_speeds,
        past_runs,
        rough_time,
    )
    from lab.models.architecture import ARCHITECTURES
    from lab.training.devices import resolve_device, trains_elsewhere
    from lab.training.plan import missing_here

    times = {}
    for start in STARTS:
        if start.key not in datasets:
            continue
        check_cancel(cancel, "Counting the starts' times")
        config = start.suited_config(datasets[start.key])
        spec = ARCHITECTURES.get(config.architecture)
        try:
            device = resolve_device(config)
        except PlaceLostError:  # a cluster that does not answer: the next look asks again
            return {}
        past = past_runs(store())
        guess = estimate(config, past=past, measured=measured_speeds(device), device=device)
        busy = machine_is_busy()
        is_rough = guess is not None and guess.basis == "counted"
        if is_rough and not trains_elsewhere() and not busy:
            measured = measure_speeds([spec.name], device=device, progress=report, cancel=cancel)
            guess = estimate(config, past=past, measured=measured, device=device)
        is_guess = guess is not None and guess.basis == "counted"
        waits = busy and not trains_elsewhere()
        caution = (" once the machine is free" if waits else ", a guess") if is_guess else ""
        times[start.key] = StartTime(
            time=rough_time(guess.seconds) + caution if guess else "",
            source=guess.source if guess else "",
            network=spec.title,
            is_guess=is_guess,
            missing=missing_here(spec) if config.pretrained else "",
        )
    return times


# --- the newest runs ----------------------------------------------------------------------------
def draw_newest() -> None:
    """Draws the newest runs that have ended; nothing while there are none."""
    runs = store().runs(status=ENDED, limit=NEWEST)
    if not runs:
        return
    st.header("Your newest runs", anchor=False)
    with st.grid(NEWEST, min_column_width=220, gap="medium"):
        for run in runs:
            with st.container(border=True, height="stretch", gap="small"):
                st.html(_run_curve(run, plural(run.epoch, "epoch")) or _strip(run.dataset, ""))
                if run.status != "completed":
                    status_badge(run.status)
                st.page_link(
                    "pages/train.py",
                    label=plain(run.name),
                    icon=":material/monitoring:",
                    query_params={"run": run.id},
                )


def _run_curve(run: RunRow, words: str) -> str:
    """Returns the run's curve as `_curve` does; "" without an epoch of its own, as of a run that
    was to go on from another one and was stopped at once."""
    epochs = store().epochs(run.id)
    values = epochs["val_accuracy"].tolist() if len(epochs) else []
    return _curve(values, len(run.class_names), words, result=run.test_accuracy)


def _curve(
    values: Sequence[float], classes: int, words: str, *, result: float | None = None
) -> str:
    """Returns the validation accuracy after each epoch as HTML, with what was reached and `words`
    beside it; "" without an epoch. `result` is the test accuracy, where it is known."""
    drawing = accuracy_sparkline(values, guessing=1 / max(1, classes))
    if not drawing:
        return ""
    reached = percent(values[-1] if result is None else result)
    alt = f"Validation accuracy over {plural(len(values), 'epoch')}; the dashed line is guessing"
    return (
        '<div style="display:flex;align-items:center;gap:12px">'
        f'<img src="{_svg_address(drawing)}" alt="{alt}" style="flex:1;min-width:0;height:64px">'
        f'<div style="line-height:1.3"><strong style="font-size:1.25rem">{reached}</strong><br>'
        f"<small>{words}</small></div></div>"
    )


# --- what there is to do ------------------------------------------------------------------------
def draw_ways() -> None:
    """Draws the other ways into the lab, each with a picture of what it is."""
    st.header("Or go your own way", anchor=False)
    pictures = _ways_pictures()
    ways = (
        ("data", "Your own pictures", "photo_library", _mosaic(pictures)),
        ("train", "Every setting", "tune", _layers(pictures)),
        ("experiments", "One question, a few runs", "science", _two_curves()),
        ("inspect", "Where a network looks", "frame_inspect", _looking(pictures)),
        ("classify", "What is on your picture", "image_search", _answer(pictures)),
    )
    with st.grid(len(ways), min_column_width=180, gap="medium"):
        for page, title, icon, drawing in ways:
            with st.container(border=True, height="stretch", gap="small"):
                st.html(drawing)
                st.page_link(f"pages/{page}.py", label=title, icon=f":material/{icon}:")


def _ways_pictures() -> list[str]:
    name = next(name for start in STARTS for name in start.datasets if "drawn" in name)
    return _addresses(name, catalog.describe(name).content_hash)


def _box(inside: str) -> str:
    """Returns a drawing of 160 x 80 units as HTML; what it shows stands below it as text."""
    drawing = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 80">{inside}</svg>'
    return f'<img src="{_svg_address(drawing)}" alt="" style="width:100%;height:96px">'


def _picture(address: str, x: float, y: float, side: float) -> str:
    return f'<image href="{address}" x="{x}" y="{y}" width="{side}" height="{side}"/>'


def _mosaic(pictures: Sequence[str]) -> str:
    return _box(
        "".join(
            _picture(each, 22 + 40 * (i % 3), 1 + 40 * (i // 3), 38)
            for i, each in enumerate(pictures[:6])
        )
    )


def _layers(pictures: Sequence[str]) -> str:
    heights = (56, 44, 32, 20)
    blocks = "".join(
        f'<rect x="{62 + 22 * i}" y="{40 - h / 2}" width="14" height="{h}" rx="3" '
        f'fill="#2f6fb0" opacity="{1 - 0.15 * i:.2f}"/>'
        for i, h in enumerate(heights)
    )
    return _box(_picture(pictures[0], 4, 16, 48) + blocks)


def _two_curves() -> str:
    return _box(
        '<path d="M10 70 C40 20 80 14 150 10" fill="none" stroke="#2f6fb0" stroke-width="4"/>'
        '<path d="M10 70 C50 60 90 48 150 42" fill="none" stroke="#d95f02" stroke-width="4" '
        'stroke-dasharray="7 5"/>'
        '<path d="M8 4 V74 H154" fill="none" stroke="#7d8590" stroke-width="2"/>'
    )


def _looking(pictures: Sequence[str]) -> str:
    return _box(
        _picture(pictures[1], 42, 2, 76)
        + '<circle cx="80" cy="34" r="20" fill="none" stroke="#ffffff" stroke-width="5"/>'
        '<circle cx="80" cy="34" r="20" fill="none" stroke="#d95f02" stroke-width="3"/>'
    )


def _answer(pictures: Sequence[str]) -> str:
    return _box(
        _picture(pictures[2], 4, 6, 68)
        + '<rect x="84" y="22" width="66" height="14" rx="4" fill="#2f6fb0"/>'
        '<rect x="84" y="46" width="14" height="14" rx="4" fill="#7d8590"/>'
    )


# --- pictures -----------------------------------------------------------------------------------
def _strip(name: str, content_hash: str) -> str:
    """Returns a row of the data set's pictures as HTML; an empty frame when it is not here."""
    images = "".join(
        f'<img src="{address}" alt="" style="flex:1 1 0;min-width:0;width:0;aspect-ratio:1;'
        'border-radius:6px;object-fit:cover">'
        for address in _addresses(name, content_hash)
    )
    empty = '<div style="flex:1;height:3rem;border:1px dashed #7d8590;border-radius:6px"></div>'
    return f'<div style="display:flex;gap:6px">{images or empty}</div>'


def _svg_address(drawing: str) -> str:
    """Returns an SVG as the address of an image: st.html takes no <svg>."""
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode()


@st.cache_data(max_entries=32, show_spinner=False)
def _addresses(name: str, content_hash: str) -> list[str]:
    """Returns a few pictures as data addresses; the hash has a changed set read again."""
    try:
        shown = examples(name, PICTURES)
    except LabError:
        return []
    kind = "data:image/jpeg;base64,"
    return [kind + base64.b64encode(jpeg(pixels)).decode() for _, pixels in shown]
