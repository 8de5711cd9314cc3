"""The lab from Python: it trains really, and says what the pages and the command line say."""

from __future__ import annotations

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest
from PIL import Image

from lab import notebook as lab
from lab.cli.main import main
from lab.data import catalog
from lab.errors import ConfigError, LabError, NotFoundError, StateError
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

KNOBS = {"architecture": "sign-cnn", "batch_size": 16, "learning_rate": 3e-4}


@pytest.fixture
def run() -> lab.Run:
    return lab.train(dataset=make_tiny_pack(), name="first", epochs=2, **KNOBS)


def test_a_run_and_its_tables(run: lab.Run, capsys: pytest.CaptureFixture[str]) -> None:
    row = store().run(run.id)
    assert (run.status, run.name, run.test["accuracy"]) == ("completed", "first", row.test_accuracy)
    assert lab.run("first") == lab.run(run.id[:-1]) == run
    assert "first, completed" in repr(run)
    epochs, steps = run.epochs(), run.steps()
    assert list(epochs.index) == [1, 2]
    assert epochs["val_accuracy"].max() == pytest.approx(row.best_val_accuracy)
    assert len(steps) == row.total_steps
    assert steps["loss"].notna().all()
    answers = run.predictions()
    assert answers["right"].mean() == pytest.approx(row.test_accuracy)
    assert set(answers["true"]) == set(row.class_names)
    wrong = run.wrong(limit=3)
    assert not wrong["right"].any()
    assert list(wrong["probability"]) == sorted(wrong["probability"], reverse=True)
    classes = run.per_class("val")
    assert classes["images"].sum() == row.val_samples
    matrix = run.confusion()
    assert matrix.to_numpy().sum() == row.test_samples
    assert np.trace(matrix.to_numpy()) == answers["right"].sum()
    index = int(answers.index[0])
    pack = catalog.open_pack("tiny")
    assert (np.asarray(run.picture(index)) == pack.images[index][..., 0]).all()
    assert list(run.verdicts().columns[:3]) == ["kind", "title", "sentence"]
    loss, *_ = run.figure().data
    assert list(loss.y) == pytest.approx(list(steps["loss"]))
    assert lab.runs().loc[run.id, "test_accuracy"] == pytest.approx(row.test_accuracy)
    with pytest.raises(ConfigError, match="allowed are 'val' and 'test'"):
        run.predictions("train")  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="Unknown run"):
        lab.run("nobody")


def test_a_picture_is_answered_whatever_it_comes_as(run: lab.Run, tmp_path: Path) -> None:
    pixels = catalog.open_pack("tiny").images[7]
    folder = tmp_path / "pictures"
    folder.mkdir()
    file = folder / "seven.png"
    Image.fromarray(pixels[..., 0]).save(file)
    (folder / "none.png").write_text("no picture")
    expected = run.classify(file)
    assert expected.top(1)[0][0] == expected.predicted_class
    for each in (str(file), file.read_bytes(), Image.open(file), pixels, pixels[..., 0]):
        assert run.classify(each).probabilities == pytest.approx(expected.probabilities)
    table = run.classify_many(folder)
    assert list(table["picture"]) == [str(folder / "none.png"), str(file)]
    assert "holds text" in table["error"][0]
    assert table["predicted"][1] == expected.predicted_class
    mixed = run.classify_many([file, pixels])
    assert list(mixed["probability"]) == pytest.approx([expected.top(1)[0][1]] * 2)
    with pytest.raises(LabError, match="is not there"):
        run.classify(tmp_path / "gone.png")
    with pytest.raises(LabError, match="of uint8"):
        run.classify(np.zeros((3, 3)))  # type: ignore[arg-type]
    shown = run.explain(file)
    assert shown.map.ndim == 2
    assert shown.target == expected.predicted_class
    assert shown.picture.size == (448, 448)
    assert run.explain(7).map == pytest.approx(shown.map, abs=1e-5)
    other = next(name for name in expected.class_names if name != shown.target)
    assert run.explain(file, target=other).target == other
    with pytest.raises(ConfigError, match="Unknown class"):
        run.explain(file, target="nothing")
    written = run.export("safetensors", tmp_path / "weights.safetensors")
    assert written.file.stat().st_size == written.bytes


