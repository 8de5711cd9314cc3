"""The Train page's form: one widget for each knob, drawn from what `lab.config` says of it.

Widgets keep their values across pages for the session; the values are validated again by
RunConfig, because a widget's limits hold only in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, Group, Knob, RunConfig
from lab.experiments.sweeps.config import value_text
from lab.ui.state import knob_key

ESSENTIAL = (
    "dataset",
    "architecture",
    "activation",
    "freeze",
    "batch_size",
    "learning_rate",
    "epochs",
)
"""The knobs that stand open at the top; the others wait in their groups."""

_USED_BY = {
    "hidden_sizes": ("architecture", ("mlp",)),
    "depth": ("architecture", ("deep-mlp",)),
    "head_units": ("head", ("dense",)),
    "last_k": ("freeze", ("last_k", "two_phase")),
    "head_epochs": ("freeze", ("two_phase",)),
    "second_phase_factor": ("freeze", ("two_phase",)),
    "frozen_features": ("freeze", ("last_k", "head_only", "two_phase")),
    "kept_views": ("freeze", ("last_k", "head_only", "two_phase")),
    "reduced_class_keep": ("reduced_class", None),
    "momentum": ("optimizer", ("sgd", "rmsprop")),
    "nesterov": ("optimizer", ("sgd",)),
    "schedule_epochs": ("schedule", ("step", "on_plateau")),
    "schedule_factor": ("schedule", ("step", "on_plateau")),
    "early_stopping_metric": ("early_stopping_patience", None),
}
"""Knobs that do something only together with a value of another one (None: any that is not empty).
The others are hidden: a knob that does nothing teaches something false."""

_WORDS = {
    "auto": "Automatic",
    "relu": "ReLU",
    "leaky_relu": "Leaky ReLU",
    "elu": "ELU",
    "gelu": "GELU",
    "silu": "SiLU",
    "tanh": "tanh",
    "scratch": "From scratch",
    "full": "Fine-tune all",
    "last_k": "Last stages + head",
    "head_only": "Head only",
    "two_phase": "Two phases",
    "adamw": "AdamW",
    "sgd": "SGD",
    "rmsprop": "RMSprop",
    "val_loss": "Validation loss",
    "val_accuracy": "Validation accuracy",
    "imagenet": "ImageNet",
    "cuda": "CUDA graphics card",
    "mps": "Apple graphics",
    "cpu": "CPU",
}


def word(choice: str) -> str:
    """A choice as the person reads it."""
    return _WORDS.get(choice, choice.replace("_", " ").capitalize())


def value_word(name: str, value: Any) -> str:
    """The value of the knob `name` as the person reads it in a table or a chart."""
    is_choice = KNOBS[name].kind == "choice" and isinstance(value, str)
    return word(value) if is_choice else value_text(value)


def is_used(name: str) -> bool:
    """Whether the knob does something with the form's other values as they are."""
    if name not in _USED_BY:
        return True
    other, values = _USED_BY[name]
    current = st.session_state.get(knob_key(other), KNOBS[other].default)
    return bool(current) if values is None else current in values


def draw_knob(
    name: str,
    *,
    options: Iterable[str] | None = None,
    label: Callable[[str], str] = word,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> None:
    """The widget of one knob; its value is in the session under `knob_key(name)`."""
    knob = KNOBS[name]
    key = knob_key(name)
    if key not in st.session_state:
        st.session_state[key] = _widget_value(knob, knob.default)
    common: dict[str, Any] = {
        "key": key,
        "help": knob.help,
        "persist_state": "session",
        "on_change": on_change,
        "disabled": disabled,
    }
    says_unit = not knob.unit or knob.unit in knob.title.lower()
    title = knob.title if says_unit else f"{knob.title} ({knob.unit})"
    if options is not None or knob.kind == "choice":
        choices = list(options if options is not None else knob.choices)
        if st.session_state[key] not in choices:
            st.session_state[key] = choices[0]
        st.selectbox(title, choices, format_func=label, **common)
    elif knob.kind == "bool":
        st.toggle(title, **common)
    elif knob.kind in ("text", "ints"):
        st.text_input(title, **common)
    else:
        whole = knob.kind == "int"
        low, high = knob.minimum or 0, knob.maximum
        if knob.open_ended[0]:
            low = 1e-9
        st.number_input(
            title,
            min_value=int(low) if whole else float(low),
            max_value=None if high is None else int(high) if whole else float(high),
            step=int(knob.step or 1) if whole else float(knob.step or 0.0) or None,
            format="%d" if whole else "%g",
            placeholder="automatic" if knob.optional else None,
            **common,
        )


def draw_group(
    group: Group, *, leave_out: Iterable[str], options: Mapping[str, Iterable[str]]
) -> None:
    """The group's remaining knobs in an expander; none where none applies. `options` has the
    choices of knobs that depend on the data set."""
    names = [
        knob.name
        for knob in KNOBS.values()
        if knob.group == group and knob.name not in leave_out and is_used(knob.name)
    ]
    if not names:
        return
    title = GROUP_TITLES[group]  # always the same: with another title Streamlit closes the group
    # A closed group's widgets are not even sent: some thirty of them cost the browser the better
    # part of a second, at the very moment in which the first point of a new run is waited for.
    with st.expander(title, key=f"train_group_{group}", on_change="rerun") as expander:
        for name in names if expander.open else ():
            if name in options:
                draw_knob(name, options=options[name], label=lambda choice: choice or "none")
            else:
                draw_knob(name)
    changed = [KNOBS[n].title for n in names if _form_value(KNOBS[n]) != KNOBS[n].default]
    if changed:
        st.caption(f"Not at its default: {', '.join(changed)}.")


def read_form() -> RunConfig:
    """The form as a RunConfig. Raises ConfigError with a sentence for each value not allowed."""
    return RunConfig.from_mapping({name: _form_value(knob) for name, knob in KNOBS.items()})


def _form_value(knob: Knob) -> Any:
    value = st.session_state.get(knob_key(knob.name), knob.default)
    if knob.kind == "ints" and isinstance(value, str):
        return tuple(part for part in value.replace(" ", "").split(",") if part)
    return value


def _widget_value(knob: Knob, value: Any) -> Any:
    return ", ".join(str(v) for v in value) if knob.kind == "ints" else value
