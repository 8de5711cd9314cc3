"""The Train page's form: one widget for each knob, drawn from its facts in `lab.config`.

Widgets keep their values across pages for the session; the values are validated again by
RunConfig, because a widget's limits hold only in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, Group, Knob, RunConfig
from lab.models.architecture import used_knobs
from lab.ui.state import knob_key


def draw_knob(
    name: str,
    *,
    options: Iterable[str] | None = None,
    label: Callable[[str], str] | None = None,
    on_change: Callable[[], None] | None = None,
    disabled: bool = False,
) -> None:
    """Draws the widget of one knob; its value is in the session under `knob_key(name)`.

    `label` returns the text of a choice where it is not the knob's own.
    """
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
    title_suffices = not knob.unit or knob.unit in knob.title.lower()
    title = knob.title if title_suffices else f"{knob.title} ({knob.unit})"
    if options is not None or knob.kind == "choice":
        choices = list(options if options is not None else knob.choices)
        if st.session_state[key] not in choices:
            st.session_state[key] = choices[0]
        st.selectbox(title, choices, format_func=label or knob.text, **common)
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


def draw_essential(group: Group, *, leave_out: Iterable[str] = ()) -> None:
    """Draws the group's essential knobs that have an effect."""
    for name in _used(group, essential=True):
        if name not in leave_out:
            draw_knob(name)


def draw_group(group: Group, *, options: Mapping[str, Iterable[str]]) -> None:
    """Draws the group's other knobs in an expander, if any has an effect.

    `options` has the choices of knobs that depend on the data set.
    """
    names = _used(group, essential=False)
    if not names:
        return
    title = GROUP_TITLES[group]  # always the same: with another title Streamlit closes the group
    # A closed group's widgets are not sent: some thirty cost the browser most of a second,
    # just when the first point of a new run is due.
    with st.expander(title, key=f"train_group_{group}", on_change="rerun") as expander:
        for name in names if expander.open else ():
            draw_knob(name, options=options.get(name))
    changed = [KNOBS[n].title for n in names if _form_value(KNOBS[n]) != KNOBS[n].default]
    if changed:
        st.caption(f"Not at its default: {', '.join(changed)}.")


def _used(group: Group, *, essential: bool) -> list[str]:
    """Returns the names of the group's knobs that have an effect; the others are hidden."""
    return [
        name
        for name in used_knobs(_form_values())
        if KNOBS[name].group == group and KNOBS[name].essential == essential
    ]


def read_form() -> RunConfig:
    """Returns the form as a RunConfig. Raises ConfigError with a sentence for each wrong value.

    A knob that the chosen architecture lacks, whose widget is gone, has its default.
    """
    values = _form_values()
    used = used_knobs(values)
    return RunConfig.from_mapping(
        {
            name: KNOBS[name].default if KNOBS[name].by_architecture and name not in used else value
            for name, value in values.items()
        }
    )


def _form_values() -> dict[str, Any]:
    return {name: _form_value(knob) for name, knob in KNOBS.items()}


def _form_value(knob: Knob) -> Any:
    value = st.session_state.get(knob_key(knob.name), knob.default)
    if knob.kind == "ints" and isinstance(value, str):
        return tuple(part for part in value.replace(" ", "").split(",") if part)
    return value


def _widget_value(knob: Knob, value: Any) -> Any:
    return ", ".join(str(v) for v in value) if knob.kind == "ints" else value
