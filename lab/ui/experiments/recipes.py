"""The recipes: the documents' experiments by question, each with its buttons and its results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import streamlit as st

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog
from lab.errors import LabError, NotFoundError
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
from lab.experiments.recipes.book import DOCUMENTS, QUESTIONS, all_recipes, recipe
from lab.experiments.recipes.recipe import (
    SIZES,
    Prepared,
    Recipe,
    Size,
    dataset_choices,
    network_choices,
    prepare,
    weights_to_get,
)
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_ready
from lab.progress import Cancel, Report
from lab.runs.queue import queue
from lab.runs.store import store
from lab.training.plan import resolve, resolve_device
from lab.ui.experiments.recipe_results import draw_results
from lab.ui.state import fill_form, look_at
from lab.ui.widgets.background import computed

ONE = "recipe"
"""The URL parameter of a single recipe: /experiments?recipe=cd-deep."""

MEASURE = "measure-speeds"


@dataclass(frozen=True)
class _Machine:
    """What time estimates are made from, read once for all cards."""

    device: str
    past: Sequence[PastRun]
    measured: Mapping[str, Speed]

    def estimate(self, prepared: Prepared) -> Estimate | None:
        return estimate(prepared.config, past=self.past, measured=self.measured, device=self.device)


def draw_recipes() -> None:
    """Draws all recipes, grouped by question; or the one that the URL names."""
    shown = _shown_recipes()
    with st.spinner("Looking at this machine"):  # the first time the engine is loaded for that
        machine = _machine()
    rough = False
    for question in QUESTIONS:
        cards = [r for r in shown if r.question == question.key]
        if not cards:
            continue
        st.subheader(question.title, anchor=question.key)
        st.markdown(question.answer)
        for each in cards:
            with st.container(border=True, key=f"experiments_card_{each.id}"):
                rough |= _card(each, machine)
    _draw_measuring(machine.device, rough=rough)


def _shown_recipes() -> tuple[Recipe, ...]:
    one = st.query_params.get(ONE)
    if one:
        try:
            shown: tuple[Recipe, ...] = (recipe(one),)
        except NotFoundError as error:
            st.error(str(error), icon=":material/link_off:")
            return all_recipes()
        if st.button("Show all recipes", key="experiments_all", icon=":material/list:"):
            del st.query_params[ONE]
            st.rerun()
        return shown
    questions = st.pills(
        "Questions",
        [q.key for q in QUESTIONS],
        format_func=lambda key: next(q.title for q in QUESTIONS if q.key == key),
        selection_mode="multi",
        key="experiments_questions",
        persist_state="session",
        help="Nothing chosen: all of them.",
    )
    return tuple(r for r in all_recipes() if not questions or r.question in questions)


def _machine() -> _Machine:

    device = resolve_device(RunConfig())
    return _Machine(device, past_runs(store()), measured_speeds(device))


def _card(each: Recipe, machine: _Machine) -> bool:
    """Draws a recipe; returns whether its time estimates are only rough."""
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown(f"#### {each.title}")
        st.markdown(each.story)
        st.markdown("**Watch for**\n" + "\n".join(f"- {line}" for line in each.watch_for))
        with st.expander("What is different here from the document", icon=":material/difference:"):
            _draw_differences(each)
    with right:
        st.caption(f"Recipe `{each.id}`, from document {each.document}: {_document(each)}")
        st.markdown(f"**The document reports:** {_quoted(each.reported)}")
        dataset, network = _choose(each)
        runs = {size: prepare(each, size, dataset=dataset, network=network) for size in SIZES}
        _draw_missing(each, runs["full"])
        times = {size: [machine.estimate(run) for run in runs[size]] for size in SIZES}
        with st.container(horizontal=True):
            _queue_button(each, "quick", runs["quick"], times["quick"])
            _queue_button(each, "full", runs["full"], times["full"])
            _open_in_train(each, runs["full"])
        _draw_times(times)
    draw_results(each)
    return any(time is None or time.basis == "counted" for size in SIZES for time in times[size])


def _document(each: Recipe) -> str:
    return DOCUMENTS[each.document]


def _draw_differences(each: Recipe) -> None:
    quick = (
        "The quick size takes fewer and smaller pictures and fewer epochs. It shows what happens; "
        "its results are not to be compared with the document's."
    )
    st.markdown("\n".join(f"- {line}" for line in (*each.differences, quick)))


def _quoted(text: str) -> str:
    return text.replace("->", "→")


def _choose(each: Recipe) -> tuple[str, str | None]:
    """Returns the data set and the network to run it with; draws select boxes where it can."""
    infos = dataset_choices(each)
    names = [info.name for info in infos] or [each.datasets[0]]
    dataset, network = names[0], None
    networks = network_choices(each)
    with st.container(horizontal=True):
        if len(names) > 1:
            titles = {info.name: info.title for info in infos}
            dataset = st.selectbox(
                "Pictures",
                names,
                format_func=lambda name: titles[name],
                key=f"experiments_data_{each.id}",
                persist_state="session",
                width=260,
            )
        if networks:
            network = st.selectbox(
                "Network",
                networks,
                format_func=lambda name: _network_title(each, name),
                key=f"experiments_network_{each.id}",
                persist_state="session",
                width=340,
                help="Networks whose ImageNet weights are on this machine come first; another "
                "one's are downloaded when its run starts.",
            )
    return dataset, network


def _network_title(each: Recipe, name: str) -> str:

    spec = ARCHITECTURES.get(name)
    role = "the document's" if name == each.networks[0] else "stands in"
    return f"{spec.title} ({role}{'' if weights_ready(spec) else ', weights not here yet'})"


def _draw_missing(each: Recipe, runs: tuple[Prepared, ...]) -> None:
    own = catalog.describe(each.datasets[0])
    if not own.usable:
        st.info(
            f"The document's pictures are {own.state}: {own.title}. {own.how_to_get}"
            + (
                " Until then the drawn ones stand in; their results are not to be compared."
                if not runs[0].missing
                else ""
            ),
            icon=":material/photo_library:",
        )
        st.page_link("pages/data.py", label=f"Get {own.title}", icon=":material/download:")
    downloads = {run.download for run in runs if run.download}
    if each.networks and not downloads and (absent := weights_to_get(each.networks[0])):
        st.caption(
            f"{_title(runs[0].config.architecture)} stands in for {_title(each.networks[0])}, the "
            f"document's network. {absent} Choose it above to train it."
        )
    for download in sorted(downloads):
        st.info(download, icon=":material/weight:")


def _title(architecture: str) -> str:
    return ARCHITECTURES.get(architecture).title


def _queue_button(
    each: Recipe, size: Size, runs: tuple[Prepared, ...], times: list[Estimate | None]
) -> None:
    seconds = [time.seconds for time in times if time is not None]
    total = f", {rough_time(sum(seconds))}" if len(seconds) == len(times) else ""
    count = f" · {len(runs)} runs" if len(runs) > 1 else ""
    label = "Quick" if size == "quick" else "Full size"
    missing = next((run.missing for run in runs if run.missing), "")
    if st.button(
        f"{label}{count}{total}",
        key=f"experiments_{size}_{each.id}",
        icon=":material/bolt:" if size == "quick" else ":material/play_arrow:",
        type="primary" if size == "quick" else "secondary",
        disabled=bool(missing),
        help=missing or "Puts it in the queue; it trains in the background and can be stopped.",
    ):
        _queue(runs)


def _queue(runs: tuple[Prepared, ...]) -> None:
    """Queues all runs of the recipe together; none where one of them does not fit."""
    try:
        resolved = [(resolve(run.config), run) for run in runs]
        ids = [queue().submit(config, name=run.name, origin=run.origin) for config, run in resolved]
    except LabError as error:
        st.error(str(error), icon=":material/error:")
        return
    look_at(ids[0])
    st.toast(f"In the queue: {', '.join(run.name for run in runs)}", icon=":material/playlist_add:")
    st.rerun()


def _open_in_train(each: Recipe, runs: tuple[Prepared, ...]) -> None:
    if st.button(
        "Change its knobs first",
        key=f"experiments_form_{each.id}",
        icon=":material/tune:",
        disabled=bool(runs[0].missing),
        help="Opens the Train page with the full-size settings"
        + (f" of “{runs[0].variant.title}”." if len(runs) > 1 else "."),
    ):
        fill_form(runs[0].config)
        look_at(None)
        st.switch_page("pages/train.py")


def _draw_times(times: Mapping[Size, list[Estimate | None]]) -> None:
    """Tells what the times on the buttons are estimated from."""
    sizes_by_basis: dict[str, list[str]] = {}
    for size in SIZES[::-1]:
        unknown = None in times[size]
        bases = dict.fromkeys(time.source for time in times[size] if time is not None)
        basis = "not known yet on this machine" if unknown else " and ".join(bases)
        sizes_by_basis.setdefault(basis, []).append("quick" if size == "quick" else "full size")
    if len(sizes_by_basis) == 1:
        st.caption(f"Times are estimated {next(iter(sizes_by_basis))}.")
    else:
        parts = [f"{sizes[0]} {basis}" for basis, sizes in sizes_by_basis.items()]
        st.caption(f"Times are estimated: {'; '.join(parts)}.")


def _draw_measuring(device: str, *, rough: bool) -> None:
    """Offers to time the networks on this machine, where estimates are only rough."""
    job = jobs.latest(MEASURE)
    if job is not None and job.active:
        computed(MEASURE, job.title, _measure(device))
        return
    if job is not None and job.state == "failed":
        st.error(job.message, icon=":material/error:")
    if not rough:
        return
    busy = bool(store().runs(status=("running", "preparing")))
    st.caption(
        "Times said to be rough go by another machine. Timing a few steps of each "
        "network here takes about a minute."
    )
    if st.button(
        "Measure this machine",
        key="experiments_measure",
        icon=":material/timer:",
        disabled=busy,
        help="A run is training; beside it the measurement would be wrong." if busy else None,
    ):
        jobs.start("measure", "Timing the networks", _measure(device), key=MEASURE)
        st.rerun()


def _measure(device: str) -> jobs.Work:
    def work(report: Report, cancel: Cancel) -> int:
        return len(measure_speeds(device=device, progress=report, cancel=cancel))

    return work
