"""The Train page's form: one widget for each knob, drawn from its facts in `lab.config`.

Widgets keep their values across pages for the session; the values are validated again by
RunConfig, because a widget's limits hold only in the browser.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, Group, Knob, RunConfig
from lab.models.architecture import used_knobs
from lab.ui.state import knob_key, touch
from lab.ui.widgets.labels import resend_when_renamed


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
        st.session_state[key] = knob.to_widget(knob.default)
    common: dict[str, Any] = {
        "key": key,
        "help": knob.help,
        "persist_state": "session",
        "on_change": _changed,
        "args": (name, on_change),
        "disabled": disabled,
    }
    title_suffices = not knob.unit or knob.unit in knob.title.lower()
    title = knob.title if title_suffices else f"{knob.title} ({knob.unit})"
    if options is not None or knob.kind == "choice":
        choices = list(options if options is not None else knob.choices)
        if st.session_state[key] not in choices:
            st.session_state[key] = choices[0]
        texts = {choice: (label or knob.text)(choice) for choice in choices}
        resend_when_renamed(key, list(texts.values()))
        st.selectbox(title, choices, format_func=texts.__getitem__, **common)
    elif knob.kind == "bool":
        st.toggle(title, **common)
    elif knob.kind in ("text", "ints"):
        st.text_input(title, **common)
    else:
        _draw_number(knob, title, common)


def _draw_number(knob: Knob, title: str, common: dict[str, Any]) -> None:
    whole = knob.kind == "int"
    low, high = knob.minimum or 0, knob.maximum
    if knob.open_ended[0]:
        low = 1e-9
    if knob.zero_word:  # an empty box stands for the zero
        low = 1 if whole else 1e-9
        common["help"] = f"{knob.help} Empty: {knob.zero_word}."
    may_be_empty = knob.optional or bool(knob.zero_word)
    common["value"] = None if may_be_empty else "min"
    st.number_input(
        title,
        min_value=int(low) if whole else float(low),
        max_value=None if high is None else int(high) if whole else float(high),
        step=int(knob.step or 1) if whole else float(knob.step or 0.0) or None,
        format="%d" if whole else "%g",
        placeholder=knob.zero_word or "automatic" if may_be_empty else None,
        **common,
    )


def _changed(name: str, then: Callable[[], None] | None) -> None:
    touch(name)
    if then is not None:
        then()


def draw_essential(group: Group, used: Iterable[str]) -> None:
    """Draws the essential ones of `used` that are the group's; numbers in two columns."""
    names = [name for name in used if KNOBS[name].group == group and KNOBS[name].essential]
    columns: list[Any] = []
    for name in names:
        if KNOBS[name].kind not in ("int", "float") or len(names) == 1:
            draw_knob(name)
            continue
        columns = columns or list(st.columns(2, gap="small", vertical_alignment="bottom"))
        with columns.pop(0):
            draw_knob(name)


def draw_group(
    group: Group,
    used: Iterable[str],
    *,
    options: Mapping[str, Iterable[str]],
    usual: RunConfig,
) -> None:
    """Draws the other ones of `used` that are the group's in an expander, if there are any.

    `options` has the choices of knobs that depend on the data set, `usual` the values that suit it.
    """
    names = [name for name in used if KNOBS[name].group == group and not KNOBS[name].essential]
    if not names:
        return
    title = GROUP_TITLES[group]  # always the same: with another title Streamlit closes the group
    # A closed group's widgets are not sent: some thirty cost the browser most of a second,
    # just when the first point of a new run is due.
    with st.expander(title, key=f"train_group_{group}", on_change="rerun") as expander:
        for name in names if expander.open else ():
            draw_knob(name, options=options.get(name))
    changed = [KNOBS[n].title for n in names if _form_value(KNOBS[n]) != getattr(usual, n)]
    if changed:
        st.caption(f"Changed: {', '.join(changed)}.")


def read_form() -> RunConfig:
    """Returns the form as a RunConfig. Raises ConfigError with a sentence for each wrong value.

    A knob that the chosen architecture lacks, whose widget is gone, has its default.
    """
    values = form_values()
    used = used_knobs(values)
    return RunConfig.from_mapping(
        {
            name: KNOBS[name].default if KNOBS[name].by_architecture and name not in used else value
            for name, value in values.items()
        }
    )


def form_values() -> Mapping[str, Any]:
    """Returns the form's values by knob, as they are when they are read, allowed or not."""
    return _FormValues()


class _FormValues(Mapping[str, Any]):
    """Read one by one: a reading of the session costs, and most questions need few of them."""

    def __getitem__(self, name: str) -> Any:
        return _form_value(KNOBS[name])

    def __iter__(self) -> Iterator[str]:
        return iter(KNOBS)

    def __len__(self) -> int:
        return len(KNOBS)

    def __contains__(self, name: object) -> bool:
        return name in KNOBS


_NO_WIDGET = object()


def _form_value(knob: Knob) -> Any:
    value = st.session_state.get(knob_key(knob.name), _NO_WIDGET)
    return knob.default if value is _NO_WIDGET else knob.from_widget(value)
