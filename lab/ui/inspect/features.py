"""Inspect, "Feature maps": what the channels of a layer put out, and the first layer's weights."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import streamlit as st

from lab.errors import ConfigError
from lab.evaluate.opened import Opened
from lab.explain import overlay
from lab.explain.feature_maps import FeatureMaps, Floats, channel_map, feature_maps, stage_row
from lab.explain.filters import Filters, first_filters
from lab.explain.first_convolution import ConvolutionSum, convolution_sum, first_convolution
from lab.explain.layers import Layer
from lab.explain.overlay import square
from lab.ui.inspect.methods import layer_words
from lab.ui.inspect.subject import Chosen, Subject
from lab.ui.widgets.picture_buttons import PictureButton, draw_picture_buttons
from lab.ui.words import plain

PER_PAGE = 24
TILE, ROW, LARGE = 124, 112, 448
"""Least width of a channel's tile and of a stage's picture, width of an enlarged channel."""
DETAIL = 128
"""Pixels of a tile; larger maps are averaged down to it."""
ENLARGED = "inspect_enlarged"
"""The session's key of the channel that was clicked, as (picture, layer, channel)."""
ROWS = {"strongest": "Most active channel", "mean": "Average of all channels"}
ORDERS = {False: "Strongest first", True: "By number"}
SCALES = {"own": "Each channel its own", "common": "One for the whole layer"}
COLOURS_OF = {1: ("Grey",), 3: ("Red", "Green", "Blue")}


def draw_features(subject: Subject, chosen: Chosen, panel: Any) -> None:
    """The tab; its choices go to `panel`."""
    layers = {layer.name: layer for layer in subject.layers.layers}
    key = _layer_key(subject)
    if st.session_state.get(key) not in layers:
        st.session_state[key] = subject.layers.default_stage or next(iter(layers))
    with panel:
        name = st.selectbox(
            "Layer",
            list(layers),
            format_func=lambda name: layer_words(subject, layers[name]),
            key=key,
            help="The numbers are height × width × channels.",
        )
        by_number, own = False, True
        if layers[name].spatial:
            by_number = bool(
                st.selectbox(
                    "Order of the channels",
                    list(ORDERS),
                    format_func=ORDERS.__getitem__,
                    key="inspect_order",
                    help="Strongest: by a channel's average over the picture.",
                )
            )
            own = (
                st.selectbox(
                    "Brightness scale",
                    list(SCALES),
                    format_func=SCALES.__getitem__,
                    key="inspect_scale",
                    help="Its own: the largest value of each channel is the brightest colour; "
                    "patterns show, and a weak channel looks as strong as any other. One for the "
                    "whole layer: weak channels look weak.",
                )
                == "own"
            )
    if subject.layers.stages:
        _draw_stage_row(subject, chosen, name)
    _draw_layer(subject, chosen, layers[name], by_number=by_number, own=own)
    _draw_filters(subject)


def _layer_key(subject: Subject) -> str:
    return f"inspect_maps_layer_{subject.run.id}"


def _look_at(subject: Subject, layer: str) -> None:
    st.session_state[_layer_key(subject)] = layer


def _draw_stage_row(subject: Subject, chosen: Chosen, layer: str) -> None:
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown("**The same image through all stages**", width="content")
        row = st.segmented_control(
            "What of each stage",
            list(ROWS),
            default="strongest",
            format_func=ROWS.__getitem__,
            key="inspect_stage_row",
            required=True,
            label_visibility="collapsed",
        )
    stages = subject.ask(
        f"stages:{chosen.key}",
        "Running the image through the stages",
        lambda opened: stage_row(
            opened.network, opened.tensor(chosen.picture), subject.layers.stages
        ),
    )
    if stages is None:
        return
    pictures = []
    for view in stages:
        values = view.mean if row == "mean" else view.strongest
        title = subject.layers.titles[view.layer]
        what = "average of all channels" if row == "mean" else f"channel {view.channel}"
        height, width = view.shape[1:]
        pictures.append(
            PictureButton(
                _picture(values, signed=bool(values.min() < 0)),
                f"{title}, {what}. Click to see its channels",
                f"{title}\n{height} × {width}, {what}",
                chosen=view.layer == layer,
            )
        )
    draw_picture_buttons(
        pictures,
        key="inspect_feature_stages",
        side=ROW,
        label="Stages of the network",
        on_choose=lambda at: _look_at(subject, stages[at].layer),
    )
    st.caption(
        "From left to right a stage sees more of the image and says less about where: first edges "
        "and colours, then textures, then parts. Click one to see its channels.",
        help="Each picture has a scale of its own: dark is zero; where a stage has values below "
        "zero, white is, with orange above and blue below.",
    )


