"""Which setting matters most, on made-up results of which the answer is known."""

import math

import numpy as np
import pytest

from lab.experiments.sweeps import importance as module
from lab.experiments.sweeps.config import Params, SweepConfig
from lab.experiments.sweeps.importance import importance_words, importances


@pytest.fixture(autouse=True)
def few_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLES", 40)


AXES = {
    "learning_rate": {"low": 1e-5, "high": 1.0, "log": True},
    "batch_size": {"low": 8, "high": 64},
    "optimizer": ["adam", "sgd"],
}


def sweep(**values: object) -> SweepConfig:
    return SweepConfig.from_mapping(
        {"kind": "random", "trials": 24, "base": {}, "axes": AXES, "seeds": [0, 1], **values}
    )


def drawn(count: int, seed: int = 0) -> list[Params]:
    random = np.random.default_rng(seed)
    return [
        {
            "learning_rate": float(10 ** random.uniform(-5, 0)),
            "batch_size": int(random.integers(8, 65)),
            "optimizer": str(random.choice(["adam", "sgd"])),
        }
        for _ in range(count)
    ]


def by_rate(params: list[Params]) -> np.ndarray:
    """The rate alone decides, best at 0.003, beside the luck of two seeds."""
    far = np.array([math.log10(p["learning_rate"] / 0.003) for p in params])
    luck = np.random.default_rng(1).normal(0, 0.01, (len(params), 2))
    return 0.9 - 0.05 * far[:, None] ** 2 + luck


def test_the_one_setting_that_matters_is_found() -> None:
    params = drawn(24)
    found = importances(sweep(), params, by_rate(params))
    assert [each.knob for each in found if each.more_than_chance] == ["learning_rate"]
    assert found[0].knob == "learning_rate"
    assert found[0].value > 2 * found[0].chance
    for each in found:
        assert each.interval[0] <= each.value <= each.interval[1]
    words = importance_words(sweep(), found, 24)
    assert words.startswith("More than chance: learning rate. Not distinguishable from chance: ")
    learning = replace_kind(sweep(axes={k: AXES[k] for k in ("learning_rate", "batch_size")}))
    assert "TPE looks mostly where results are good" in importance_words(learning, found, 24)


def replace_kind(config: SweepConfig) -> SweepConfig:
    return config.model_copy(update={"kind": "tpe"})


def test_a_setting_of_words_and_a_loss_are_weighed_too() -> None:
    params = drawn(40)
    loss = np.array([[0.2 if p["optimizer"] == "sgd" else 0.9] for p in params])
    loss += np.random.default_rng(0).normal(0, 0.01, loss.shape)
    found = importances(sweep(metric="val_loss", seeds=[0]), params, loss)
    assert [each.knob for each in found if each.more_than_chance] == ["optimizer"]


def test_nothing_matters_where_all_is_luck() -> None:
    params = drawn(24)
    luck = np.random.default_rng(5).normal(0.8, 0.05, (24, 2))
    found = importances(sweep(), params, luck)
    assert not any(each.more_than_chance for each in found)
    assert importance_words(sweep(), found, 24) == (
        "No setting stands out from chance with 24 combinations."
    )


def test_too_few_combinations_say_nothing() -> None:
    params = drawn(24)
    values = by_rate(params)
    values[:5] = math.nan
    assert importances(sweep(), params, values) == []
    assert importance_words(sweep(), [], 19).startswith("19 combinations with a result are too few")
    one = sweep(axes={"learning_rate": AXES["learning_rate"]})
    assert importances(one, params, by_rate(params)) == []
    assert "Only one setting varies" in importance_words(one, [], 24)


def test_the_same_results_give_the_same_answer() -> None:
    params = drawn(20)
    first = importances(sweep(), params, by_rate(params))
    assert first == importances(sweep(), params, by_rate(params))
