"""Inspect, "Feature maps": what the channels of a layer put out, and the first layer's weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.ui.background import computed
from lab.ui.inspect_cam import layer_words
from lab.ui.inspect_choice import Chosen, Subject
from lab.ui.words import percent

if TYPE_CHECKING:
    from lab.explain.feature_maps import FeatureMaps

PER_PAGE = 48
TILE, ROW, LARGE = 84, 128, 336


def draw_features(subject: Subject, chosen: Chosen) -> None:
    """The tab."""
    if subject.anatomy.stages:
        _draw_stage_row(subject, chosen)
    _draw_layer(subject, chosen)
    _draw_filters(subject)


def _draw_stage_row(subject: Subject, chosen: Chosen) -> None:
    from lab.evaluate.inspecting import stages_of

    st.markdown("**The same image through all stages**")
    found = computed(
        f"stages:{chosen.key}",
        "Running the image through the stages",
        lambda report, cancel: stages_of(
            subject.folder, subject.checkpoint, chosen.picture, subject.anatomy.stages
        ),
    )
    if found is None:
        return
    with st.container(horizontal=True, gap="medium"):
        for view in found:
            with st.container(width=ROW + 8, gap="xxsmall"):
                for values, what in (
                    (view.strongest, f"channel {view.channel}, the most active"),
                    (view.mean, "average of all channels"),
                ):
                    st.image(
                        _picture(values, side=ROW),
                        width=ROW,
                        alt=f"Stage {view.layer}, {what}",
                        caption=what,
                    )
                st.caption(f"**{view.layer}**  \n{' × '.join(map(str, view.shape))}")
    st.caption(
        "From left to right a stage sees more of the image and says less about where: first edges "
        "and colours, then textures, then parts. Each picture on its own scale, dark is low."
    )


def _draw_layer(subject: Subject, chosen: Chosen) -> None:
    from lab.evaluate.inspecting import channels

    layers = {layer.name: layer for layer in subject.anatomy.layers}
    key = f"inspect_maps_layer_{subject.run.id}"
    if st.session_state.get(key) not in layers:
        st.session_state[key] = subject.anatomy.default_stage or next(iter(layers))
    st.markdown("**One layer, channel by channel**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer of the channels",
            list(layers),
            format_func=lambda name: layer_words(layers[name]),
            key=key,
            width=330,
        )
        own = st.toggle(
            "Each channel on its own scale",
            key="inspect_own_scale",
            help="Off: one scale for the whole layer, so that weak channels look weak.",
        )
    total = layers[layer].shape[0]
    slot = st.container()
    pages = -(-total // PER_PAGE)
    page = 1
    if pages > 1:
        page = st.pagination(pages, key=f"inspect_maps_page_{subject.run.id}_{layer}")
    first = (page - 1) * PER_PAGE
    with slot:
        maps = computed(
            f"channels:{chosen.key}:{layer}:{first}",
            "Reading the layer",
            lambda report, cancel: channels(
                subject.folder,
                subject.checkpoint,
                chosen.picture,
                layer=layer,
                start=first,
                count=PER_PAGE,
            ),
        )
        if maps is None:
            return
        _draw_numbers(maps)
        if maps.flat:
            _draw_flat(maps)
            return
        numbers = maps.shown.tolist()
        st.image(
            [
                _picture(tile, scale=None if own else (maps.minimum, maps.maximum))
                for tile in maps.tiles
            ],
            width=TILE,
            caption=[f"{n}" for n in numbers],
            alt=[f"Channel {n} of {layer}, mean activation {maps.means[n]:.3g}" for n in numbers],
        )
        st.caption(
            f"Channels {first + 1} to {first + len(numbers)} of {total:,}, the most active first; "
            "the number below is the channel's. Bright: high activation."
        )
    _draw_one(subject, chosen, maps)


def _draw_numbers(maps: FeatureMaps) -> None:
    with st.grid(4, min_column_width=130, gap="small"):
        st.metric("Shape", " × ".join(f"{n:,}" for n in maps.shape), border=True)
        st.metric("Smallest", f"{maps.minimum:.3g}", border=True)
        st.metric("Largest", f"{maps.maximum:.3g}", border=True)
        st.metric(
            "Dead channels",
            percent(maps.dead_share),
            border=True,
            help="Channels that say nothing about this image: the same number at every place (of a "
            "flat layer: exactly 0). They may answer to another image.",
        )


def _draw_flat(maps: FeatureMaps) -> None:
    """A layer without places: its units as a bar each."""
    units = maps.order[:PER_PAGE]
    values = maps.means[units]
    st.bar_chart(
        {"unit": [str(n) for n in units.tolist()], "activation": values},
        x="unit",
        y="activation",
        sort=False,
        height=220,
        alt=f"Activation of {len(values)} units of {maps.layer}, the most active first",
    )
    st.caption(
        f"This layer has no places: {maps.shape[0]:,} units with one number each; the "
        f"{len(units)} most active ones."
    )


def _draw_one(subject: Subject, chosen: Chosen, maps: FeatureMaps) -> None:
    from lab.evaluate.inspecting import one_channel

    numbers = maps.shown.tolist()
    number = st.selectbox(
        "Enlarge channel",
        numbers,
        key=f"inspect_channel_{subject.run.id}_{maps.layer}_{maps.start}",
        width=160,
    )
    values = computed(
        f"channel:{chosen.key}:{maps.layer}:{number}",
        "Reading the channel",
        lambda report, cancel: one_channel(
            subject.folder, subject.checkpoint, chosen.picture, layer=maps.layer, index=number
        ),
    )
    if values is None:
        return
    height, width = values.shape
    st.image(
        _picture(values, side=LARGE),
        width=LARGE,
        alt=f"Channel {number} of {maps.layer}, enlarged",
        caption=f"Channel {number}: {height} × {width} values, {values.min():.3g} to "
        f"{values.max():.3g}, mean {values.mean():.3g}",
    )


def _draw_filters(subject: Subject) -> None:
    from lab.evaluate.inspecting import filters
    from lab.explain.overlay import square

    with st.expander("What the first layer looks for: its weights", on_change="rerun") as panel:
        if not panel.open:
            return
        found = computed(
            f"filters:{subject.key}",
            "Reading the weights",
            lambda report, cancel: filters(subject.folder, subject.checkpoint),
        )
        if found is None:
            return
        side = 48 if found.kind == "convolution" else 112
        numbers = found.units.tolist()
        st.image(
            [square(picture, side) for picture in found.pictures],
            width=side,
            caption=[str(n) for n in numbers],
            alt=[f"Weights {n} of {found.layer}" for n in numbers],
        )
        what = (
            f"{found.total:,} filters of {found.shape[2]} × {found.shape[3]} weights that move "
            "over the image"
            if found.kind == "convolution"
            else f"{found.total:,} units with a weight for every pixel"
        )
        st.caption(f"{found.layer}: {what}. {found.sentence}")


def _picture(
    values: npt.NDArray[np.float32],
    *,
    scale: tuple[float, float] | None = None,
    side: int = TILE,
) -> npt.NDArray[np.uint8]:
    """(side, side, 3) in the lab's colours, from `scale`'s lower end (dark) to its upper one; by
    default the values' own. Activations that are never negative start at zero."""
    from lab.explain.overlay import coloured, square

    low, high = scale or (float(values.min()), float(values.max()))
    low = min(low, 0.0)
    share = (values - low) / (high - low) if high > low else np.zeros_like(values)
    return square(coloured(share), side)
