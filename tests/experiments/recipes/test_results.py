"""A recipe's runs beside the document's results."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from lab.config import RunConfig
from lab.evaluate.compare import AccuracyInterval
from lab.experiments.recipes.book import all_recipes, recipe
from lab.experiments.recipes.recipe import Size, prepare
from lab.experiments.recipes.results import (
    Result,
    answer,
    answered,
    compared,
    label,
    newest,
    newest_results,
    results_of,
)
from lab.runs.rows import RunRow
from lab.runs.store import store


def row(key: str, size: Size = "full", *, age: int = 0, **values: object) -> RunRow:
    """A completed run on the document's data, as the store would hold it."""
    each = recipe(key)
    dataset = str(values.pop("dataset", each.datasets[0]))
    network = each.networks[0] if each.networks else None
    run = prepare(each, size, only=[key], dataset=dataset, network=network)[0]
    config = run.config.changed(image_size=run.config.image_size or 28)
    made = store().run(store().create_run(config, name=run.name, origin=run.origin))
    values = {"status": "completed", "test_samples": 2000, **values}
    made = replace(made, created_at=made.created_at - timedelta(hours=age))
    return replace(made, **values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("accuracy", "sentence"),
    [
        (0.58, "As the document has it."),
        (0.545, "0.5 points below, within what chance in the test images explains."),
        (0.50, "5.0 points below the document's result."),
        (0.70, "9.0 points above the document's result."),
    ],
)
def test_numbers_beside_numbers(accuracy: float, sentence: str) -> None:
    results = results_of(recipe("cd-slp"), [row("cd-slp-slow", test={"accuracy": accuracy})])
    assert [r.comparison for r in results] == [sentence]
    low, high = results[0].interval or (1, 0)
    assert low < accuracy < high
    assert high - low < 0.05


def test_copies_count_once_where_the_runs_folder_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "lab.evaluate.leak_free.accuracy_interval",
        lambda folder, part, accuracy, n: AccuracyInterval((0.4, 0.7), 50),
    )
    rows = [row("cd-slp-slow", test={"accuracy": 0.545})]
    (result,) = results_of(recipe("cd-slp"), rows, folder=lambda run_id: tmp_path / run_id)
    assert (result.interval, result.units) == ((0.4, 0.7), 50)


def test_quick_runs_and_stand_ins_are_not_compared() -> None:
    quick = row("sl-cnn", "quick", dataset="drawn-signs", test={"accuracy": 0.95})
    result = results_of(recipe("sl-cnn"), [quick])[0]
    assert result.caveats == ("quick size", "Drawn signs instead of Sign-Language MNIST")
    assert result.comparison.startswith("Not to be compared: quick size; Drawn signs")


def test_words_are_checked_against_the_rival() -> None:
    mlp, cnn = recipe("sl-mlp"), recipe("sl-cnn")
    ours = [row("sl-mlp", test={"accuracy": 0.85})]
    alone = results_of(mlp, ours)[0]
    assert alone.comparison == (
        "Run “Sign letters with a CNN” in the same size, too; then the two can be compared."
    )
    quick = results_of(cnn, [row("sl-cnn", "quick", test={"accuracy": 0.95})])
    assert results_of(mlp, ours, quick)[0].comparison.startswith(
        "Run “Sign letters with a CNN” in the same size"
    )
    rival = results_of(cnn, [row("sl-cnn", test={"accuracy": 0.95})])
    held = results_of(mlp, ours, rival)[0].comparison
    assert held == ("As the document has it: 10.0 points below “Sign letters with a CNN” (95.0%).")
    lossy = [replace(ours[0], test={**ours[0].test, "loss": 0.5})]
    rival = results_of(cnn, [row("sl-cnn", test={"accuracy": 0.95, "loss": 0.2})])
    assert "test loss 0.500 against 0.200" in results_of(mlp, lossy, rival)[0].comparison
    equal = [row("sl-mlp", test={"accuracy": 0.951})]
    assert results_of(mlp, equal, rival)[0].comparison.startswith(
        "Not distinguishable, by the number of test images: 0.1 points above"
    )
    better = [row("sl-mlp", test={"accuracy": 0.99})]
    assert results_of(mlp, better, rival)[0].comparison.startswith("Not as the document has it")


