"""Which layer, by which method and in which way a map is drawn; long work by a button."""

from __future__ import annotations

import streamlit as st

from lab import jobs
from lab.evaluate.audit_result import saved_audit
from lab.explain.grad_cam import METHODS, Cost, Method
from lab.explain.layers import Layer
from lab.explain.overlay import MODES, Mode
from lab.ui.inspect.subject import Subject

MODE = "inspect_mode"
"""The key of the way in which maps are drawn, the same in all tabs."""


def choose_layer_and_method(subject: Subject, *, place: str = "cam") -> tuple[Layer, Method]:
    """Two select boxes: any layer with places, any method."""
    layers = {layer.name: layer for layer in subject.layers.layers if layer.spatial}
    key = layer_key(subject, place)
    if st.session_state.get(key) not in layers:
        begin_with_evidence(subject, place)
    name = st.selectbox(
        "Layer",
        list(layers),
        format_func=lambda name: layer_words(subject, layers[name]),
        key=key,
        persist_state="session",  # also while the next picture's answer is waited for
        help="Early layers see edges at many places, late ones parts at few. The numbers are "
        "height × width × channels. Convolutions stand before the stage that they belong to.",
    )
    return layers[name], choose_method(method_key(place), layers[name])


def begin_with_evidence(subject: Subject, place: str = "cam") -> None:
    """Chooses the layer and method that the run's audit proposes, else the architecture's layer."""
    found = saved_audit(subject.folder, subject.checkpoint)
    st.session_state[layer_key(subject, place)] = (
        found.layer if found is not None else subject.layers.default_stage
    )
    if found is not None:
        st.session_state[method_key(place)] = found.method


def layer_key(subject: Subject, place: str = "cam") -> str:
    return f"inspect_{place}_layer_{subject.run.id}"


def method_key(place: str = "cam") -> str:
    return f"inspect_{place}_method"


def choose_mode() -> Mode:
    """How maps are drawn: one choice for all tabs, kept while the session lasts."""
    mode: Mode | None = st.segmented_control(
        "How maps are drawn",
        list(MODES),
        default=None if MODE in st.session_state else next(iter(MODES)),
        format_func=MODES.__getitem__,
        key=MODE,
        required=True,
        label_visibility="collapsed",
        persist_state="session",
    )
    return mode if mode is not None else next(iter(MODES))


def mode_sentence(mode: Mode, target: str, places: str) -> str:
    """How a map for class `target`, already plain, is to be read; `places` as in "7 × 7 places"."""
    if mode == "overlay":
        return (
            f"Colour marks what speaks for **{target}**: the brighter, the more. "
            "Where the picture is only grey, nothing does."
        )
    if mode == "contour":
        return (
            f"The lines go around what speaks most for **{target}**: white at half of the "
            "strongest value, yellow at 80% of it."
        )
    return f"{places}: the brighter, the more it speaks for **{target}**. Black: nothing."


def draw_method_words(subject: Subject, layer: Layer, method: Method) -> None:
    """One line about the method; what it costs, and its source, on demand."""
    cost = method.cost_sentence(layer.shape[0], seconds_a_pass(subject, method))
    story = f"{method.title}: {method.story}"
    if method.cost is Cost.ALL_LAYERS:
        st.caption(story, help=f"{cost} Source: {method.source}.")
    else:  # to be known before it is waited for
        st.caption(f"{story} {cost}", help=f"Source: {method.source}.")


def choose_method(key: str, layer: Layer | None, *, slow: bool = True) -> Method:
    """One of the methods for `layer`, or for any; without `slow` of those that do not take a pass a
    channel."""
    usable = (m for m in METHODS if (m.fits(layer) if layer else not m.attention))
    methods = {m.name: m for m in usable if slow or m.cost is not Cost.CHANNEL}
    if st.session_state.get(key) not in methods:
        st.session_state[key] = next(iter(methods))
    name = st.selectbox(
        "Method",
        list(methods),
        format_func=lambda name: method_words(methods[name]),
        key=key,
        persist_state="session",
        help="How the map is worked out. Different methods may mark different places."
        if slow
        else "Those that take a pass for each channel are under “Where it looks” and “Gallery”.",
    )
    return methods[name]


def method_words(method: Method) -> str:
    """How a method is called in a select box."""
    return f"{method.title} (slow)" if method.cost is Cost.CHANNEL else method.title


def layer_words(subject: Subject, layer: Layer) -> str:
    """How a layer is called in a select box: "Block 3 · 16 × 16 × 64"."""
    return f"{subject.layers.titles[layer.name]} · {layer.size_words}"


def place_words(subject: Subject, layer: str, method: Method) -> str:
    """What a map of `layer` is of: its title, or the whole network."""
    if method.cost is Cost.PICTURE:
        return "the whole network"
    return subject.layers.titles[layer]


def seconds_a_pass(subject: Subject, method: Method) -> float | None:
    """What an image takes in this network, where the method's cost depends on it; None while that
    is measured, too."""
    if method.cost is not Cost.CHANNEL:
        return None
    return subject.ask("pace", "Timing the network", lambda opened: opened.seconds_a_pass)


def started(key: str, button: str, *, label: str, icon: str) -> bool:
    """Whether job `key` was asked for: by the button, which is here until then and again after the
    job was cancelled."""
    job = jobs.latest(key)
    if job is not None and job.state != "cancelled":
        return True
    slot = st.empty()
    pressed = slot.button(label, key=button, icon=icon)
    if pressed:
        slot.empty()
    return pressed
