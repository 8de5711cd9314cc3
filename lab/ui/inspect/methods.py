"""Which layer and which method a map is drawn by, with what that costs; long work by a button."""

from __future__ import annotations

import streamlit as st

from lab import jobs
from lab.explain.grad_cam import METHODS, Cost, Method
from lab.explain.layers import Layer
from lab.ui.inspect.subject import Subject


def choose_layer_and_method(subject: Subject, *, place: str = "cam") -> tuple[Layer, Method]:
    """Two select boxes: any layer with places, any method; below them what the method does."""
    layers = {layer.name: layer for layer in subject.layers.layers if layer.spatial}
    key = f"inspect_{place}_layer_{subject.run.id}"
    if st.session_state.get(key) not in layers:
        st.session_state[key] = subject.layers.default_stage
    with st.container(horizontal=True):
        name = st.selectbox(
            "Layer",
            list(layers),
            format_func=lambda name: layer_words(layers[name]),
            key=key,
            width=330,
            persist_state="session",  # also while the next picture's answer is waited for
            help="Early layers see edges at many places, late ones parts at few. Convolutions "
            "stand before the stage that they belong to.",
        )
        method = choose_method(f"inspect_{place}_method")
    layer = layers[name]
    cost = method.cost_sentence(layer.shape[0], seconds_a_pass(subject, method))
    st.caption(f"{method.title}: {method.story} {cost} Source: {method.source}.")
    return layer, method


def choose_method(key: str, *, slow: bool = True) -> Method:
    """One of all methods; without `slow` of those that do not take a pass a channel."""
    methods = {m.name: m for m in METHODS if slow or m.cost is not Cost.CHANNEL}
    name = st.selectbox(
        "Method",
        list(methods),
        format_func=lambda name: method_words(methods[name]),
        key=key,
        width=230,
        persist_state="session",
        help=None
        if slow
        else "Those that take a pass for each channel are under “Where it looks” and “Gallery”.",
    )
    return methods[name]


def method_words(method: Method) -> str:
    """How a method is called in a select box."""
    return f"{method.title} (slow)" if method.cost is Cost.CHANNEL else method.title


def layer_words(layer: Layer) -> str:
    """How a layer is called in a select box."""
    shape = " × ".join(f"{n:,}" for n in layer.shape)
    kind = "stage" if layer.type == "stage" else "convolution"
    return f"{layer.name} · {kind}, {shape}"


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
