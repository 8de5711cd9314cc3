"""Layers x time: what is painted, what is left blank, what is said."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go
import pytest

from lab.charts import gradient_health as charts

NAN, INF = np.nan, np.inf


@dataclass
class Health:
    layers: tuple[str, ...]
    steps: Any
    gradient_norm: Any
    update_ratio: Any
    dead: Any
    saturated: Any
    histograms: Any
    edges: Any


def health(steps: int, layers: tuple[str, ...] = ("first", "middle", "head")) -> Health:
    """The gradient grows tenfold from layer to layer and shrinks to a half over the steps."""
    shape = (steps, len(layers))
    strength = np.outer(np.linspace(1, 0.5, steps), 10.0 ** (np.arange(len(layers)) % 20 - 4))
    counts = np.zeros((*shape, 4), dtype=int)
    counts[..., 1:3] = [30, 10]
    return Health(
        layers=layers,
        steps=np.arange(1, steps + 1) * 5,
        gradient_norm=strength,
        update_ratio=np.full(shape, 1e-3),
        dead=np.full(shape, 0.25),
        saturated=np.full(shape, NAN),
        histograms=counts,
        edges=np.broadcast_to(np.linspace(-1, 1, 5), (*shape, 5)),
    )


HEATMAPS = [
    (charts.gradient_strength, charts.gradient_strength_alt),
    (charts.update_sizes, charts.update_sizes_alt),
    (charts.quiet_units, charts.quiet_units_alt),
]


def heatmap(figure: go.Figure) -> go.Heatmap:
    return next(trace for trace in figure.data if trace.type == "heatmap")


def test_rows_are_layers_first_on_top_and_columns_are_steps() -> None:
    figure = charts.gradient_strength(health(6))
    trace = heatmap(figure)
    assert trace.y == ("First", "Middle", "Head")
    assert list(figure.layout.yaxis.range) == [2.5, -0.5]
    assert trace.x.tolist() == [5, 10, 15, 20, 25, 30]
    assert trace.z.shape == (3, 6)
    assert trace.z[:, 0] == pytest.approx([-4, -3, -2])
    assert trace.customdata[:, 5] == pytest.approx([5e-5, 5e-4, 5e-3])
    assert (trace.zmin, trace.zmax) == (-5, -2)
    assert figure.layout.yaxis.tickvals == ("First", "Middle", "Head")


def test_layers_have_the_titles_of_the_drawing_and_the_pointer_tells_the_codes_names() -> None:
    figure = charts.gradient_strength(health(2, ("hidden1", "layer2.0.conv1", "head")))
    axis = figure.layout.yaxis
    assert axis.ticktext == ("Hidden layer 1", "Stage 2 · 0.conv1", "Head")
    assert axis.tickvals == (
        "Hidden layer 1 (hidden1)",
        "Stage 2 · 0.conv1 (layer2.0.conv1)",
        "Head",
    )
    assert heatmap(figure).y == axis.tickvals


def test_the_scale_spans_what_is_shown() -> None:
    """The newest steps alone show small differences that the whole run hides."""
    found = health(10)
    found.gradient_norm[:5] = 1e3
    whole = heatmap(charts.gradient_strength(found))
    recent = health(5)
    window = heatmap(charts.gradient_strength(recent))
    assert (whole.zmin, whole.zmax) == (-5, 3)
    assert (window.zmin, window.zmax) == (-5, -2)
    same = health(3)
    same.gradient_norm[:] = 0.5
    trace = heatmap(charts.gradient_strength(same))
    assert trace.zmax - trace.zmin >= 2, "equal layers must not look unlike"


def test_steps_are_coloured_around_the_usual() -> None:
    found = health(1)
    found.update_ratio[0] = [1e-9, 1e-3, 1.0]
    trace = heatmap(charts.update_sizes(found))
    assert (trace.zmin + trace.zmax) / 2 == pytest.approx(np.log10(charts.USUAL_RATIO))
    assert trace.z[1, 0] == pytest.approx(-3)
    assert trace.z[0, 0] < trace.zmin
    assert trace.colorscale[1][1] == charts.BARELY


def test_dead_or_saturated_whichever_the_layer_can_be() -> None:
    found = health(2)
    found.dead[:, 1] = NAN
    found.saturated[:, 1] = 0.75
    found.dead[:, 2] = NAN
    trace = heatmap(charts.quiet_units(found))
    assert trace.z[:2, 0] == pytest.approx([0.25, 0.75])
    assert np.isnan(trace.z[2]).all()


@pytest.mark.parametrize(("figure", "alt"), HEATMAPS)
def test_nothing_yet(figure: Any, alt: Any) -> None:
    empty = figure(health(0))
    assert not empty.data
    assert empty.layout.annotations[0].text == "Nothing to show yet"
    assert alt(health(0)).endswith("no step has been sampled.")


@pytest.mark.parametrize(("figure", "alt"), HEATMAPS)
def test_one_layer_at_one_step(figure: Any, alt: Any) -> None:
    one = health(1, layers=("head",))
    assert heatmap(figure(one)).z.shape == (1, 1)
    assert "step 5: Head" in alt(one)


def test_frozen_is_blank_zero_is_the_lowest_and_no_number_is_crossed() -> None:
    found = health(2)
    found.gradient_norm[:, 0] = NAN
    found.gradient_norm[0, 1] = 0
    found.gradient_norm[1, 2] = INF
    figure = charts.gradient_strength(found)
    trace = heatmap(figure)
    assert np.isnan(trace.z[0]).all()
    assert trace.z[1, 0] == trace.zmin
    assert np.isnan(trace.z[2, 1])
    crosses = [t for t in figure.data if t.type == "scatter"]
    assert [(list(t.x), list(t.y)) for t in crosses] == [([10], ["Head"])]
    assert charts.gradient_strength_alt(found) == (
        "Length of the gradient at step 10: Middle 5.0e-04, Head ∞."
    )


@pytest.mark.parametrize(("figure", "alt"), HEATMAPS)
def test_all_frozen(figure: Any, alt: Any) -> None:
    found = health(2)
    for values in (found.gradient_norm, found.update_ratio, found.dead):
        values[:] = NAN
    assert not figure(found).data
    assert alt(found).endswith("no layer has such a value.")


def test_everything_went_wrong() -> None:
    found = health(2)
    found.gradient_norm[:] = INF
    figure = charts.gradient_strength(found)
    assert np.isnan(heatmap(figure).z).all()
    assert len(figure.data[1].x) == 6


def test_many_layers_are_all_there_and_some_are_named() -> None:
    names = tuple(f"denseblock{i // 40}.0.denselayer{i}.conv2" for i in range(121))
    figure = charts.gradient_strength(health(240, layers=names))
    assert heatmap(figure).z.shape == (121, 240)
    assert figure.layout.height <= 640
    assert len(figure.layout.yaxis.tickvals) <= 50
    assert names[0] in figure.layout.yaxis.tickvals[0]
    assert all(len(text) <= charts.LONGEST_NAME for text in figure.layout.yaxis.ticktext)
    assert "smallest of 121 layers" in charts.gradient_strength_alt(health(3, layers=names))


def test_names_are_text() -> None:
    figure = charts.gradient_strength(health(1, layers=("<b>x</b>",)))
    assert heatmap(figure).y == ("&lt;b&gt;x&lt;/b&gt;",)


def test_a_histogram_of_shares_over_its_bins() -> None:
    found = health(3)
    bars = charts.activation_histogram(found, layer=1, row=2).data[0]
    assert bars.y.tolist() == [0, 0.75, 0.25, 0]
    assert bars.x.tolist() == [-0.75, -0.25, 0.25, 0.75]
    assert bars.width.tolist() == [0.5] * 4
    assert charts.activation_histogram_alt(found, layer=1, row=2) == (
        "40 values behind Middle at step 15: from -1 to 1; 75% of them lie between -0.5 and 0."
    )


def test_a_layer_that_did_not_run_has_no_histogram() -> None:
    found = health(1)
    found.histograms[0, 1] = 0
    assert not charts.activation_histogram(found, layer=1, row=0).data
    assert "not sampled" in charts.activation_histogram_alt(found, layer=1, row=0)
