"""Inspect, "Where it looks": Grad-CAM in any layer, all stages in a row, the trust test."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st

from lab import jobs
from lab.evaluate.inspecting import Map, maps, sensitivity
from lab.evaluate.trust import trust_of
from lab.explain.grad_cam import METHODS
from lab.explain.layers import Layer
from lab.explain.overlay import COLOURS, overlay
from lab.explain.saliency import WHY_SALIENCY
from lab.ui.inspect.subject import Chosen, Subject
from lab.ui.inspect.trust import draw_trust
from lab.ui.widgets.background import computed
from lab.ui.words import plain

LARGE, SMALL = 336, 150


def draw_cam(subject: Subject, chosen: Chosen) -> None:
    """The tab. For a network without places, its input-gradient saliency instead."""
    if not subject.anatomy.stages:
        _draw_saliency(subject, chosen)
        return
    layer, method = choose_layer_and_method(subject)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        strength = st.slider(
            "Overlay strength", 0.0, 1.0, 0.6, 0.05, key="inspect_strength", width=220
        )
        shared = st.toggle(
            "One colour scale for all stages",
            key="inspect_shared_scale",
            help="Off: each map's largest value is the brightest colour. On: the largest value of "
            "all maps is, so that weak maps look weak.",
        )
    found = _maps(subject, chosen, layer, method)
    if found is None:
        return
    top = max(float(m.values.max()) for m in found.values()) if shared else None
    left, right = st.columns([1, 1], gap="large")
    with left:
        _draw_large(subject, chosen, found[layer], strength=strength, scale=top)
    with right:
        _draw_trust(subject, chosen, layer, method)
    _draw_stages(subject, chosen, found, layer, strength=strength, scale=top)


def choose_layer_and_method(subject: Subject, *, place: str = "cam") -> tuple[str, str]:
    """Two select boxes: any layer with places, any method."""

    layers = {layer.name: layer for layer in subject.anatomy.layers if layer.spatial}
    key = f"inspect_{place}_layer_{subject.run.id}"
    if st.session_state.get(key) not in layers:
        st.session_state[key] = subject.anatomy.default_stage
    with st.container(horizontal=True):
        layer = st.selectbox(
            "Layer",
            list(layers),
            format_func=lambda name: layer_words(layers[name]),
            key=key,
            width=330,
            help="Early layers see edges at many places, late ones parts at few. Convolutions "
            "stand before the stage that they belong to.",
        )
        method = st.selectbox(
            "Method",
            METHODS.names(),
            format_func=lambda name: METHODS.get(name).title,
            key=f"inspect_{place}_method",
            width=170,
        )
    spec = METHODS.get(method)
    st.caption(f"{spec.title}: {spec.story} Source: {spec.source}.")
    return layer, method


def layer_words(layer: Layer) -> str:
    """How a layer is called in a select box."""
    shape = " × ".join(f"{n:,}" for n in layer.shape)
    kind = "stage" if layer.type == "stage" else "convolution"
    return f"{layer.name} · {kind}, {shape}"


def not_meaningful(found: Map, target: str) -> str:
    """Why a map is dark everywhere."""
    if found.values.max() > 0:
        return (
            f"Not meaningful: the score of {plain(target)} hardly depends on this layer, its "
            "gradient is about zero."
        )
    return f"Nothing in this layer speaks for {plain(target)}: the map is zero everywhere."


def _maps(subject: Subject, chosen: Chosen, layer: str, method: str) -> dict[str, Map] | None:
    names = [*subject.anatomy.stages, *([layer] if layer not in subject.anatomy.stages else [])]
    key = f"maps:{chosen.key}:{chosen.target}:{method}:{layer}"
    return computed(
        key,
        "Drawing the maps",
        lambda report, cancel: maps(
            subject.folder,
            subject.checkpoint,
            chosen.picture,
            target=chosen.target,
            layers=names,
            method=method,
        ),
    )


def _draw_large(
    subject: Subject, chosen: Chosen, found: Map, *, strength: float, scale: float | None
) -> None:
    target = subject.anatomy.class_names[chosen.target]
    if not found.meaningful:
        st.warning(not_meaningful(found, target), icon=":material/do_not_disturb_on:")
    st.image(
        overlay(chosen.picture.pixels, found.values, scale=scale, strength=strength, side=LARGE),
        width=LARGE,
        alt=f"{chosen.picture.name} with what speaks for {target} in layer {found.layer}",
    )
    brightest = float(found.values.max()) if scale is None else scale
    st.image(
        np.repeat(COLOURS[None], 12, axis=0),
        width=LARGE,
        alt="Colour scale from nothing to the brightest value",
        caption=f"0 — what speaks for {plain(target)} — {brightest:.3g}",
    )
    with st.expander("The raw map and its numbers", on_change="rerun") as numbers:
        if numbers.open:
            _draw_numbers(found)


def _draw_numbers(found: Map) -> None:
    height, width = found.values.shape
    st.caption(
        f"{height} × {width} values at the layer's own resolution, {found.values.min():.4g} to "
        f"{found.values.max():.4g}. Class score (logit) {found.score:.4g}; the sum of "
        f"|activation × gradient| over the layer is {found.influence:.4g}."
    )
    st.dataframe(found.values, alt="The values of the map, row by row.")
    text = io.StringIO()
    np.savetxt(text, found.values, delimiter=",", fmt="%.6g")
    st.download_button(
        "Download as CSV",
        text.getvalue(),
        file_name=f"map-{found.layer}.csv",
        key="inspect_map_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _draw_stages(
    subject: Subject,
    chosen: Chosen,
    found: dict[str, Map],
    layer: str,
    *,
    strength: float,
    scale: float | None,
) -> None:
    st.markdown("**All stages, from edges to parts**")
    target = subject.anatomy.class_names[chosen.target]
    with st.container(horizontal=True, gap="small"):
        for name in subject.anatomy.stages:
            one = found[name]
            size = " × ".join(map(str, one.values.shape))
            words = "" if one.meaningful else ", not meaningful"
            with st.container(width=SMALL, gap="xxsmall"):
                st.image(
                    overlay(
                        chosen.picture.pixels,
                        one.values,
                        scale=scale,
                        strength=strength,
                        side=SMALL,
                    ),
                    width=SMALL,
                    alt=f"What speaks for {target} in stage {name}{words}",
                )
                st.button(
                    name,
                    key=f"inspect_look_{name}",
                    help=f"Look at stage {name} above",
                    type="secondary" if name == layer else "tertiary",
                    on_click=_look_at_layer,
                    args=(subject.run.id, name),
                )
                st.caption(f"{size}, up to {one.values.max():.3g}{words}")
    st.caption(
        "Early maps are fine-grained and scattered over edges; late ones are coarse and gather on "
        "what the class is recognised by. Press a name to look at that stage above."
    )


def _look_at_layer(run_id: str, name: str) -> None:
    st.session_state[f"inspect_cam_layer_{run_id}"] = name


def _draw_trust(subject: Subject, chosen: Chosen, layer: str, method: str) -> None:
    """A test of a few seconds, started by a button, kept by the job."""

    st.markdown("**Can this map be trusted?**")
    key = f"trust:{chosen.key}:{chosen.target}:{layer}:{method}"
    if jobs.latest(key) is None:
        st.caption(
            "A map can look convincing and still not depend on what was learned. The test gives "
            "the network random weights, layer by layer (the map must change), and hides the "
            "places that the map marks (the answer must change more than by hiding random places)."
        )
        if not st.button("Test this map", key="inspect_trust", icon=":material/verified:"):
            return
    found = computed(
        key,
        "Testing whether the map can be trusted",
        lambda report, cancel: trust_of(
            subject.folder,
            subject.checkpoint,
            chosen.picture,
            target=chosen.target,
            layer=layer,
            method=method,
            progress=report,
            cancel=cancel,
        ),
    )
    if found is not None:
        draw_trust(found)


def _draw_saliency(subject: Subject, chosen: Chosen) -> None:

    target = subject.anatomy.class_names[chosen.target]
    st.info(WHY_SALIENCY, icon=":material/info:")
    found = computed(
        f"saliency:{chosen.key}:{chosen.target}",
        "Following the gradient to the pixels",
        lambda report, cancel: sensitivity(
            subject.folder, subject.checkpoint, chosen.picture, target=chosen.target
        ),
    )
    if found is None:
        return
    if not found.meaningful:
        st.warning("Not meaningful: the gradient is zero at every pixel.")
    st.image(
        overlay(chosen.picture.pixels, found.values, strength=0.85, side=LARGE),
        width=LARGE,
        alt=f"Input gradient of the score of {target}",
        caption=f"{plain(target)}: brightest {float(found.values.max()):.3g} of score a unit of "
        "normalised pixel",
    )
