"""The time that a run will take, and what is worth a thought before it is started."""

from __future__ import annotations

from typing import Any

import streamlit as st

from lab import jobs
from lab.config import FREEZING, KNOBS, RunConfig
from lab.data import catalog
from lab.data.forecast import expected_counts
from lab.errors import LabError
from lab.experiments.estimates import (
    Estimate,
    PastRun,
    estimate,
    measure_speeds,
    measured_speeds,
    past_runs,
    rough_time,
)
from lab.models.architecture import ARCHITECTURES
from lab.progress import Cancel, Report
from lab.runs.store import store
from lab.training.devices import resolve_device, trains_elsewhere
from lab.training.plan import missing_here
from lab.ui.state import change_form
from lab.ui.widgets.busy import machine_is_busy
from lab.ui.words import plain

LONG_SECONDS = 20 * 60
"""A run that takes longer is pointed out, where there is a quicker way."""
FEW_PICTURES = 20
"""Below so many training pictures a class the result depends much on which ones they are."""


def draw_time(config: RunConfig) -> None:
    """Draws how long a run will take, where that is known."""
    guess = _estimate(config)
    if guess is None:
        return
    st.caption(
        rough_time(guess.seconds),
        width="content",
        help=f"Estimated {guess.source}.",
    )
    if guess.basis == "counted":
        _measure_once(config)


def draw_cautions(config: RunConfig) -> None:
    """Draws what makes the run slow or its result doubtful, each with one button that mends it."""
    _draw_few_pictures(config)
    guess = _estimate(config)
    if guess is None:
        return
    if guess.seconds >= LONG_SECONDS and not config.pretrained:
        _draw_long(config, guess)
    if config.freeze in FREEZING and config.frozen_features == "auto" and not config.keeps_features:
        _draw_changing_pictures(config, guess)


def _draw_long(config: RunConfig, guess: Estimate) -> None:
    spec = ARCHITECTURES.get(config.architecture)
    time = rough_time(guess.seconds)
    if spec.weights is None:
        st.warning(
            f"This takes {time}. A smaller image size or fewer epochs is quicker.",
            icon=":material/timer:",
        )
        return
    st.warning(
        f"This takes {time}: {spec.title} is trained from random weights.",
        icon=":material/timer:",
    )
    change = {"freeze": "head_only", "activation": "auto", **_without_augmentation()}
    quicker = _estimate(config.changed(**change))
    words = [rough_time(quicker.seconds)] if quicker else []
    if missing := missing_here(spec):
        words.append(missing)
    st.button(
        "Train only the head" + (f": {', '.join(words)}" if words else ""),
        key="train_head_only",
        icon=":material/bolt:",
        width="stretch",
        help="Starts from ImageNet weights and trains the last layer; that suits photographs.",
        on_click=_change,
        args=(change,),
    )


def _draw_changing_pictures(config: RunConfig, guess: Estimate) -> None:
    changed = [
        n for n, default in _without_augmentation().items() if config.in_effect(n) != default
    ]
    flip_only = changed == ["horizontal_flip"]
    cause = "the flip makes" if flip_only else "augmentation makes"
    st.info(
        f"The frozen part runs at every step, because {cause} new pictures in every epoch.",
        icon=":material/lock:",
    )
    quicker = _estimate(config.changed(**_without_augmentation()))
    saving = guess.seconds - quicker.seconds if quicker else 0.0
    words = f" (saves {rough_time(saving)})" if saving >= 5 else ""
    st.button(
        f"Turn {'the flip' if flip_only else 'augmentation'} off{words}",
        key="train_no_augmentation",
        icon=":material/bolt:",
        width="stretch",
        on_click=_change,
        args=(_without_augmentation(),),
    )


def _draw_few_pictures(config: RunConfig) -> None:
    info = catalog.describe(config.dataset, config.dataset_version)
    train, _ = expected_counts(info, config)
    few = {name: count for name, count in train.items() if count < FEW_PICTURES}
    if not few:
        return
    least = min(few, key=lambda name: few[name])
    pictures = f"{few[least]} picture{'s' * (few[least] != 1)}"
    st.warning(
        f"Only {pictures} of “{plain(least)}” to learn from. With fewer than about {FEW_PICTURES} "
        "a class the result depends on which ones they are: add more, or trust it little.",
        icon=":material/photo_library:",
    )


def _without_augmentation() -> dict[str, Any]:
    return {k.name: k.default for k in KNOBS.values() if k.group == "augmentation"}


def _change(knobs: dict[str, Any]) -> None:
    change_form(**knobs)


# --- what the estimate is made from -------------------------------------------------------------
def _estimate(config: RunConfig) -> Estimate | None:
    try:
        device = resolve_device(config)
        return estimate(
            config, past=_past(store().url), measured=measured_speeds(device), device=device
        )
    except LabError:
        return None


@st.cache_data(ttl=20, max_entries=4, show_spinner=False)
def _past(url: str) -> list[PastRun]:
    """Returns the finished runs of the store at `url`; read at most every 20 s."""
    return past_runs(store())


def _measure_once(config: RunConfig) -> None:
    """Times the chosen network in the background, a second or so, once, while nothing else takes
    the machine's time: the figure is kept, and a busy machine is tens of times slower."""
    if trains_elsewhere():
        return
    device = resolve_device(config)
    name = config.architecture
    key = f"measure-speeds:{device}:{name}"
    if jobs.latest(key) is not None or machine_is_busy():
        return

    def work(report: Report, cancel: Cancel) -> int:
        return len(measure_speeds([name], device=device, progress=report, cancel=cancel))

    jobs.start("measure", f"Timing {ARCHITECTURES.get(name).title}", work, key=key)
