"""The form of a new sweep: base settings, the knobs to vary, the choice of combinations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, cast

import streamlit as st

from lab.config import KNOBS, Knob, RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.experiments.estimates import estimate, past_runs, rough_time
from lab.experiments.sweeps.config import JUDGED_BY, METHODS, Kind, Method, SweepConfig, varies
from lab.experiments.sweeps.presets import PRESETS, SweepPreset
from lab.models.architecture import ARCHITECTURES, used_knobs
from lab.runs.store import store
from lab.training.plan import as_trained, resolve
from lab.ui.state import current_run
from lab.ui.widgets.knob_form import read_form
from lab.ui.widgets.links import AGAINST, MATTER
from lab.ui.widgets.settings_table import setting_text
from lab.ui.words import plain

KEY = "experiments_sweep"

OWN, THIS_RUN = "own", "run"

MOST_SEEDS = 10
ESTIMATED = 40
"""Combinations whose time is estimated one by one; the rest is taken to be like them."""


TWO = "two"
"""The choice beside the methods that asks whether one setting matters."""
_QUESTION = Method(
    "Does a setting matter?",
    "One setting as it is against one other value of it, both trained with the same seeds: is the "
    "difference more than chance?",
)
QUESTION_SEEDS = 5
_AGAINST = f"{KEY}_two_against"
"""In the session: a knob and the text of the value that a link wants it compared with."""


def draw_form() -> SweepConfig | None:
    """Draws the form; returns its config, None where the page tells what does not fit."""
    presets = {each.id: each for each in PRESETS}
    options = [OWN, *([THIS_RUN] if current_run() else []), *presets]
    titles = {OWN: "The settings on the Train page", THIS_RUN: "The run you look at"}
    start = st.selectbox(
        "Start from",
        options,
        format_func=lambda o: titles.get(o) or f"Ready grid: {presets[o].title}",
        key=f"{KEY}_start",
        persist_state="session",
        help="Every run of the sweep has these settings; only those chosen below differ.",
    )
    try:
        if start in presets:
            return _preset(presets[start])
        run = current_run()
        base = read_form()
        if start == THIS_RUN and run is not None:
            base = as_trained(run.config, store().folder(run.id))
        return _own(base)
    except LabError as error:
        st.error(plain(str(error)), icon=":material/error:")
        return None


def adopt_question() -> bool:
    """Fills the form from a link such as ?matter=dropout&against=0.5, once; whether there was
    one."""
    knob = st.query_params.pop(MATTER, "")
    against = st.query_params.pop(AGAINST, "")
    if knob not in KNOBS:
        return False
    st.session_state[f"{KEY}_start"] = THIS_RUN if current_run() else OWN
    st.session_state[f"{KEY}_kind"] = TWO
    st.session_state[f"{KEY}_two_knob"] = knob
    st.session_state[_AGAINST] = (knob, against)
    return True


def _preset(chosen: SweepPreset) -> SweepConfig | None:
    st.markdown(plain(chosen.story))
    infos = [catalog.describe(name) for name in chosen.datasets]
    info = next((each for each in infos if each.usable), None)
    if info is None:
        st.info(f"It needs the data set “{plain(infos[0].title)}”, which is not here yet.")
        st.page_link("pages/data.py", label=f"Get {infos[0].title}", icon=":material/download:")
        return None
    size = st.segmented_control(
        "Size",
        ["Quick", "Full"],
        default="Quick",
        required=True,
        key=f"{KEY}_size",
        help="Quick trains on few images for two epochs: it shows how the table fills, its results "
        "say little.",
    )
    if info.name != infos[0].name:
        st.caption(
            f"On {plain(info.title)}: {plain(infos[0].title)} is not on this machine, so the "
            "document's results cannot be expected."
        )
    return chosen.sweep(info.name, quick=size == "Quick")


def _own(base: RunConfig) -> SweepConfig:
    title = catalog.describe(base.dataset).title
    network = ARCHITECTURES.get(base.architecture).title
    trained = KNOBS["freeze"].text(base.freeze).lower()
    st.caption(
        f"{plain(title)}, {plain(network)}, {trained}, batch {base.batch_size}, learning rate "
        f"{base.learning_rate:g}, seed {base.seed}; as far as it is not varied below."
    )
    ways = {str(kind): method for kind, method in METHODS.items()} | {TWO: _QUESTION}
    st.session_state.setdefault(f"{KEY}_kind", "grid")  # no default beside it: a link sets it too
    way = st.segmented_control(
        "Combinations",
        list(ways),
        format_func=lambda k: ways[k].title,
        required=True,
        key=f"{KEY}_kind",
    )
    assert way is not None, "required, and the session has one"
    st.caption(ways[way].fits)
    if way == TWO:
        return _question(base)
    kind = cast(Kind, way)
    names: list[str] = st.multiselect(
        "Settings to vary",
        knobs_to_vary(base, kind, st.session_state.get(f"{KEY}_knobs", ())),
        default=["learning_rate"],
        format_func=lambda name: KNOBS[name].title,
        key=f"{KEY}_knobs",
        placeholder="Choose one or more",
        help="Two or three at most: the number of runs is the product of their numbers of values.",
    )
    axes = {name: _values(KNOBS[name], base, kind) for name in names}
    with st.container(horizontal=True, vertical_alignment="bottom"):
        epochs = st.number_input(
            "Epochs of each run", 1, 10_000, base.epochs, key=f"{KEY}_epochs_{base.epochs}",
            disabled="epochs" in names, width=160,
        )  # fmt: skip
        seeds = st.number_input(
            "Repeats", 1, MOST_SEEDS, 1, key=f"{KEY}_seeds", width=140,
            help="Each combination is trained this many times, with different seeds. Two runs that "
            "differ by less than the spread over seeds do not differ.",
        )  # fmt: skip
        trials = METHODS[kind].trials
        if kind != "grid":
            trials = st.number_input(
                "Combinations to draw", 1, 200, trials, key=f"{KEY}_trials_{kind}", width=190
            )
        usual = SweepConfig.model_fields["metric"].default
        metric = st.selectbox(
            "Judged by", list(JUDGED_BY), list(JUDGED_BY).index(usual),
            format_func=JUDGED_BY.__getitem__, key=f"{KEY}_metric", width=210,
            help="Of the best epoch. Test images choose nothing.",
        )  # fmt: skip
    if "epochs" not in names:
        base = base.changed(epochs=epochs)
    words = " and ".join(KNOBS[name].title.lower() for name in names)
    config = SweepConfig.from_mapping(
        {
            "name": f"{words[:1].upper()}{words[1:]}"[:60] or "Sweep",
            "kind": kind,
            "base": base,
            "axes": axes,
            "trials": trials,
            "seeds": [base.seed + n for n in range(seeds)],
            "metric": metric,
        }
    )
    if kind == "halving":
        st.caption(halving_words(config))
    return config


def _question(base: RunConfig) -> SweepConfig:
    """Draws the form of the question whether one setting matters."""
    # Two data sets are two different tests, whose results cannot be compared.
    names = [name for name in knobs_to_vary(base, "grid", ()) if name != "dataset"]
    if st.session_state.get(f"{KEY}_two_knob") not in names:
        st.session_state[f"{KEY}_two_knob"] = "learning_rate"
    name = st.selectbox(
        "Setting",
        names,
        format_func=lambda name: KNOBS[name].title,
        key=f"{KEY}_two_knob",
    )
    knob, now = KNOBS[name], getattr(base, name)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "As it is", setting_text(name, now), disabled=True, width=200,
            key=f"{KEY}_two_now_{name}_{now}",
        )  # fmt: skip
        other = _other_value(knob, base)
        seeds = st.number_input(
            "Seeds", 2, MOST_SEEDS, QUESTION_SEEDS, key=f"{KEY}_two_seeds", width=140,
            help="Each trains both values once. With more seeds a smaller difference shows.",
        )  # fmt: skip
    return SweepConfig.from_mapping(
        {
            "name": f"Does it matter: {knob.title.lower()}"[:60],
            "base": base,
            "axes": {name: [now, other]},
            "seeds": [base.seed + n for n in range(seeds)],
        }
    )


def _other_value(knob: Knob, base: RunConfig) -> Any:
    """Draws the widget for a value other than that of `base`; returns it."""
    now = getattr(base, knob.name)
    linked, against = st.session_state.get(_AGAINST, ("", ""))
    wanted = against if linked == knob.name else ""
    key = f"{KEY}_two_value_{knob.name}_{now}_{wanted}"
    choices = _choices(knob, base)
    if choices is not None:
        names, label = choices
        others = [value for value in names if value != now]
        first = next((i for i, value in enumerate(others) if str(value) == wanted), 0)
        return st.selectbox("Against", others, first, format_func=label, key=key, width=260)
    proposed = ""
    if knob.kind in ("int", "float"):
        proposed = next((f"{v:g}" for v in suggest(knob, now) if v != now), "")
    text = st.text_input(
        "Against",
        wanted or proposed,
        key=key,
        width=200,
        help=f"{knob.help} Allowed: {knob.allowed}.",
    )
    if knob.kind == "ints":
        return [part for part in text.replace(" ", "").split(",") if part]
    return text.strip()


def knobs_to_vary(base: RunConfig, kind: Kind, chosen: Collection[str]) -> list[str]:
    """Returns the names of knobs that such a sweep may vary, the essential ones first.

    They have an effect with the settings of `base`, or with a value of a `chosen` knob.
    """
    fixed = {name: value for name, value in base if name not in chosen}
    useful = {*used_knobs(fixed), *chosen}
    knobs = [knob for knob in KNOBS.values() if knob.name in useful and varies(knob, kind)]
    return [knob.name for knob in sorted(knobs, key=lambda knob: not knob.essential)]


def halving_words(config: SweepConfig) -> str:
    """Returns how runs are stopped early, and what that is worth."""
    rungs = ", ".join(str(rung) for rung in config.rungs)
    return (
        f"Runs are compared after epoch {rungs}. A run goes on only if its best result so far is "
        f"among the best 1/{config.reduction} of all that have come that far; else it is stopped, "
        "within about a second, in which a quick run may get some epochs further. "
        "The first runs have few to be compared with and are stopped less often. With repeats, "
        "the first seed decides. (Asynchronous successive halving, Li et al. 2020.)"
    )


# --- the values of one knob ---------------------------------------------------------------------
def _values(knob: Knob, base: RunConfig, kind: Kind) -> Any:
    """Draws the widget for a knob's values; returns a list, or a mapping with low and high."""
    key = f"{KEY}_values_{knob.name}"
    choices = _choices(knob, base)
    if choices is not None:
        names, label = choices
        if len(names) > 8:
            return st.multiselect(
                knob.title, names, default=names[:3], format_func=label, key=key, help=knob.help
            )
        return st.pills(
            knob.title,
            names,
            default=names,
            format_func=label,
            selection_mode="multi",
            key=key,
            help=knob.help,
        )
    if knob.kind == "ints":
        text = st.text_input(
            f"{knob.title}: one network each, between semicolons", "50; 128; 128, 64", key=key,
            help=knob.help,
        )  # fmt: skip
        return [
            [part for part in each.replace(" ", "").split(",") if part]
            for each in text.split(";")
            if each.strip()
        ]
    if knob.kind == "text":
        text = st.text_input(f"{knob.title}: values, between commas", key=key, help=knob.help)
        return [part.strip() for part in text.split(",") if part.strip()]
    suggested = suggest(knob, getattr(base, knob.name))
    unit = f" ({knob.unit})" if knob.unit else ""
    if kind != "grid":
        return _range(knob, suggested, key, unit)
    text = st.text_input(
        f"{knob.title}{unit}: values, between commas",
        ", ".join(f"{value:g}" for value in suggested),
        key=key,
        help=f"{knob.help} Allowed: {knob.allowed}.",
    )
    return [part.strip() for part in text.split(",") if part.strip()]


