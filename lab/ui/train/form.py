"""The Train page's settings: data set, architecture and freezing know of each other."""

from __future__ import annotations

import streamlit as st

from lab.config import GROUP_TITLES, KNOBS, RunConfig
from lab.data import catalog
from lab.errors import LabError
from lab.experiments.starts import defaults_for
from lab.models.architecture import ARCHITECTURES
from lab.runs.queue import queue
from lab.training.plan import resolve
from lab.ui.state import fill_form, knob_key, look_at
from lab.ui.widgets.knob_form import ESSENTIAL, draw_group, draw_knob, is_used, read_form, word


def draw() -> None:
    """All knobs, the essential ones open."""
    _adopt_settings_from_url()

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
    info = infos[st.session_state[knob_key("dataset")]]
    draw_knob(
        "architecture",
        options=ARCHITECTURES.names(),
        label=lambda name: ARCHITECTURES.get(name).title,
    )
    spec = ARCHITECTURES.get(st.session_state[knob_key("architecture")])
    st.caption(spec.story)
    for name in ("hidden_sizes", "depth"):
        if is_used(name):
            draw_knob(name)
    strategies = KNOBS["freeze"].choices if spec.weights else ("scratch",)
    draw_knob("freeze", options=strategies, label=word)
    if not spec.weights:
        st.caption(f"{spec.title} has no pretrained weights, so it is trained from scratch.")
    for name in ("last_k", "head_epochs", "second_phase_factor"):
        if is_used(name):
            draw_knob(name)
    pretrained = st.session_state[knob_key("freeze")] != "scratch"
    if pretrained:
        st.session_state[knob_key("activation")] = "auto"
    draw_knob(
        "activation",
        label=lambda name: (
            f"The network's own ({word(spec.native_activation)})" if name == "auto" else word(name)
        ),
        disabled=pretrained,
    )
    if pretrained:
        st.caption(
            "Locked: the pretrained weights were learned with this activation and mean nothing "
            "with another. Choose “From scratch” to change it."
        )
    for name in ("batch_size", "learning_rate", "epochs"):
        draw_knob(name)
    drawn = {*ESSENTIAL, "hidden_sizes", "depth", "last_k", "head_epochs", "second_phase_factor"}
    hidden = drawn if spec.family == "torchvision" else drawn | {"head", "head_units"}
    for group in GROUP_TITLES:
        draw_group(group, leave_out=hidden, options={"reduced_class": ("", *info.class_names)})


def read() -> RunConfig | LabError:
    """The form's config, its open knobs settled; or what is wrong with it, as a sentence."""

    try:
        return resolve(read_form())
    except LabError as error:
        return error


def draw_train_button(config: RunConfig | LabError) -> None:
    """Enabled when the settings make sense; a press puts the run in line and looks at it."""
    wrong = isinstance(config, LabError)
    pressed = st.button(
        "Train",
        key="train_start",
        type="primary",
        icon=":material/play_arrow:",
        width="stretch",
        disabled=wrong,
        help="Something in the settings does not fit; the red sentence says what."
        if wrong
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
    """Other pictures, other sensible defaults: all knobs follow, as the page says in their help."""
    fill_form(defaults_for(st.session_state[knob_key("dataset")]))


def _adopt_settings_from_url() -> None:
    """A link such as ?dataset=sign-mnist&epochs=3 fills the form once and leaves the URL clean."""
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
