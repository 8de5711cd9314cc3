"""Inspect, "Where it looks": Grad-CAM in any layer, all stages in a row, the trust test."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np
import streamlit as st

from lab.data import probes
from lab.errors import LabError
from lab.evaluate.maps import draw_maps
from lab.evaluate.opened import Opened
from lab.evaluate.pictures import Picture
from lab.evaluate.trust import trust_of
from lab.explain.alternatives import Alternative, alternatives
from lab.explain.grad_cam import METHODS, ActivationMap, Cost, Method
from lab.explain.layers import Layer
from lab.explain.overlay import Mode, backdrop, drawn, square, strip
from lab.explain.saliency import WHY_SALIENCY, input_saliency
from lab.explain.trust import maps_drawn
from lab.ui.inspect.audit import draw_audit
from lab.ui.inspect.choice import target_key
from lab.ui.inspect.methods import (
    choose_layer_and_method,
    choose_mode,
    draw_method_words,
    layer_key,
    method_key,
    mode_sentence,
    place_words,
    seconds_a_pass,
    started,
)
from lab.ui.inspect.subject import Chosen, Subject
from lab.ui.inspect.trust import draw_trust
from lab.ui.widgets.background import computed
from lab.ui.widgets.edits import draw_label_is_wrong, editable_rows
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.widgets.pictures import jpeg
from lab.ui.widgets.pin_button import draw_pin_button
from lab.ui.words import plain
from lab.words import duration, probability

LARGE, SMALL = 448, 132
PAIR_WIDTH = 1160
"""Pixels that picture and map take together at most, so that both fit a projector's screen."""
SHARED = "inspect_shared_scale"
"""The key of the choice of one scale for all stages."""
NAMED = 3
"""Classes whose probability is shown at once."""


def draw_cam(subject: Subject, chosen: Chosen, panel: Any) -> None:
    """The tab; its choices go to `panel`. For a network without places: the input gradient."""
    if not subject.layers.stages:
        _draw_saliency(subject, chosen)
        return
    with panel:
        layer, method = choose_layer_and_method(subject)
    mode = choose_mode()
    with st.container(width=PAIR_WIDTH):
        picture, beside = _pair()
    with picture:
        _draw_picture(subject, chosen)
    with beside:
        if method.cost is Cost.CHANNEL:  # what it takes is to be known before the button
            draw_method_words(subject, layer, method)
        maps = _maps(subject, chosen, layer, method)
    if maps is None:
        return
    top = _top(maps, method)
    with beside:
        _draw_large(subject, chosen, maps[layer.name], layer, method, mode=mode, scale=top)
    if method.cost is Cost.ALL_LAYERS:
        _draw_stages(subject, chosen, maps, layer, mode=mode, scale=top)
    _draw_trust(subject, chosen, layer, method)
    draw_audit(subject)


def _pair() -> tuple[Any, Any]:
    """Two places of equal width, beside one another on a telephone as well."""
    grid = st.grid(2, min_column_width=150, gap="small")
    return grid.container(gap="xsmall"), grid.container(gap="xsmall")


def _draw_picture(subject: Subject, chosen: Chosen) -> None:
    """The picture as the network gets it, and its answer."""
    picture, names = chosen.picture, subject.class_names
    height, width = picture.pixels.shape[:2]
    shown = square(picture.pixels, max(LARGE, height))
    st.image(
        jpeg(shown),
        width="stretch",
        output_format="JPEG",
        alt=f"{picture.name} as the network gets it",
    )
    predicted = int(chosen.probabilities.argmax())
    answer = f"**{plain(names[predicted])}**"
    given = f"The picture as the network gets it: {width} × {height} pixels."
    if picture.label is None:
        st.markdown(f"{answer}, says the network.", help=given)
    elif picture.label == predicted:
        st.markdown(f":material/check: {answer}, and that is right.", help=given)
    else:
        st.markdown(
            f":material/close: {answer}, but its label is **{plain(names[picture.label])}**.",
            help=given,
        )
    for k in np.argsort(-chosen.probabilities, kind="stable")[:NAMED].tolist():
        share = float(chosen.probabilities[k])
        true = ", the true class" if k == picture.label else ""
        st.progress(min(1.0, share), text=f"{plain(names[k])} {probability(share)}{true}")
    _pin_button(subject, picture)
    pack, index = subject.pack, picture.index
    if (
        pack is not None
        and index is not None
        and picture.label != predicted
        and index < editable_rows(pack)
    ):
        draw_label_is_wrong(pack, index, names, names[predicted], key=f"inspect_wrong_{index}")