def test_order_and_newest() -> None:
    each = recipe("cd-deep")
    runs = [
        row("cd-deep-relu", "quick"),
        row("cd-deep-relu", age=2, test={"accuracy": 0.5}),
        row("cd-deep-sigmoid", test={"accuracy": 0.5}),
        row("cd-deep-relu", age=1, status="running"),
    ]
    results = results_of(each, runs)
    assert [(r.size, r.variant.key) for r in results] == [
        ("full", "cd-deep-sigmoid"),
        ("full", "cd-deep-relu"),
        ("full", "cd-deep-relu"),
        ("quick", "cd-deep-relu"),
    ]
    assert [r.run.status for r in newest(results)] == ["completed", "running", "completed"]
    ended = newest(results, live=False)
    assert [r.run.status for r in ended] == ["completed"] * 3
    assert ended[1].run.test_accuracy == 0.5


def test_a_running_run_has_no_comparison_yet() -> None:
    result = results_of(recipe("sl-cnn"), [row("sl-cnn", status="running")])[0]
    assert result.comparison == ""
    assert result.interval is None


def test_runs_of_nothing_here_are_left_out() -> None:
    stranger = replace(row("sl-cnn"), origin="recipe:sl-cnn:huge")
    assert results_of(recipe("sl-cnn"), [stranger]) == []
    assert results_of(recipe("sl-mlp"), [row("sl-cnn")]) == []


def test_a_run_of_another_version_is_still_listed() -> None:
    config = RunConfig().to_json().replace('"depth"', '"depths"')
    old = replace(row("sl-cnn", test={"accuracy": 0.95}), config_json=config)
    result = results_of(recipe("sl-cnn"), [old])[0]
    assert result.caveats == ("made by another version of the lab",)


def by_recipe(*rows: RunRow) -> dict[str, list[Result]]:
    return {each.id: results_of(each, rows) for each in all_recipes()}


def test_an_answer_stands_beside_the_documents() -> None:
    each = recipe("sl-cnn-aug")
    plain = row("sl-cnn", test={"accuracy": 0.88})
    augmented = row("sl-cnn-aug", test={"accuracy": 0.931})
    told = answer(each, answered(each, by_recipe(plain, augmented)))
    assert told == (
        "Here: 88.0% (CNN), 93.1% (with augmentation). The document: about 95%, "
        "higher accuracy and lower validation loss than without."
    )
    alone = answer(each, answered(each, by_recipe(augmented)))
    assert alone.startswith("Here: 93.1% (with augmentation). The document: higher")
    assert answer(each, answered(each, by_recipe(plain))) == ""


def test_an_answer_says_what_is_not_as_in_the_document() -> None:
    each = recipe("sl-cnn-aug")
    quick = row("sl-cnn-aug", "quick", dataset="drawn-signs", test={"accuracy": 0.9})
    full = row("sl-cnn", test={"accuracy": 0.95})
    told = answer(each, answered(each, by_recipe(quick, full)))
    assert told.startswith("Here, quick size on Drawn signs: 90.0% (with augmentation).")


def test_full_size_answers_before_quick_size() -> None:
    each = recipe("cd-deep")
    runs = [
        row("cd-deep-relu", "quick", test={"accuracy": 0.9}),
        row("cd-deep-relu", age=1, test={"accuracy": 0.51}),
        row("cd-deep-sigmoid", age=1, status="running"),
    ]
    told = answer(each, answered(each, by_recipe(*runs)))
    assert told == "Here: 51.0% (ReLU). The document: about 50%."


def test_what_a_picture_compares() -> None:
    def labels(recipe_id: str) -> list[str]:
        each = recipe(recipe_id)
        return [label(each, other, variant) for other, variant in compared(each)]

    assert labels("cd-deep") == ["Sigmoid", "ReLU"]
    assert labels("cd-simplecnn") == [
        "Single-layer perceptron",
        "Multi-layer perceptron",
        "Simple CNN",
    ]
    assert labels("sl-cnn-aug") == ["CNN", "with augmentation"]
    for each in all_recipes():
        assert len(set(labels(each.id))) == len(labels(each.id))


def test_newest_results_are_those_of_every_recipe() -> None:
    runs = store()
    for key in ("sl-cnn", "sl-cnn", "cd-deep-relu"):
        row(key)
    runs.create_run(RunConfig(), origin="recipe:gone:quick")
    results = newest_results(runs)
    assert set(results) == {each.id for each in all_recipes()}
    assert [len(results[name]) for name in ("sl-cnn", "cd-deep", "rn")] == [1, 1, 0]
    assert results["sl-cnn"][0].run.id == runs.runs(origin="recipe:sl-cnn")[0].id