def _range(knob: Knob, suggested: list[float], key: str, unit: str) -> dict[str, Any]:
    with st.container(horizontal=True, vertical_alignment="bottom"):
        low = st.text_input(
            f"{knob.title}{unit} from", f"{suggested[0]:g}", key=f"{key}_low", width=220,
            help=f"{knob.help} Allowed: {knob.allowed}.",
        )  # fmt: skip
        high = st.text_input("to", f"{suggested[-1]:g}", key=f"{key}_high", width=120)
        log = st.toggle(
            "by factors",
            value=knob.log and suggested[0] > 0,
            key=f"{key}_log",
            help="On: 0.001 to 0.01 is drawn as often as 0.01 to 0.1. Right for learning rates.",
        )
    return {"low": low, "high": high, "log": log}


def _choices(knob: Knob, base: RunConfig) -> tuple[list[Any], Callable[[Any], str]] | None:
    """Returns all values of a knob that has few, and the function to their text; else None."""
    if knob.kind == "choice":
        return list(knob.choices), knob.text
    if knob.kind == "bool":
        return [False, True], knob.text
    if knob.name == "architecture":
        return list(ARCHITECTURES.names()), lambda name: ARCHITECTURES.get(name).title
    if knob.name == "dataset":
        infos = {info.name: info for info in catalog.list_datasets() if info.usable}
        return list(infos), lambda name: infos[name].title
    if knob.name == "reduced_class":
        return ["", *catalog.describe(base.dataset, base.dataset_version).class_names], knob.text
    return None