def _pin_button(subject: Subject, picture: Picture) -> None:
    if picture.index is None:
        return
    try:
        pinned = probes.is_pinned(subject.run.dataset, picture.index)
    except LabError:
        return
    draw_pin_button(subject.run.dataset, picture.index, key="inspect_pin", pinned=pinned)


def _top(maps: Mapping[str, ActivationMap], method: Method) -> float | None:
    """The value at the top of one scale for all stages; None for a scale for each."""
    if method.cost is Cost.ALL_LAYERS and st.session_state.get(SHARED):
        return max(float(one.values.max()) for one in maps.values())
    return None


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
    layer: Layer,
    method: Method,
    *,
    mode: Mode,
    scale: float | None,
) -> None:
    target, place = subject.class_names[chosen.target], place_words(subject, layer.name, method)
    if not cam.meaningful:
        _draw_no_map(subject, chosen, cam, layer, method)
        if not cam.values.any():
            return
    st.image(
        jpeg(drawn(chosen.picture.pixels, cam.values, mode, scale=scale, side=LARGE)),
        width="stretch",
        output_format="JPEG",
        alt=f"{chosen.picture.name} with what speaks for {target} in {place}",
    )
    height, width = cam.values.shape
    brightest = float(cam.values.max()) if scale is None else scale
    st.caption(
        mode_sentence(mode, plain(target), f"{height} × {width} places of {place}"),
        help=f"Full scale is {brightest:.3g}"
        + (", the largest value of all stages." if scale is not None else ", the largest value.")
        + f" The map has {height} × {width} values.",
    )
    if mode != "contour":
        st.image(
            strip(width=LARGE, height=10),
            width="stretch",
            alt="Colour scale, from nothing to the most",
            caption="nothing → the most",
        )
    if method.cost is not Cost.CHANNEL:
        draw_method_words(subject, layer, method)
    with st.expander("The map's numbers", on_change="rerun") as numbers:
        if numbers.open:
            _draw_numbers(cam, "picture" if method.cost is Cost.PICTURE else "layer")


def _draw_no_map(
    subject: Subject, chosen: Chosen, cam: ActivationMap, layer: Layer, method: Method
) -> None:
    """Why there is no map, and buttons for what has one."""
    target = plain(subject.class_names[chosen.target])
    place = place_words(subject, layer.name, method)
    st.info(
        f"The score of {target} hardly depends on {place}, so this map says nothing."
        if cam.values.any()
        else f"Nothing in {place} speaks for {target}, says {method.title}: the map is empty.",
        icon=":material/do_not_disturb_on:",
    )
    others: tuple[Alternative, ...] | None = subject.ask(
        f"alternatives:{chosen.key}:{chosen.target}:{method.name}:{layer.name}",
        "Looking for a map elsewhere",
        lambda opened: alternatives(
            opened.network,
            opened.tensor(chosen.picture),
            target=chosen.target,
            layer=layer.name,
            method=method.name,
            stages=subject.layers.stages,
        ),
    )
    if others is None:
        return
    if not others:
        st.caption(
            "No stage, no quick method and none of the most probable classes has a map of this "
            "picture. Choose another picture or another network."
        )
        return
    st.markdown("These have a map:")
    for other in others:
        st.button(
            _alternative_words(subject, other, method),
            key=f"inspect_instead_{other.kind}",
            icon=":material/arrow_forward:",
            on_click=_take,
            args=(subject, other),
        )


