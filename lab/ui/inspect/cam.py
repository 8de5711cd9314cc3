"""Inspect, "Where it looks": Grad-CAM in any layer, all stages in a row, the trust test."""

from __future__ import annotations

import io

import numpy as np
import streamlit as st

from lab.evaluate.maps import draw_maps
from lab.evaluate.opened import Opened
from lab.evaluate.trust import trust_of
from lab.explain.grad_cam import ActivationMap, Cost, Method
from lab.explain.layers import Layer
from lab.explain.overlay import COLOURS, overlay
from lab.explain.saliency import WHY_SALIENCY, input_saliency
from lab.explain.trust import maps_drawn
from lab.ui.inspect.methods import choose_layer_and_method, seconds_a_pass, started
from lab.ui.inspect.subject import Chosen, Subject
from lab.ui.inspect.trust import draw_trust
from lab.ui.widgets.background import computed
from lab.ui.words import plain
from lab.words import duration

LARGE, SMALL = 336, 150


def draw_cam(subject: Subject, chosen: Chosen) -> None:
    """The tab. For a network without places, its input-gradient saliency instead."""
    if not subject.layers.stages:
        _draw_saliency(subject, chosen)
        return
    layer, method = choose_layer_and_method(subject)
    with st.container(horizontal=True, vertical_alignment="bottom"):
        strength = st.slider(
            "Overlay strength",
            0.0,
            1.0,
            0.6,
            0.05,
            key="inspect_strength",
            width=220,
            persist_state="session",
        )
        shared = st.toggle(
            "One colour scale for all stages",
            key="inspect_shared_scale",
            disabled=method.cost is not Cost.ALL_LAYERS,
            persist_state="session",
            help="Off: each map's largest value is the brightest colour. On: the largest value of "
            "all maps is, so that weak maps look weak.",
        )
    maps = _maps(subject, chosen, layer, method)
    if maps is None:
        return
    top = max(float(one.values.max()) for one in maps.values()) if shared else None
    left, right = st.columns([1, 1], gap="large")
    with left:
        _draw_large(subject, chosen, maps[layer.name], method, strength=strength, scale=top)
    with right:
        _draw_trust(subject, chosen, layer, method)
    if method.cost is Cost.ALL_LAYERS:
        _draw_stages(subject, chosen, maps, layer, strength=strength, scale=top)


def not_meaningful(cam: ActivationMap, target: str) -> str:
    """Why a map is dark everywhere."""
    if cam.values.max() > 0:
        return (
            f"Not meaningful: the score of {plain(target)} hardly depends on this layer, its "
            "gradient is about zero."
        )
    return f"Nothing in this layer speaks for {plain(target)}: the map is zero everywhere."


def _maps(
    subject: Subject, chosen: Chosen, layer: Layer, method: Method
) -> dict[str, ActivationMap] | None:
    """Of the layer, and of all stages where they cost no pass more."""
    layers = [layer.name]
    if method.cost is Cost.ALL_LAYERS:
        layers = list(dict.fromkeys([*subject.layers.stages, layer.name]))
    key = f"maps:{chosen.key}:{chosen.target}:{method.name}:{layer.name}:{subject.key}"
    slow = method.cost is Cost.CHANNEL
    if slow and not started(
        key, "inspect_draw", label="Draw this map", icon=":material/hourglass_top:"
    ):
        return None
    maps: dict[str, ActivationMap] | None = computed(
        key,
        "Drawing the maps",
        lambda report, cancel: draw_maps(
            subject.network,
            chosen.picture,
            target=chosen.target,
            layers=layers,
            method=method.name,
            progress=report,
            cancel=cancel,
        ),
        cancellable=slow,
    )
    return maps


def _draw_large(
    subject: Subject,
    chosen: Chosen,
    cam: ActivationMap,
    method: Method,
    *,
    strength: float,
    scale: float | None,
) -> None:
    target = subject.class_names[chosen.target]
    if not cam.meaningful:
        st.warning(not_meaningful(cam, target), icon=":material/do_not_disturb_on:")
    st.image(
        overlay(chosen.picture.pixels, cam.values, scale=scale, strength=strength, side=LARGE),
        width=LARGE,
        alt=f"{chosen.picture.name} with what speaks for {target} in {method.place(cam.layer)}",
    )
    brightest = float(cam.values.max()) if scale is None else scale
    st.image(
        np.repeat(COLOURS[None], 12, axis=0),
        width=LARGE,
        alt="Colour scale from nothing to the brightest value",
        caption=f"0 — what speaks for {plain(target)} — {brightest:.3g}",
    )
    with st.expander("The raw map and its numbers", on_change="rerun") as numbers:
        if numbers.open:
            _draw_numbers(cam, "picture" if method.cost is Cost.PICTURE else "layer")