def suggest(knob: Knob, current: Any) -> list[float]:
    """Returns a few values around the current one, within the knob's limits."""
    low, high = knob.minimum, knob.maximum
    start = current if current is not None else knob.default
    if knob.log:
        middle = start or 1e-4
        values = [middle / 10, middle, middle * 10]
    elif knob.kind == "int":
        middle = start or 32
        values = [middle // 2, middle, middle * 2]
    else:
        step = knob.step or 0.1
        middle = start or 0.0
        values = [middle, middle + 2 * step, middle + 4 * step]
    if low is not None:
        values = [v for v in values if v > low or (v == low and not knob.open_ended[0])]
    if high is not None:
        values = [v for v in values if v < high or (v == high and not knob.open_ended[1])]
    return list(dict.fromkeys(float(f"{v:.6g}") for v in values)) or [float(low or 0)]


# --- what it will cost --------------------------------------------------------------------------
def cost_words(config: SweepConfig, left_out: int) -> str:
    """Returns "12 combinations × 3 seeds = 36 runs of 4 epochs, about 5 min" and the like."""
    combinations = config.combinations - left_out
    seeds = len(config.seeds)
    text = f"{combinations} combination{'s' * (combinations != 1)}"
    if seeds > 1:
        text += f" × {seeds} seeds"
    runs = combinations * seeds
    most = "at most " if config.kind == "halving" else ""
    text += f" = {most}{runs} run{'s' * (runs != 1)}"
    if "epochs" not in config.axes:
        text += f" of {config.base.epochs} epoch{'s' * (config.base.epochs != 1)}"
    return f"{text}{_time_words(config)}."


def _time_words(config: SweepConfig) -> str:

    past = past_runs(store())
    seconds, known, basis = 0.0, 0, ""
    points = config.points or ({},)
    for point in points[:ESTIMATED]:
        try:
            run_estimate = estimate(resolve(config.run_config(point, config.seeds[0])), past=past)
        except LabError:  # left out
            continue
        if run_estimate is not None:
            seconds, known, basis = seconds + run_estimate.seconds, known + 1, run_estimate.source
    if not known:
        return ""
    whole = seconds / known * config.combinations * len(config.seeds)
    less = ", less as weak ones are stopped" if config.kind == "halving" else ""
    return f", {rough_time(whole)} in all{less} ({basis.rstrip('.')})"
