"""Numbers and names of layers for people: the same on pages, charts, command line and in reports.

Imports nothing from the lab, so every module may use it.

Accuracies, probabilities and shares are fractions in [0, 1] everywhere else.
"""

from __future__ import annotations

import re

NONE = "–"
"""In place of a number that is not there."""


def percent(fraction: float | None) -> str:
    """A fraction as a percentage with one digit, such as "93.1%"; a dash when there is none."""
    return NONE if fraction is None else f"{fraction:.1%}"


def whole_percent(share: float) -> str:
    """A fraction without decimals, where there is little room; "0%" and "100%" only if exact."""
    if 0 < share < 0.005:
        return "<1%"
    return ">99%" if 0.995 <= share < 1 else f"{share:.0%}"


def probability(value: float) -> str:
    """A predicted probability as a percentage; ">99.9%" rather than a rounded 100%."""
    if value > 0.9995:
        return ">99.9%"
    return "<0.1%" if value < 0.0005 else percent(value)


def duration(seconds: float | None) -> str:
    """Seconds as "8 s", "3 min 20 s" or "2 h 05 min"."""
    if seconds is None:
        return NONE
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def size(count: float) -> str:
    """Bytes as "512 bytes" or "12.3 MB", in powers of 1000."""
    if count < 1000:
        return f"{count:.0f} bytes"
    for unit in ("kB", "MB"):
        count /= 1000
        if count < 1000:
            return f"{count:.1f} {unit}"
    return f"{count / 1000:.1f} GB"


_STAGE_TITLES = {
    "layer": "Stage",  # torchvision's name for a ResNet's stages
    "conv": "Convolution",
    "dense": "Dense layer",
    "hidden": "Hidden layer",
    "denseblock": "Dense block",
    "last_conv": "Last convolution",
}


def plural(count: int, noun: str) -> str:
    """A number with its noun: "1 class", "2 classes", "1,200 pictures"."""
    ending = "" if count == 1 else "es" if noun.endswith("s") else "s"
    return f"{count:,} {noun}{ending}"


def stage_title(name: str) -> str:
    """A stage's name for people: "Block 3" for "block3", "Fire 2 to 3" for "fire2_3"."""
    match = re.fullmatch(r"([a-z_]+?)(?:(\d+)(?:_(\d+))?)?", name)
    if match is None:
        return name
    word, first, last = match.groups()
    title = _STAGE_TITLES.get(word, word.replace("_", " ").capitalize())
    if first is None:
        return title
    return f"{title} {first}" if last is None else f"{title} {first} to {last}"


def layer_title(name: str) -> str:
    """A layer's name for people: "Block 3", and "Stage 2 · 0.conv1" for "layer2.0.conv1"."""
    stage, _, path = name.partition(".")
    return f"{stage_title(stage)} · {path}" if path else stage_title(stage)


_LAYER_KINDS = {
    "Conv": "Convolution",
    "MaxPool": "Max pooling",
    "AvgPool": "Average pooling",
    "AdaptiveAvgPool": "Average over all places",
    "FastAdaptiveAvgPool": "Average over all places",
    "BatchNorm": "Batch normalisation",
    "LayerNorm": "Layer normalisation",
    "Linear": "Dense layer",
    "Identity": "Nothing (passes on)",
    "SamePadding": "Padding",
    "FromImageNetScale": "Rescaling of the pixels",
    "Resized": "Resizing",
    "PoolTokens": "Average of the patches",
    "LayerScale": "Scale of each channel",
    "StochasticDepth": "Stochastic depth",
    "Permute": "Other order of the axes",
}
"""PyTorch's name of a layer, without its dimensions -> what people call it."""


def layer_kind(kind: str) -> str:
    """A layer's kind for people: "Convolution 3×3" for "Conv2d 3×3"; "ReLU" stays."""
    name, _, window = kind.partition(" ")
    title = _LAYER_KINDS.get(re.sub(r"[123]d$", "", name), name)
    return f"{title} {window}" if window else title


def layer_words(name: str) -> str:
    """A layer's title with its name in the code where that is another: "Block 3 (block3)"."""
    title = layer_title(name)
    return title if title.lower() == name.lower() else f"{title} ({name})"


def of_independent(units: int, images: int) -> str:
    """Returns " of 354 independent pictures", to stand behind a number of images; "" where none of
    them is a copy of another."""
    return f" of {units:,} independent pictures" if units < images else ""


def gap_words(gap: float) -> str:
    """Returns by how much a network is surer than right, in a sentence."""
    if abs(gap) < 0.0005:
        return "On average as sure as it is right."
    side = "more" if gap > 0 else "less"
    return f"On average {side} sure than right, by {abs(gap):.1%}."
