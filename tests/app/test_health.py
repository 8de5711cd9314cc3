"""Gradient health on the Runs and Train pages."""

from collections.abc import Callable

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.runs.queue import queue
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.watch import layer_file, layer_health
from lab.training.watch.layer_file import BINS, LayerWriter, cut_back, layer_history
from tests.app.conftest import OpenPage

Finished = Callable[[str], RunRow]
Trained = Callable[[RunConfig], str]

RELU = RunConfig(
    dataset="drawn-signs", architecture="sign-mlp", epochs=2, batch_size=16, film_strip=False
)
DEEP_SIGMOID = RELU.changed(architecture="deep-mlp", activation="sigmoid", epochs=4)


@pytest.fixture
def trained(finished: Finished, monkeypatch: pytest.MonkeyPatch) -> Trained:
    monkeypatch.setattr(layer_health, "SHARE", 1e9)  # every step

    def train(config: RunConfig) -> str:
        run_id = queue().submit(config)
        assert finished(run_id).status == "completed", store().run(run_id).message
        return run_id

    return train


def open_tab(open_page: OpenPage, run_id: str) -> AppTest:
    app = open_page("runs", run=run_id)
    app.session_state["runs_tab"] = "Gradient health"
    app.run()
    assert not app.exception, app.exception[0].value
    return app


def captions(app: AppTest) -> str:
    return "\n".join(caption.value for caption in app.caption)


def charts(app: AppTest) -> list[str]:
    """What is said in place of each chart."""
    return [element.proto.alt for element in app.get("plotly_chart")]


def choose(app: AppTest, key: str, value: str) -> None:
    app.segmented_control(key=key).set_value(value).run()
    assert not app.exception, app.exception[0].value


def test_each_chart_is_drawn_and_explained(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU)
    app = open_tab(open_page, run_id)
    assert charts(app)[0].startswith("Length of the gradient at step ")
    assert "darken" in captions(app)
    history = layer_history(store().folder(run_id))
    assert history is not None
    assert f"the {len(history.steps)} that were sampled" in captions(app)
    choose(app, "health_chart", "Step size")
    assert charts(app)[0].startswith("Size of a step over the weights")
    assert "around 1/1000" in captions(app)
    choose(app, "health_chart", "Quiet units")
    assert charts(app)[0].startswith("Share of dead or saturated units")
    assert "Blank: no ReLU, sigmoid or tanh follows that layer." in captions(app)


def test_activations_of_a_layer_at_a_step(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU)
    app = open_tab(open_page, run_id)
    choose(app, "health_chart", "Activations")
    history = layer_history(store().folder(run_id))
    assert history is not None
    first, last = int(history.steps[0]), int(history.steps[-1])
    assert f"behind layer hidden1 at step {last:,}" in charts(app)[0]
    assert "behind the relu of hidden1" in captions(app)
    app.selectbox(key=f"health_layer_{run_id}").select("head").run()
    app.select_slider(key=f"health_step_{run_id}").set_value(first).run()
    assert not app.exception
    assert f"behind layer head at step {first}" in charts(app)[0]
    assert "no activation follows this layer" in captions(app)
    app.run()
    assert app.select_slider(key=f"health_step_{run_id}").value == first


def test_the_fading_gradient_is_named_and_only_where_it_fades(
    open_page: OpenPage, trained: Trained
) -> None:
    app = open_tab(open_page, trained(DEEP_SIGMOID))
    assert len(app.warning) == 1
    assert "hidden1 receives 1/" in app.warning[0].value.replace("\\", "")
    app = open_tab(open_page, trained(DEEP_SIGMOID.changed(activation="relu")))
    assert not app.warning


def test_the_recent_window(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU)
    app = open_tab(open_page, run_id)
    assert not [c for c in app.segmented_control if c.key == "health_window"], "too few for it"
    write(run_id, range(1, 301))
    app = open_tab(open_page, run_id)
    assert "240 of the 300 that were sampled" in captions(app)
    choose(app, "health_window", "Newest 60")
    assert "Steps 241 to 300: the 60 that were sampled" in captions(app)


def write(run_id: str, steps: range, *, spoilt: bool = False) -> None:
    """Samples of a network with a frozen first layer, over those that the run left."""
    folder = store().folder(run_id)
    cut_back(folder, 0)
    writer = LayerWriter(folder, ("stem", "middle", "head"), ("gelu", "gelu", ""))
    for step in steps:
        norms = np.full((5, 3), 0.1)
        norms[:, 0] = np.nan
        norms[3:] = np.nan
        if spoilt and step == steps[-1]:
            norms[0, 1:] = np.inf
        counts = np.zeros((3, BINS))
        counts[1:, 0] = 7
        ranges = np.array([[np.nan, 0, 0], [np.nan, 1, 1]])
        writer.append(step, norms, ranges, counts)
    writer.close()


def test_frozen_layers_and_what_is_no_number_are_explained(
    open_page: OpenPage, trained: Trained
) -> None:
    run_id = trained(RELU)
    write(run_id, range(10, 50, 10), spoilt=True)
    app = open_tab(open_page, run_id)
    assert "Blank: the layer was frozen at that step." in captions(app)
    assert "A cross: not a finite number" in captions(app)
    assert "now 10 steps apart" in captions(app)
    choose(app, "health_chart", "Quiet units")
    assert not charts(app)
    assert "neither dead units nor flat ends" in app.info[0].value
    choose(app, "health_chart", "Activations")
    assert app.selectbox(key=f"health_layer_{run_id}").options == ["middle", "head"]


def test_a_single_sample(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU)
    write(run_id, range(1, 2))
    app = open_tab(open_page, run_id)
    assert "Step 1, the only one that was sampled." in captions(app)
    choose(app, "health_chart", "Activations")
    assert len(charts(app)) == 1


def test_a_run_without_says_why(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU.changed(layer_statistics="off", epochs=1))
    app = open_tab(open_page, run_id)
    assert "Switched off for this run" in captions(app)
    run_id = trained(RELU.changed(epochs=1))
    cut_back(store().folder(run_id), 0)
    app = open_tab(open_page, run_id)
    assert "an earlier version of the lab trained it" in captions(app)
    assert not charts(app)


def test_a_damaged_file_is_no_history(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(RELU.changed(epochs=1))
    (store().folder(run_id) / layer_file.FOLDER / "layers.json").write_text("nonsense")
    app = open_tab(open_page, run_id)
    assert "This run has none" in captions(app)


def test_the_train_page_has_it_folded_away(open_page: OpenPage, trained: Trained) -> None:
    run_id = trained(DEEP_SIGMOID)
    app = open_page("train", run=run_id)
    assert not charts(app)
    app.session_state["train_health"] = True
    app.run()
    assert not app.exception, app.exception[0].value
    assert charts(app)[0].startswith("Length of the gradient at step ")
    assert not app.warning, "the verdict stands under the curves, once"