def _alternative_words(subject: Subject, other: Alternative, method: Method) -> str:
    title = METHODS.get(other.method).title
    if other.kind == "layer":
        words = f"Look at {subject.layers.titles[other.layer]}"
    elif other.kind == "class":
        words = f"What speaks for {plain(subject.class_names[other.target])}"
    else:
        return f"Use {title}"
    return words if other.method == method.name else f"{words}, by {title}"


def _take(subject: Subject, other: Alternative) -> None:
    """Chooses what has a map."""
    st.session_state[layer_key(subject)] = other.layer
    st.session_state[method_key()] = other.method
    if other.kind == "class":
        st.session_state[target_key(subject)] = other.target


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
    maps: Mapping[str, ActivationMap],
    layer: Layer,
    *,
    mode: Mode,
    scale: float | None,
) -> None:
    target = subject.class_names[chosen.target]
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**All stages, from edges to parts**", width="content")
        st.toggle(
            "One colour scale for all stages",
            key=SHARED,
            persist_state="session",
            help="Off: each map's largest value is the brightest colour. On: the largest value of "
            "all maps is, so that weak maps look weak.",
        )
    stages = subject.layers.stages
    pictures = []
    for name in stages:
        one, title = maps[name], subject.layers.titles[name]
        size = " × ".join(map(str, one.values.shape))
        pictures.append(
            PictureButton(
                drawn(chosen.picture.pixels, one.values, mode, scale=scale, side=2 * SMALL)
                if one.meaningful
                else backdrop(square(chosen.picture.pixels, 2 * SMALL)),
                f"What speaks for {target} in {title}"
                + ("" if one.meaningful else ": nothing, no map"),
                f"{title}\n" + (f"{size} places" if one.meaningful else "no map"),
                chosen=name == layer.name,
            )
        )
    draw_picture_buttons(
        pictures,
        key="inspect_stages",
        side=SMALL,
        label="Stages of the network",
        on_choose=lambda at: _look_at_layer(subject, stages[at]),
    )
    shapes = {maps[name].values.shape for name in stages if maps[name].meaningful}
    st.caption(
        "Early maps are fine-grained and scattered over edges; late ones are coarse and gather on "
        "what the class is recognised by. Click one to see it large."
        if len(shapes) != 1
        else "All stages of this network have equally many places, so late maps are no coarser "
        "than early ones. Click one to see it large."
    )


def _look_at_layer(subject: Subject, name: str) -> None:
    st.session_state[layer_key(subject)] = name


def _draw_trust(subject: Subject, chosen: Chosen, layer: Layer, method: Method) -> None:
    """A test of a few seconds, started by a button, kept by the job."""
    st.markdown("**Can this map be trusted?**")
    key = f"trust:{chosen.key}:{chosen.target}:{layer.name}:{method.name}:{subject.key}"
    slot = st.container()
    if not started(key, "inspect_trust", label="Test this map", icon=":material/verified:"):
        slot.caption(
            "A map can look convincing and still not depend on what was learned. The test gives "
            "the network random weights (the map must change) and shows it halves of the picture "
            "(those with more of the map must keep the answer, and shifted copies of the map must "
            "not tell as well)." + _trust_cost(subject, layer, method)
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
    st.info(
        "No stage of this network puts out places that Grad-CAM could point at. Instead: which "
        "pixels would move the score most.",
        icon=":material/info:",
    )

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
    mode = choose_mode()
    with st.container(width=PAIR_WIDTH):
        picture, beside = _pair()
    with picture:
        _draw_picture(subject, chosen)
    with beside:
        st.image(
            jpeg(drawn(chosen.picture.pixels, saliency.values, mode, side=LARGE)),
            width="stretch",
            output_format="JPEG",
            alt=f"Input gradient of the score of {target}",
        )
        st.caption(
            f"Bright pixels are those where a small change would move the score of "
            f"**{plain(target)}** most.",
            help=f"Full scale: {float(saliency.values.max()):.3g} of score a unit of normalised "
            "pixel.",
        )
        st.caption("Input-gradient saliency instead of Grad-CAM.", help=WHY_SALIENCY)
