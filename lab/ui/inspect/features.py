"""Inspect, "Feature maps": what the channels of a layer put out, and the first layer's weights."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.errors import ConfigError
from lab.evaluate.opened import Opened
from lab.explain import overlay
from lab.explain.feature_maps import FeatureMaps, channel_map, feature_maps, stage_row
from lab.explain.filters import Filters, first_filters
from lab.explain.overlay import square
from lab.ui.inspect.methods import layer_words
from lab.ui.inspect.subject import Chosen, Subject
from lab.ui.words import plain
from lab.words import percent

PER_PAGE = 48
TILE, ROW, LARGE = 84, 128, 336


def draw_features(subject: Subject, chosen: Chosen) -> None:
    """The tab."""
    if subject.layers.stages:
        _draw_stage_row(subject, chosen)
    _draw_layer(subject, chosen)
    _draw_filters(subject)


def _draw_stage_row(subject: Subject, chosen: Chosen) -> None:
    st.markdown("**The same image through all stages**")
    stages = subject.ask(
        f"stages:{chosen.key}",
        "Running the image through the stages",
        lambda opened: stage_row(
            opened.network, opened.tensor(chosen.picture), subject.layers.stages
        ),
    )
    if stages is None:
        return
    with st.container(horizontal=True, gap="medium"):
        for view in stages:
            with st.container(width=ROW + 8, gap="xxsmall"):
                for values, what in (
                    (view.strongest, f"channel {view.channel}, the most active"),
                    (view.mean, "average of all channels"),
                ):
                    st.image(
                        _picture(values, signed=bool(values.min() < 0), side=ROW),
                        width=ROW,
                        alt=f"Stage {view.layer}, {what}",
                        caption=what,
                    )
                st.caption(f"**{view.layer}**  \n{' × '.join(map(str, view.shape))}")
    st.caption(
        "From left to right a stage sees more of the image and says less about where: first edges "
        "and colours, then textures, then parts. Each picture has a scale of its own: dark is "
        "zero; where a stage has values below zero, white is, with orange above and blue below."
    )


def _draw_layer(subject: Subject, chosen: Chosen) -> None:
    layers = {layer.name: layer for layer in subject.layers.layers}
    key = f"inspect_maps_layer_{subject.run.id}"
    if st.session_state.get(key) not in layers:
        st.session_state[key] = subject.layers.default_stage or next(iter(layers))
    st.markdown("**One layer, channel by channel**")
    with st.container(horizontal=True, vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer of the channels",
            list(layers),
            format_func=lambda name: layer_words(layers[name]),
            key=key,
            width=330,
        )
        own = layers[layer].spatial and st.toggle(
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
        maps = subject.ask(
            f"channels:{chosen.key}:{layer}:{first}",
            "Reading the layer",
            lambda opened: feature_maps(
                opened.network,
                opened.tensor(chosen.picture),
                layer,
                start=first,
                count=PER_PAGE,
            ),
        )
        if maps is None:
            return
        _draw_numbers(maps)
        if maps.flat:
            _draw_flat(maps, _class_names(subject, layer))
            return
        numbers = maps.shown.tolist()
        limit = None if own else maps.limit
        st.image(
            [_framed(_picture(tile, limit=limit, signed=maps.minimum < 0)) for tile in maps.tiles],
            width=TILE,
            caption=[f"{n}" for n in numbers],
            alt=[f"Channel {n} of {layer}, mean activation {maps.means[n]:.3g}" for n in numbers],
        )
        st.caption(
            f"Channels {first + 1} to {first + len(numbers)} of {total:,}, the largest mean "
            "activation first; the number below is the channel's. "
            + _colours(maps.minimum < 0)
            + ("" if own else f" Full colour: {maps.limit:.3g}, the same for all.")
        )
    _draw_one(subject, chosen, maps)


def _draw_numbers(maps: FeatureMaps) -> None:
    with st.grid(4, min_column_width=130, gap="small"):
        st.metric("Shape", " × ".join(f"{n:,}" for n in maps.shape), border=True)
        st.metric("Smallest", f"{maps.minimum:.3g}", border=True)
        st.metric("Largest", f"{maps.maximum:.3g}", border=True)
        st.metric(
            "Dead units" if maps.flat else "Dead channels",
            percent(maps.dead_share),
            border=True,
            help="Channels that say nothing about this image: the same number at every place (of a "
            "flat layer: exactly 0). They may answer to another image.",
        )


def _class_names(subject: Subject, layer: str) -> tuple[str, ...]:
    """What the units of the last layer stand for; nothing where units have only numbers."""
    last = layer.partition(".")[0] == subject.layers.layers[-1].name
    return subject.class_names if last else ()


def _draw_flat(maps: FeatureMaps, names: tuple[str, ...]) -> None:
    """A layer without places: its units as a bar each."""
    units = maps.order[:PER_PAGE]
    values = maps.means[units]
    st.bar_chart(
        {"unit": [names[n] if names else str(n) for n in units.tolist()], "activation": values},
        x="unit",
        x_label="class" if names else "unit",
        y="activation",
        sort=False,
        height=220,
        alt=f"Activation of {len(values)} units of {maps.layer}, the most active first",
    )
    st.caption(
        f"This layer has no places: {maps.shape[0]:,} units with one number each"
        + (", the class scores" if names else "")
        + (f"; the {len(units)} most active ones." if len(units) < maps.shape[0] else ".")
    )


def _draw_one(subject: Subject, chosen: Chosen, maps: FeatureMaps) -> None:
    numbers = maps.shown.tolist()
    number = st.selectbox(
        "Enlarge channel",
        numbers,
        key=f"inspect_channel_{subject.run.id}_{maps.layer}_{maps.start}",
        width=160,
    )
    values = subject.ask(
        f"channel:{chosen.key}:{maps.layer}:{number}",
        "Reading the channel",
        lambda opened: channel_map(
            opened.network, opened.tensor(chosen.picture), maps.layer, number
        ),
    )
    if values is None:
        return
    height, width = values.shape
    st.image(
        _picture(values, signed=maps.minimum < 0, side=LARGE),
        width=LARGE,
        alt=f"Channel {number} of {maps.layer}, enlarged",
        caption=f"Channel {number}: {height} × {width} values, {values.min():.3g} to "
        f"{values.max():.3g}, mean {values.mean():.3g}",
    )


def _draw_filters(subject: Subject) -> None:

    with st.expander("What the first layer looks for: its weights", on_change="rerun") as panel:
        if not panel.open:
            return
        filters = subject.ask("filters", "Reading the weights", _filters)
        if filters is None:
            return
        side = 48 if filters.kind == "convolution" else 112 if len(filters.units) > 8 else 196
        names = _class_names(subject, filters.layer) if filters.total == len(filters.units) else ()
        numbers = filters.units.tolist()
        st.image(
            [_framed(square(picture, side)) for picture in filters.pictures],
            width=side,
            caption=[plain(names[n]) if names else str(n) for n in numbers],
            alt=[f"Weights {names[n] if names else n} of {filters.layer}" for n in numbers],
        )
        what = (
            f"{filters.total:,} filters of {filters.shape[2]} × {filters.shape[3]} weights that "
            "move over the image"
            if filters.kind == "convolution"
            else f"{filters.total:,} units with a weight for every pixel"
        )
        st.caption(f"{filters.layer}: {what}. {filters.sentence}")


def _filters(opened: Opened) -> Filters:
    preprocess = opened.card.preprocess
    filters = first_filters(
        opened.network, channels=preprocess.channels, image_size=preprocess.image_size
    )
    if filters is None:
        raise ConfigError("The first layer of this network does not see the pixels themselves.")
    return filters


def _picture(
    values: npt.NDArray[np.float32],
    *,
    signed: bool,
    limit: float | None = None,
    side: int = TILE,
) -> npt.NDArray[np.uint8]:
    """(side, side, 3) in the lab's colours: amounts from dark to bright, signed numbers about
    white. `limit` is full colour; by default the largest of the values."""
    if signed:
        top = float(np.abs(values).max()) if limit is None else limit
        return overlay.square(overlay.signed(values, top), side)
    return overlay.square(overlay.coloured(overlay.scaled(values, limit)), side)


def _colours(signed: bool) -> str:
    return "White is zero, orange above, blue below." if signed else "Dark is zero, bright is much."


def _framed(picture: npt.NDArray[np.uint8], *, gap: int = 8) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (H + gap, W + gap, 4) with a see-through margin: pictures of one st.image stand
    edge to edge."""
    height, width = picture.shape[:2]
    framed = np.zeros((height + gap, width + gap, 4), dtype=np.uint8)
    framed[:height, :width, :3] = picture
    framed[:height, :width, 3] = 255
    return framed