def _draw_numbers(cam: ActivationMap, of: str) -> None:
    height, width = cam.values.shape
    st.caption(
        f"{height} × {width} values at the {of}'s own resolution, {cam.values.min():.4g} to "
        f"{cam.values.max():.4g}. Class score (logit) {cam.score:.4g}; the sum of "
        f"|activation × gradient| over the layer is {cam.influence:.4g}."
    )
    st.dataframe(cam.values, alt="The values of the map, row by row.")
    text = io.StringIO()
    np.savetxt(text, cam.values, delimiter=",", fmt="%.6g")
    st.download_button(
        "Download as CSV",
        text.getvalue(),
        file_name=f"map-{cam.layer}.csv",
        key="inspect_map_csv",
        icon=":material/download:",
        on_click="ignore",
    )


def _draw_stages(
    subject: Subject,
    chosen: Chosen,
    maps: dict[str, ActivationMap],
    layer: Layer,
    *,
    strength: float,
    scale: float | None,
) -> None:
    st.markdown("**All stages, from edges to parts**")
    target = subject.class_names[chosen.target]
    with st.container(horizontal=True, gap="small"):
        for name in subject.layers.stages:
            one = maps[name]
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
                    type="secondary" if name == layer.name else "tertiary",
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


def _draw_trust(subject: Subject, chosen: Chosen, layer: Layer, method: Method) -> None:
    """A test of a few seconds, started by a button, kept by the job."""
    st.markdown("**Can this map be trusted?**")
    key = f"trust:{chosen.key}:{chosen.target}:{layer.name}:{method.name}:{subject.key}"
    slot = st.container()
    if not started(key, "inspect_trust", label="Test this map", icon=":material/verified:"):
        slot.caption(
            "A map can look convincing and still not depend on what was learned. The test gives "
            "the network random weights, layer by layer (the map must change), and hides the "
            "places that the map marks (the answer must change more than by hiding random places)."
            + _trust_cost(subject, layer, method)
        )
        return
    trust = computed(
        key,
        "Testing whether the map can be trusted",
        lambda report, cancel: trust_of(
            subject.network,
            chosen.picture,
            target=chosen.target,
            layer=layer.name,
            method=method.name,
            progress=report,
            cancel=cancel,
        ),
        cancellable=True,
    )
    if trust is not None:
        draw_trust(trust)


def _trust_cost(subject: Subject, layer: Layer, method: Method) -> str:
    """What the test takes, where that is long."""
    pace = seconds_a_pass(subject, method)
    if pace is None:
        return ""
    stages = [one.name for one in subject.layers.layers if one.type == "stage"]
    maps = maps_drawn(stages, layer.name)
    seconds = maps * method.passes(layer.shape[0]) * pace
    return f" It draws the map {maps} times: about {duration(seconds)} with {method.title}."


def _draw_saliency(subject: Subject, chosen: Chosen) -> None:
    target = subject.class_names[chosen.target]
    st.info(WHY_SALIENCY, icon=":material/info:")

    def question(opened: Opened) -> ActivationMap:
        image = opened.tensor(chosen.picture)
        cams, _ = input_saliency(opened.network, image, targets=[chosen.target])
        return cams.first()

    saliency = subject.ask(
        f"saliency:{chosen.key}:{chosen.target}", "Following the gradient to the pixels", question
    )
    if saliency is None:
        return
    if not saliency.meaningful:
        st.warning("Not meaningful: the gradient is zero at every pixel.")
    st.image(
        overlay(chosen.picture.pixels, saliency.values, strength=0.85, side=LARGE),
        width=LARGE,
        alt=f"Input gradient of the score of {target}",
        caption=f"{plain(target)}: brightest {float(saliency.values.max()):.3g} of score a unit of "
        "normalised pixel",
    )
