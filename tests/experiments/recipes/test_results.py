"""A recipe's runs beside the document's results."""

from dataclasses import replace
from datetime import timedelta

import pytest

from lab.config import RunConfig
from lab.experiments.recipes.book import recipe
from lab.experiments.recipes.recipe import Size, prepare
from lab.experiments.recipes.results import newest, results_of
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
    better = [row("sl-mlp", test={"accuracy": 0.96})]
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
