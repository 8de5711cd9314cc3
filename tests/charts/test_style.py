"""The palette is held to what its docstring says, and the theme to the palette."""

from __future__ import annotations

import itertools
import tomllib
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
import pytest

from lab.charts.style import PALETTE, styled

CONFIG = tomllib.loads(
    (Path(__file__).parents[2] / ".streamlit" / "config.toml").read_text("utf-8")
)
THEME = CONFIG["theme"]

# Machado, Oliveira & Fernandes (2009), full severity, for linear RGB.
EYES = {
    "usual": np.eye(3),
    "protan": np.array(
        [
            [0.152286, 1.052583, -0.204868],
            [0.114503, 0.786281, 0.099216],
            [-0.003882, -0.048116, 1.051998],
        ]
    ),
    "deutan": np.array(
        [
            [0.367322, 0.860646, -0.227968],
            [0.280085, 0.672501, 0.047413],
            [-0.011820, 0.042940, 0.968881],
        ]
    ),
    "tritan": np.array(
        [
            [1.255528, -0.076749, -0.178779],
            [-0.078411, 0.930809, 0.147602],
            [0.004733, 0.691367, 0.303900],
        ]
    ),
}


def linear(colour: str) -> np.ndarray:
    values = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def contrast(one: str, other: str) -> float:
    """WCAG 2: 4.5 for text, 3 for the lines of a chart."""
    low, high = sorted(float(linear(c) @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in (one, other))
    return high / low


def oklab(rgb: np.ndarray) -> np.ndarray:
    cones = np.array(
        [
            [0.4122214708, 0.5363325363, 0.0514459929],
            [0.2119034982, 0.6806995451, 0.1073969566],
            [0.0883024619, 0.2817188376, 0.6299787005],
        ]
    )
    opponent = np.array(
        [
            [0.2104542553, 0.7936177850, -0.0040720468],
            [1.9779984951, -2.4285922050, 0.4505937099],
            [0.0259040371, 0.7827717662, -0.8086757660],
        ]
    )
    return opponent @ np.cbrt(cones @ np.clip(rgb, 0, None)) * 100


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_every_line_stands_out_from_the_page(appearance: str) -> None:
    page = THEME[appearance]["backgroundColor"]
    assert all(contrast(colour, page) >= 3 for colour in PALETTE)


@pytest.mark.parametrize("eye", EYES)
def test_the_first_three_stay_apart(eye: str) -> None:
    seen = [oklab(EYES[eye] @ linear(colour)) for colour in PALETTE[:3]]
    assert min(np.linalg.norm(a - b) for a, b in itertools.combinations(seen, 2)) > 7


@pytest.mark.parametrize("appearance", ["light", "dark"])
def test_text_can_be_read(appearance: str) -> None:
    colours = THEME[appearance]
    for page in (colours["backgroundColor"], colours["secondaryBackgroundColor"]):
        assert contrast(colours["textColor"], page) >= 7
        assert contrast(colours["linkColor"], page) >= 4.5
    assert contrast(colours["primaryColor"], "#ffffff") >= 4.5  # white text on the Train button


def test_the_theme_has_the_same_colours() -> None:
    assert tuple(THEME["chartCategoricalColors"]) == PALETTE


def test_no_text_colour_is_set() -> None:
    figure = styled(go.Figure().add_scatter(x=[1], y=[1]), x_title="x", y_title="y", empty="none")
    layout = figure.to_plotly_json()["layout"]
    layout.pop("template", None)
    assert "color" not in str(layout).replace("bgcolor", "").replace("gridcolor", "")
    assert layout["paper_bgcolor"] == "rgba(0,0,0,0)"
