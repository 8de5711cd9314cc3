"""Cards of several runs: of a comparison, and of a sweep."""

import json
import re
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.config import RunConfig
from lab.errors import ConfigError
from lab.evaluate.compare import in_words, mcnemar
from lab.evaluate.predictions import predict
from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.table import create_sweep, set_sweep_status
from lab.export.comparison_card import comparison_card
from lab.people import Person, acting_as
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.events import RunEnded


@pytest.fixture
def runs(run: RunRow) -> list[RunRow]:
    """The tiny run, and one that can hardly learn."""
    config = run.config.changed(architecture="single-layer-perceptron", learning_rate=1e-6)
    run_in_foreground(config, name=run.name)
    other = next(row for row in store().runs() if row.id != run.id)
    return [run, other]


def test_a_comparison_says_what_the_compare_page_says(runs: list[RunRow]) -> None:
    card = comparison_card(runs)
    values = json.loads(card.json)
    assert set(values["differences"]) == {"architecture", "learning_rate"}
    assert [r["test_accuracy"] for r in values["runs"]] == [r.test_accuracy for r in runs]
    names = [r["name"] for r in values["runs"]]
    assert names == [f"{r.name} · {r.id[-4:]}" for r in runs]
    right = [predict(store().folder(r.id), "best", "test").right for r in runs]
    [pair] = values["pairs"]
    assert pair["sentence"] == in_words(mcnemar(*right), *names)
    assert pair["more_than_chance"]
    assert f"<title>Lab card: {len(runs)} runs compared</title>" in card.html
    assert set(card.figures) == {
        "Validation accuracy", "Validation loss", "Accuracies with their 95% intervals"
    }  # fmt: skip
    assert len(card.figures["Validation accuracy"].data) == 2
    assert "&lt;b&gt;stripes&lt;/b&gt;" in card.html
    assert "<b>stripes" not in card.html.replace(card.html[card.html.index("<script") :], "")


def test_who_may_not_see_test_results_compares_by_validation(
    runs: list[RunRow], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SHARED", "class")
    with acting_as(Person("p-1", "Ada", "member")):
        values = comparison_card([store().run(row.id) for row in runs]).values
    assert values["part"] == "validation"
    assert [r["test_accuracy"] for r in values["runs"]] == [None, None]
    assert [r["test"] for r in values["runs"]] == [{}, {}]


def test_what_cannot_be_compared_is_said(runs: list[RunRow]) -> None:
    with pytest.raises(ConfigError, match="1 runs are chosen; a card compares 2 to 40"):
        comparison_card(runs[:1])
    for file in store().folder(runs[1].id).glob("best.safetensors"):
        file.unlink()
    for file in store().folder(runs[1].id).glob("evaluation/*"):
        file.unlink()
    card = comparison_card(runs)
    assert card.values["pairs"] == []
    assert "is not compared image by image" in card.html


def entered_sweep() -> str:
    """A sweep over two settings with all its results; the larger the batch, the worse."""
    config = SweepConfig.from_mapping(
        {
            "name": "Batches <i>",
            "base": RunConfig(dataset="drawn-signs", epochs=1).model_dump(),
            "axes": {
                "batch_size": [8, 16, 32, 64, 128],
                "weight_decay": [0, 0.1, 0.2, 0.3],
            },
        }
    )
    sweep_id = create_sweep(store(), name=config.name, config_json=config.to_json())
    for number, point in enumerate(config.points or ()):
        run_id = store().create_run(
            config.base.changed(**point), status="preparing", origin=f"sweep:{sweep_id}:{number}"
        )
        accuracy = 0.9 - point["batch_size"] / 500
        ended = RunEnded(
            status="completed", message="", epochs=1, steps=1, best_epoch=1,
            best_val={"loss": 0.5, "accuracy": accuracy},
            test={"loss": 0.6, "accuracy": accuracy - 0.1}, seconds=2.0, elapsed=3.0,
        )  # fmt: skip
        store().record(run_id, [ended])
    set_sweep_status(store(), sweep_id, "completed")
    return sweep_id


def test_a_sweep_from_the_command_line(
    lab_home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep_id = entered_sweep()
    for name in ("card", "card-json"):
        file = tmp_path / name
        assert main(["export", sweep_id, "--as", name, "--to", str(file), "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["bytes"] == file.stat().st_size
    values = json.loads((tmp_path / "card-json").read_text())
    assert len(values["combinations"]) == 20
    assert values["combinations"][0]["params"]["batch_size"] == 8
    first = values["importance"][0]
    assert first["knob"] == "batch_size"
    assert first["interval"][0] <= first["value"] <= first["interval"][1]
    assert values["importance_words"].startswith("More than chance: batch size.")
    page = (tmp_path / "card").read_text()
    assert set(re.findall(r'data-figure="([^"]+)"', page)) == {
        "All combinations", "Over batch size", "Over weight decay", "Which setting matters most?"
    }  # fmt: skip
    assert "Batches &lt;i&gt;" in page


def test_of_several_runs_there_is_a_card_alone(
    runs: list[RunRow], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ids = [row.id for row in runs]
    assert main(["export", *ids, "--as", "onnx"]) == 2
    assert "of several runs or of a sweep there is card or card-json" in capsys.readouterr().err
    file = tmp_path / "c.html"
    assert main(["export", *ids, "--as", "card", "--to", str(file)]) == 0
    assert "2 runs compared" in file.read_text()
