"""Metrics as data: facts, words, columns."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from lab.metrics import METRICS, epoch_columns, metrics_of, run_columns, step_columns
from lab.training.metrics import FORMULAS
from tests.tiny_data import make_tiny_pack


def test_every_metric_has_a_formula_and_every_formula_a_metric() -> None:
    assert set(FORMULAS) == set(METRICS)
    assert all(name == metric.name for name, metric in METRICS.items())


def test_directions_and_ranges() -> None:
    loss, accuracy = METRICS["loss"], METRICS["accuracy"]
    assert (loss.higher_is_better, loss.is_share) == (False, False)
    assert (accuracy.higher_is_better, accuracy.is_share) == (True, True)
    assert loss.is_better(0.1, than=0.2)
    assert not loss.is_better(0.2, than=0.2)
    assert accuracy.is_better(0.3, than=0.2)


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("loss", 0.41234, "0.4123"),
        ("accuracy", 0.8765, "87.6%"),
        ("accuracy", None, "–"),
        ("loss", math.nan, "–"),
    ],
)
def test_words(name: str, value: float | None, text: str) -> None:
    assert METRICS[name].text(value) == text


def test_top_5_is_measured_from_six_classes_on() -> None:
    top_5 = METRICS["top5_accuracy"]
    assert top_5 not in metrics_of(5)
    assert top_5 in metrics_of(6)


def test_columns() -> None:
    metrics = [METRICS[name] for name in ("loss", "accuracy", "macro_recall")]
    assert step_columns(metrics) == ("loss", "loss_smoothed", "accuracy", "accuracy_smoothed")
    assert epoch_columns(metrics) == (
        "train_loss", "val_loss", "train_accuracy", "val_accuracy", "val_macro_recall",
    )  # fmt: skip
    assert run_columns(metrics)[:2] == ("best_val_loss", "test_loss")


TOY = """
import json
from lab import metrics
from lab.training import metrics as formulas

metrics.METRICS["doubt"] = metrics.Metric(
    "doubt", "Doubt", "One minus the largest probability.", best=0.0, worst=1.0
)
formulas.FORMULAS["doubt"] = lambda logits, labels: 1 - logits.softmax(1).amax(1)

from lab.cli.main import main
from lab.runs.store import store
from lab.ui.compare.curves import curve_choices
from lab.ui.compare.scores import RESULTS

assert main([
    "train", "--dataset", "tiny", "--architecture", "mlp", "--epochs", "1", "--json",
    "--set", "device=cpu",
]) == 0
(run,) = store().runs()
print(json.dumps({
    "steps": list(store().steps(run.id)["doubt_smoothed"]),
    "epochs": list(store().epochs(run.id)["val_doubt"]),
    "newest": store().newest(run.id).metrics["train_doubt"],
    "test": run.test["doubt"],
    "compared": [name for name in (*curve_choices(2), *RESULTS) if "doubt" in name],
}))
"""


def test_a_new_metric_needs_an_entry_and_a_formula_and_is_everywhere(lab_home: Path) -> None:
    """In a process of its own: the tables are made from METRICS when the store is imported."""
    make_tiny_pack()
    done = subprocess.run([sys.executable, "-c", TOY], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    *events, shown = [json.loads(line) for line in done.stdout.splitlines()]
    by_name = {event["event"]: event for event in events}  # the last of each
    assert 0 < by_name["step_done"]["doubt"] < 1
    assert {"train_doubt", "val_doubt"} <= set(by_name["epoch_done"])
    assert by_name["run_ended"]["test_doubt"] == shown["test"]
    assert shown["epochs"] == [by_name["epoch_done"]["val_doubt"]]
    assert shown["newest"] == by_name["epoch_done"]["train_doubt"]
    assert all(0 < value < 1 for value in shown["steps"])
    assert shown["compared"] == ["val_doubt", "train_doubt", "test_doubt", "best_val_doubt"]