def test_two_runs_are_compared_as_the_page_does(run: lab.Run) -> None:
    other = lab.train(run.config, seed=1)
    found = lab.compare(run, other)
    [pair] = found.pairs
    assert found.verdict == str(found) == pair.sentence
    assert list(found.settings.index) == ["seed"]
    row = found.frame().iloc[0]
    accuracies = run.test["accuracy"] - other.test["accuracy"]
    assert row["difference"] == pytest.approx(accuracies)
    assert row["low"] <= row["difference"] <= row["high"]
    three = lab.compare(run, other, run)
    assert len(three.pairs) == 3
    assert three.verdict.startswith("Not distinguishable here: first")
    with pytest.raises(ConfigError, match="two or more"):
        lab.compare(run)


def test_a_sweep(capsys: pytest.CaptureFixture[str]) -> None:
    found = lab.sweep({"batch_size": [16, 64]}, dataset=make_tiny_pack(), epochs=1,
                      architecture="mlp")  # fmt: skip
    table = found.frame()
    assert found.status == "completed"
    assert sorted(table["batch_size"]) == [16, 64]
    assert table["place"].iloc[0] == 1
    assert {each.id for each in found.runs()} == {row.id for row in store().runs()}
    assert found.best().row.best_val_accuracy == pytest.approx(table["mean"].iloc[0])
    with pytest.raises(ConfigError):
        lab.sweep({"nothing": [1]})


def test_data_sets(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        for number in range(12):
            pixels = np.full((20, 24, 3), number * 20 + (name == "dog"), np.uint8)
            Image.fromarray(pixels).save(tmp_path / "pets" / name / f"{number}.png")
    added = lab.add_dataset(tmp_path / "pets", "My Pets", image_size=16)
    assert added == lab.dataset("my-pets")
    assert (added.name, added.class_names, added.info.title) == (
        "my-pets",
        ("cat", "dog"),
        "My Pets",
    )
    images, labels = added.arrays("train")
    assert images.shape == (len(labels), 16, 16, 3)
    assert len(added.frame()) == 24
    assert lab.datasets().loc["my-pets", "train"] == len(labels)
    with pytest.raises(LabError, match="already a data set"):
        lab.add_dataset(tmp_path / "pets", "my-pets")
    with pytest.raises(NotFoundError):
        lab.dataset("my-petz")


def test_what_the_pages_know_the_notebook_knows(
    run: lab.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert main(["runs", "--json"]) == 0
    assert run.id in capsys.readouterr().out
    with pytest.raises(StateError):
        run.resume()
    with pytest.raises(ConfigError, match="Unknown knob"):
        lab.train(epoch=3)


class _Shown:
    """What IPython's `display` returns; keeps what was shown."""

    def __init__(self, first: Any) -> None:
        self.states = [first]

    def update(self, state: Any, *, raw: bool = False) -> None:
        self.states.append(state)


def test_in_a_notebook_a_bar_and_a_chart_grow(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shown: list[_Shown] = []

    def display(first: Any, *, display_id: bool, raw: bool = False) -> _Shown:
        shown.append(_Shown(first))
        return shown[-1]

    shell = type("ZMQInteractiveShell", (), {})()
    ipython = types.ModuleType("IPython")
    ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
    module = types.ModuleType("IPython.display")
    module.display = display  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    monkeypatch.setattr("lab.notebook.training.BAR_SECONDS", 0.0)
    monkeypatch.setattr("lab.notebook.training.FIGURE_SECONDS", 0.0)
    run = lab.train(dataset=make_tiny_pack(), epochs=2, **KNOBS)
    bar, chart = shown
    texts = [repr(state) for state in bar.states]
    assert texts[0] == "Preparing"
    assert any(text.startswith("Step ") for text in texts)
    assert texts[-1] == run.row.message
    assert "<progress value=" in bar.states[-1]._repr_html_()
    # As raw data: a figure displays itself and would come anew below the last one.
    figures = [go.Figure(state["application/vnd.plotly.v1+json"]) for state in chart.states]
    losses = [len(figure.data[0].y) for figure in figures]
    assert losses == sorted(losses)
    assert losses[-1] == run.row.total_steps
    assert list(figures[-1].data[3].y) == pytest.approx(list(run.epochs()["val_accuracy"]))
    assert not capsys.readouterr().out
    lab.train(dataset="tiny", epochs=1, live=False, **KNOBS)
    assert len(shown) == 3


def test_tables_of_nothing() -> None:
    assert lab.runs().empty
    assert isinstance(lab.runs(), pd.DataFrame)