def _draw_layer(
    subject: Subject, chosen: Chosen, layer: Layer, *, by_number: bool, own: bool
) -> None:
    total, name = layer.shape[0], layer.name
    title = subject.layers.titles[name]
    st.markdown(f"**{title}, channel by channel**")
    slot = st.container()
    pages = -(-total // PER_PAGE)
    page = 1
    if pages > 1 and layer.spatial:
        page = st.pagination(pages, key=f"inspect_maps_page_{subject.run.id}_{name}")
    first = (page - 1) * PER_PAGE
    with slot:
        maps = subject.ask(
            f"channels:{chosen.key}:{name}:{first}:{by_number}",
            "Reading the layer",
            lambda opened: feature_maps(
                opened.network,
                opened.tensor(chosen.picture),
                name,
                start=first,
                count=PER_PAGE,
                tile_side=DETAIL,
                by_number=by_number,
            ),
        )
        if maps is None:
            return
        if maps.flat:
            _draw_flat(maps, title, _class_names(subject, name))
            return
        _draw_tiles(chosen, maps, title, first=first, own=own, by_number=by_number)
    _draw_enlarged(subject, chosen, maps, title)


def _draw_tiles(
    chosen: Chosen, maps: FeatureMaps, title: str, *, first: int, own: bool, by_number: bool
) -> None:
    numbers = maps.shown.tolist()
    limit, signed = None if own else maps.limit, maps.minimum < 0
    draw_picture_buttons(
        [
            PictureButton(
                _picture(tile, limit=limit, signed=signed),
                f"Channel {n} of {title}, average {maps.means[n]:.3g}. Click to enlarge",
                f"Channel {n}",
            )
            for n, tile in zip(numbers, maps.tiles, strict=True)
        ],
        key="inspect_channels",
        side=TILE,
        label=f"Channels of {title}",
        on_choose=lambda at: _enlarge(chosen, maps.layer, numbers[at]),
    )
    order = "in the order of their numbers" if by_number else "the strongest first"
    silent = f" {maps.dead:,} of all say nothing about this picture." if maps.dead else ""
    scale = (
        "Each has a scale of its own, so compare patterns, not brightness."
        if own
        else "All have one scale, so a dark one is weak."
    )
    st.caption(
        f"Channels {first + 1} to {first + len(numbers)} of {maps.channels:,}, {order}. {scale}"
        f"{silent} Click one to enlarge it.",
        help=f"{_colours(signed)} The layer's values go from {maps.minimum:.3g} to "
        f"{maps.maximum:.3g}."
        + ("" if own else f" Full colour is {maps.limit:.3g}.")
        + " A channel says nothing where it has the same value at every place.",
    )


def _enlarge(chosen: Chosen, layer: str, channel: int) -> None:
    st.session_state[ENLARGED] = (chosen.key, layer, channel)


def _draw_enlarged(subject: Subject, chosen: Chosen, maps: FeatureMaps, title: str) -> None:
    """Opens the dialog of the channel that was clicked, once."""
    wanted = st.session_state.get(ENLARGED)
    if wanted is None:
        return
    picture, layer, number = wanted
    if (picture, layer) != (chosen.key, maps.layer):  # something else was chosen meanwhile
        del st.session_state[ENLARGED]
        return

    def question(opened: Opened) -> tuple[Floats, ConvolutionSum | None, str | None]:
        image = opened.tensor(chosen.picture)
        convolution = first_convolution(opened.network, image.shape[1])
        values = channel_map(opened.network, image, layer, number)
        if layer != convolution:
            return values, None, convolution
        return values, convolution_sum(opened.network, image, layer, number), convolution

    answer = subject.ask(f"channel:{chosen.key}:{layer}:{number}", "Reading the channel", question)
    if answer is None:
        return  # the page runs again when it is there
    del st.session_state[ENLARGED]
    values, parts, convolution = answer
    dialog = st.dialog(f"Channel {number} of {title}", width="medium")
    dialog(_draw_channel)(subject, chosen, maps, number, values, parts, convolution)


def _draw_channel(
    subject: Subject,
    chosen: Chosen,
    maps: FeatureMaps,
    number: int,
    values: Floats,
    parts: ConvolutionSum | None,
    convolution: str | None,
) -> None:
    """The dialog: the channel beside the picture, and in the first layer what it is a sum of."""
    height, width = values.shape
    with st.grid(2, min_column_width=150, gap="small"):
        st.image(
            square(chosen.picture.pixels, LARGE),
            width="stretch",
            alt=f"{chosen.picture.name} as the network gets it",
            caption="The picture",
        )
        st.image(
            square(_picture(values, signed=maps.minimum < 0), LARGE),
            width="stretch",
            alt=f"Channel {number}, enlarged",
            caption=f"Channel {number}: {height} × {width} values",
        )
    st.caption(
        f"{_colours(maps.minimum < 0)} Values from {values.min():.3g} to {values.max():.3g}, "
        f"average {values.mean():.3g}."
    )
    if parts is not None:
        _draw_sum(parts, number)
    elif convolution is not None and maps.layer == convolution.partition(".")[0]:
        title = subject.layers.titles[convolution]
        st.caption("What a channel is a sum of can be seen in the stage's first convolution.")
        if st.button(
            f"Go to {title}",
            key="inspect_to_convolution",
            icon=":material/arrow_forward:",
            on_click=_look_at,
            args=(subject, convolution),
        ):
            st.rerun()


def _draw_sum(parts: ConvolutionSum, number: int) -> None:
    count = len(parts.inputs)
    names = COLOURS_OF.get(count, tuple(f"Part {i + 1}" for i in range(count)))
    _, rows, columns = parts.weights.shape
    st.markdown(
        "**What it is a sum of.** "
        f"At every place the filter's {rows} × {columns} weights are multiplied by the pixels "
        "under them and added up"
        + (", for each colour, and then the colours are added." if count > 1 else ".")
    )
    top = max(float(np.abs(parts.parts).max()), float(np.abs(parts.total).max()))
    heaviest = float(np.abs(parts.weights).max())
    side = LARGE // 2
    for name, image, weights, part in zip(
        names, parts.inputs, parts.weights, parts.parts, strict=True
    ):
        low, high = float(image.min()), float(image.max())
        grey = ((image - low) / max(high - low, 1e-6) * 255).round().astype(np.uint8)
        with st.grid(3, min_column_width=90, gap="small"):
            st.image(
                square(grey[..., None], side), width="stretch", caption=name,
                alt=f"{name} of the picture",
            )  # fmt: skip
            st.image(
                square(overlay.signed(weights, heaviest), side), width="stretch",
                caption=f"× filter, {rows} × {columns} weights",
                alt=f"Weights of channel {number} for {name}",
            )  # fmt: skip
            st.image(
                square(overlay.signed(part, top), side), width="stretch",
                caption="= what it adds", alt=f"What {name} adds to channel {number}",
            )  # fmt: skip
    all_parts = " + ".join(name.lower() for name in names)
    bias = f" {'+' if parts.bias >= 0 else '−'} {abs(parts.bias):.3g}, the channel's bias"
    with st.grid(3, min_column_width=90, gap="small"):
        st.image(
            square(overlay.signed(parts.total, top), side),
            width="stretch",
            caption=f"= channel {number}",
            alt=f"Channel {number}, the sum",
        )
        st.caption(
            f"{all_parts}{bias if parts.bias else ''}. White is zero, orange above, blue below, "
            "on one scale for all of these."
        )


def _class_names(subject: Subject, layer: str) -> tuple[str, ...]:
    """What the units of the last layer stand for; nothing where units have only numbers."""
    last = layer.partition(".")[0] == subject.layers.layers[-1].name
    return subject.class_names if last else ()


def _draw_flat(maps: FeatureMaps, title: str, names: tuple[str, ...]) -> None:
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
        alt=f"Activation of {len(values)} units of {title}, the most active first",
    )
    st.caption(
        f"This layer has no places: {maps.shape[0]:,} units with one number each"
        + (", the class scores" if names else "")
        + (f"; the {len(units)} most active ones." if len(units) < maps.shape[0] else ".")
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
            alt=[f"Weights {names[n] if names else n} of the first layer" for n in numbers],
        )
        what = (
            f"{filters.total:,} filters of {filters.shape[2]} × {filters.shape[3]} weights that "
            "move over the image"
            if filters.kind == "convolution"
            else f"{filters.total:,} units with a weight for every pixel"
        )
        st.caption(
            f"{subject.layers.titles.get(filters.layer, filters.layer)}: {what}. {filters.sentence}"
        )


def _filters(opened: Opened) -> Filters:
    preprocess = opened.card.preprocess
    filters = first_filters(
        opened.network, channels=preprocess.channels, image_size=preprocess.image_size
    )
    if filters is None:
        raise ConfigError("The first layer of this network does not see the pixels themselves.")
    return filters


def _picture(values: Floats, *, signed: bool, limit: float | None = None) -> npt.NDArray[np.uint8]:
    """(h, w) -> (h, w, 3) in the lab's colours: amounts from dark to bright, signed numbers about
    white. `limit` is full colour; by default the largest of the values."""
    if signed:
        top = float(np.abs(values).max()) if limit is None else limit
        return overlay.signed(values, top)
    return overlay.coloured(overlay.scaled(values, limit))


def _colours(signed: bool) -> str:
    return "White is zero, orange above, blue below." if signed else "Dark is zero, bright is much."


def _framed(picture: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """(H, W, 3) -> (H + 8, W + 8, 4) with a see-through margin: pictures of one st.image stand edge
    to edge."""
    height, width = picture.shape[:2]
    framed = np.zeros((height + 8, width + 8, 4), dtype=np.uint8)
    framed[:height, :width, :3] = picture
    framed[:height, :width, 3] = 255
    return framed
