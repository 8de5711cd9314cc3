"""The Train page's settings; the choices of data set, architecture and freezing are linked."""

from __future__ import annotations

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, RunConfig
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.errors import LabError
from lab.experiments.starts import defaults_for
from lab.models.architecture import ARCHITECTURES, ArchitectureSpec
from lab.runs.queue import queue
from lab.training.plan import resolve
from lab.ui.state import fill_form, knob_key, look_at
from lab.ui.widgets.knob_form import draw_essential, draw_group, draw_knob, read_form

LINKED = ("dataset", "architecture", "freeze", "activation")
"""Essential knobs whose choices depend on the data set and on each other; drawn here one by one."""


def draw() -> None:
    """Draws all knobs, the essential ones outside their groups."""
    _adopt_settings_from_url()
    info = _draw_dataset()
    spec = _draw_architecture()
    draw_essential("network", leave_out=LINKED)
    _draw_freeze(spec)
    draw_essential("freeze", leave_out=LINKED)
    _draw_activation(spec)
    for group in GROUP_TITLES:
        if group not in ("network", "freeze"):
            draw_essential(group, leave_out=LINKED)
    for group in GROUP_TITLES:
        draw_group(group, options={"reduced_class": ("", *info.class_names)})


def _draw_dataset() -> DatasetInfo:
    infos = {info.name: info for info in catalog.list_datasets() if info.usable}
    draw_knob(
        "dataset",
        options=infos,
        label=lambda name: infos[name].title if name in infos else name,
        on_change=_dataset_changed,
    )
    st.page_link(
        "pages/data.py", label="Look at it, or add your own", icon=":material/photo_library:"
    )
    return infos[st.session_state[knob_key("dataset")]]


def _draw_architecture() -> ArchitectureSpec:
    draw_knob(
        "architecture",
        options=ARCHITECTURES.names(),
        label=lambda name: ARCHITECTURES.get(name).title,
    )
    spec = ARCHITECTURES.get(st.session_state[knob_key("architecture")])
    st.caption(spec.story)
    return spec


def _draw_freeze(spec: ArchitectureSpec) -> None:
    draw_knob("freeze", options=KNOBS["freeze"].choices if spec.weights else ("scratch",))
    if not spec.weights:
        st.caption(f"{spec.title} has no pretrained weights, so it is trained from scratch.")


def _draw_activation(spec: ArchitectureSpec) -> None:
    pretrained = st.session_state[knob_key("freeze")] != "scratch"
    if pretrained:
        st.session_state[knob_key("activation")] = "auto"
    text = KNOBS["activation"].text
    own = f"The network's own ({text(spec.native_activation)})"
    draw_knob(
        "activation",
        label=lambda name: own if name == "auto" else text(name),
        disabled=pretrained,
    )
    if pretrained:
        st.caption(
            "Locked: the pretrained weights were learned with this activation and mean nothing "
            "with another. Choose “From scratch” to change it."
        )


def read() -> RunConfig | LabError:
    """Returns the form's config, resolved; or the error that tells what does not fit."""
    try:
        return resolve(read_form())
    except LabError as error:
        return error


def draw_train_button(config: RunConfig | LabError) -> None:
    """Draws the button, enabled when the settings fit; a press queues the run and selects it."""
    invalid = isinstance(config, LabError)
    pressed = st.button(
        "Train",
        key="train_start",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=invalid,
        help="Something in the settings does not fit; the red sentence says what."
        if invalid
        else None,
    )
    if not pressed or isinstance(config, LabError):
        return
    try:
        run_id = queue().submit(config)
    except LabError as error:
        st.error(str(error), icon=":material/error:")
        return
    look_at(run_id)
    st.rerun()


def _dataset_changed() -> None:
    """Fills the form with the defaults for the chosen data set."""
    fill_form(defaults_for(st.session_state[knob_key("dataset")]))


def _adopt_settings_from_url() -> None:
    """Fills the form from a link such as ?dataset=sign-mnist&epochs=3, once, and cleans the URL."""
    texts = {name: st.query_params[name] for name in KNOBS if name in st.query_params}
    if not texts:
        if knob_key("dataset") not in st.session_state:
            fill_form(defaults_for(RunConfig().dataset))
        return
    for name in texts:
        del st.query_params[name]
    try:
        fill_form(RunConfig.from_texts(texts))
    except LabError as error:
        st.error(f"The link's settings could not be used: {error}", icon=":material/link_off:")
