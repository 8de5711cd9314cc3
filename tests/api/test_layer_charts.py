"""The charts of a run's layers and the words beside them."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from lab.api import watching
from lab.api.layer_charts import ACTIVATIONS, CHARTS, layer_chart_values
from lab.errors import NotFoundError
from lab.runs.store import Store
from lab.training.watch.layer_file import BINS, FOLDER, LayerWriter
from tests.runs.fakes import CONFIG

from .conftest import train


def write(
    runs: Store, run_id: str, steps: range, *, relu: bool = True, spoilt: bool = False
) -> None:
    """Samples of a network with a frozen first layer."""
    curve = "relu" if relu else "gelu"
    writer = LayerWriter(runs.folder(run_id), ("stem", "block1", "head"), (curve, curve, ""))
    for step in steps:
        figures = np.full((5, 3), 0.1)
        figures[:3, 0] = np.nan
        figures[3:] = np.nan
        if relu:
            figures[3, :2] = 0.25
        if spoilt and step == steps[-1]:
            figures[0, 1:] = np.inf
        counts = np.zeros((3, BINS))
        counts[1:, 0] = 7
        writer.append(step, figures, np.array([[np.nan, 0, 0], [np.nan, 1, 1]]), counts)
    writer.close()


def chart(runs: Store, run_id: str, name: str, **options: Any) -> dict[str, Any]:
    options = {"newest": None, "layer": "", **options}
    values = layer_chart_values(runs.run(run_id), runs.folder(run_id), chart=name, **options)
    json.dumps(values, allow_nan=False)
    return values


@pytest.mark.parametrize(
    ("name", "alt", "about"),
    [
        ("gradient", "Length of the gradient at step ", "darken step by step"),
        ("update", "Size of a step over the weights", "around 1/1000"),
        ("quiet", "Share of dead or saturated units", "dead if they stay so"),
    ],
)
def test_each_chart_is_drawn_and_explained(
    runs: Store, run_id: str, name: str, alt: str, about: str
) -> None:
    write(runs, run_id, range(10, 50, 10))
    values = chart(runs, run_id, name)
    assert values["figure"]["data"]
    assert values["alt"].startswith(alt)
    assert about in " ".join(values["about"].split())
    assert "Steps 10 to 40: the 4 that were sampled, now 10 steps apart." in values["caption"]


def test_blanks_and_crosses_are_explained(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 5), spoilt=True)
    caption = chart(runs, run_id, "gradient")["caption"]
    assert "Blank: the layer was frozen at that step." in caption
    assert "A cross: not a finite number" in caption
    assert "no ReLU, sigmoid or tanh follows that layer" in chart(runs, run_id, "quiet")["caption"]


def test_where_no_layer_can_be_quiet_it_says_so(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 5), relu=False)
    values = chart(runs, run_id, "quiet")
    assert values["figure"] is None
    assert "neither dead units nor flat ends" in values["caption"]


def test_activations_of_a_layer(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 5))
    values = chart(runs, run_id, ACTIVATIONS)
    assert values["layers"] == ["block1", "head"], "the first did not run"
    assert values["titles"] == ["Block 1", "Head"]
    assert values["layer"] == "block1"
    assert "behind the ReLU of Block 1 (block1)" in values["caption"]
    assert "7 values" in values["caption"]
    values = chart(runs, run_id, ACTIVATIONS, layer="head")
    assert "out of Head" in values["caption"]
    assert "no activation follows this layer" in values["caption"]
    assert "behind Head at step 4" in values["alt"]


def test_the_newest_samples_only(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 301))
    assert "240 of the 300 that were sampled" in chart(runs, run_id, "gradient")["caption"]
    recent = chart(runs, run_id, "gradient", newest=60)
    assert "Steps 241 to 300: the 60 that were sampled" in recent["caption"]


def test_a_single_sample(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 2))
    caption = chart(runs, run_id, "gradient")["caption"]
    assert caption.startswith("Step 1, the only one that was sampled.")
    assert chart(runs, run_id, ACTIVATIONS)["figure"]


def test_a_run_without_says_why(runs: Store, run_id: str, done: str) -> None:
    queued = runs.create_run(CONFIG)
    with pytest.raises(NotFoundError, match="comes with the first training step"):
        chart(runs, queued, "gradient")
    off = runs.create_run(CONFIG.changed(layer_statistics="off"))
    with pytest.raises(NotFoundError, match="Switched off for this run"):
        chart(runs, off, "gradient")
    with pytest.raises(NotFoundError, match="an earlier version of the lab trained it"):
        chart(runs, done, "gradient")


def test_a_damaged_file_is_no_history(runs: Store, run_id: str) -> None:
    write(runs, run_id, range(1, 5))
    (runs.folder(run_id) / FOLDER / "layers.json").write_text("nonsense")
    train(runs, run_id, range(1, 2))
    with pytest.raises(NotFoundError):
        chart(runs, run_id, "gradient")


def test_an_unknown_chart_is_refused_by_name(runs: Store, run_id: str) -> None:
    with pytest.raises(NotFoundError, match="there are: gradient, update, quiet, activations"):
        chart(runs, run_id, "pie")


def test_the_api_offers_the_charts_that_there_are() -> None:
    assert (*CHARTS, ACTIVATIONS) == watching.CHARTS
