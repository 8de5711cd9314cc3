"""Recorded runs and crafted curves that earn, or nearly earn, a verdict: corpus/*.json.

A case says in its `story` what is true of it, in `earns` which verdicts it gets with a part of each
one's sentence, and in `says_not` what must not be said of it, because it would be untrue. Recorded
ones come from `tests.evaluate.verdicts.record`; crafted ones say so.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.config import RunConfig
from lab.evaluate.verdicts.judge import Verdict, verdicts
from lab.training.watch.layer_file import LayerHistory
from tests.evaluate.verdicts.test_verdicts import Epochs, Steps

CORPUS = Path(__file__).parent / "corpus"
CASES = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in CORPUS.glob("*.json")}


def column(values: Any) -> np.ndarray:
    return np.array(values, dtype=float)  # None becomes NaN


def layers_of(values: dict[str, Any]) -> LayerHistory:
    columns = {
        name: column(values[name]).reshape(len(values["steps"]), -1)
        for name in ("gradient_norm", "weight_norm", "update_ratio", "dead")
    }
    shape = columns["dead"].shape
    return LayerHistory(
        layers=tuple(values["layers"]),
        steps=np.array(values["steps"]),
        saturated=np.full(shape, np.nan, dtype=np.float32),
        histograms=np.zeros((*shape, 40), dtype=np.int32),
        edges=np.zeros((*shape, 41), dtype=np.float32),
        activations=tuple(values["activations"]),
        samples=len(values["steps"]),
        **columns,
    )


def judged(case: dict[str, Any]) -> tuple[Verdict, ...]:
    epochs = {name: column(values) for name, values in case["epochs"].items()}
    steps = {name: column(values) for name, values in case["steps"].items()}
    return verdicts(
        RunConfig.from_mapping(case["config"]),
        Epochs(epochs["epoch"].astype(int), epochs["learning_rate"], epochs),
        Steps(steps["step"].astype(int), steps),
        layers=layers_of(case["layers"]) if "layers" in case else None,
        predictions=None,
        val_samples=case["val_samples"],
        train_samples=case["train_samples"],
        classes=case["classes"],
        ended=case["ended"],
    )


@pytest.mark.parametrize("name", CASES)
def test_a_case_earns_what_is_true_of_it_and_no_more(name: str) -> None:
    case = CASES[name]
    found = judged(case)
    assert {verdict.kind for verdict in found} == set(case["earns"]), case["story"]
    for verdict in found:
        assert case["earns"][verdict.kind] in verdict.sentence
        said = f"{verdict.sentence} {verdict.evidence} {verdict.suggestion}"
        for words in case["says_not"]:
            assert words not in said, case["story"]


def test_the_corpus_has_cases_that_earn_and_cases_that_nearly_do() -> None:
    assert sum(not case["earns"] for case in CASES.values()) >= 4
    assert len({kind for case in CASES.values() for kind in case["earns"]}) >= 4
