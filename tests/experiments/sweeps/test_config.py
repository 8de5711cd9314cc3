"""A sweep as data: what it allows, how it travels, which combinations it means."""

import json

import numpy as np
import pytest

from lab.config import KNOBS, RunConfig
from lab.errors import ConfigError
from lab.experiments.sweeps.config import MOST_RUNS, Range, SweepConfig

BASE = {"dataset": "drawn-signs", "architecture": "mlp", "epochs": 9}
EXAMPLE = """
name: rate, batch and width
kind: grid
base: {dataset: drawn-signs, architecture: mlp, epochs: 9}
axes:
  batch_size: [32, 128]
  hidden_sizes: [[50], [100, 50]]
  learning_rate: {low: 1e-4, high: 0.01, log: true, steps: 3}
seeds: [0, 1, 2]
"""


def sweep(**values: object) -> SweepConfig:
    return SweepConfig.from_mapping(
        {"base": BASE, "axes": {"learning_rate": [0.1, 0.01, 0.001]}, **values}
    )


def test_a_yaml_file_means_every_combination_with_every_seed() -> None:
    config = SweepConfig.from_yaml(EXAMPLE)
    assert config.points is not None
    assert len(config.points) == config.combinations == 12
    assert config.runs_at_most == 36
    assert config.points[0] == {"batch_size": 32, "hidden_sizes": (50,), "learning_rate": 0.0001}
    assert config.points[-1] == {
        "batch_size": 128,
        "hidden_sizes": (100, 50),
        "learning_rate": 0.01,
    }
    assert len({tuple(point.items()) for point in config.points}) == 12
    run = config.run_config(config.points[-1], seed=2)
    assert run == RunConfig(
        dataset="drawn-signs",
        architecture="mlp",
        epochs=9,
        batch_size=128,
        hidden_sizes=(100, 50),
        learning_rate=0.01,
        seed=2,
    )


def test_a_sweep_comes_back_from_yaml_and_json_as_it_was() -> None:
    for config in (
        SweepConfig.from_yaml(EXAMPLE),
        sweep(kind="random", axes={"dropout": [None, 0.5], "horizontal_flip": [True, False]}),
        sweep(kind="halving", axes={"weight_decay": Range(low=0, high=0.1)}, metric="val_loss"),
    ):
        for back in (
            SweepConfig.from_yaml(config.to_yaml()),
            SweepConfig.from_json(config.to_json()),
        ):
            assert back == config
            assert back.points == config.points


def test_values_are_those_that_a_run_would_have() -> None:
    # PyYAML reads 1e-3 as a text.
    config = sweep(axes={"learning_rate": ["1e-3", 1], "hidden_sizes": [[5], [6, 7]]})
    assert config.axes == {"learning_rate": (0.001, 1.0), "hidden_sizes": ((5,), (6, 7))}


@pytest.mark.parametrize(
    ("fields", "whole", "values"),
    [
        ({"low": 1e-4, "high": 1e-2, "log": True}, False, (0.0001, 0.001, 0.01)),
        ({"low": 0, "high": 1, "steps": 5}, False, (0, 0.25, 0.5, 0.75, 1)),
        ({"low": 1, "high": 3, "steps": 9}, True, (1, 2, 3)),
        ({"low": 4, "high": 4, "steps": 3}, True, (4,)),
        ({"low": 16, "high": 256, "log": True, "steps": 5}, True, (16, 32, 64, 128, 256)),
    ],
)
def test_a_range_has_round_numbers(
    fields: dict[str, float], whole: bool, values: tuple[float, ...]
) -> None:
    assert Range.model_validate(fields).values(whole=whole) == values


def test_lists_drawn_at_random_are_different_combinations_and_the_seed_fixes_them() -> None:
    axes = {"learning_rate": [0.1, 0.01, 0.001], "batch_size": [1, 2, 3, 4]}
    config = sweep(kind="random", trials=7, axes=axes)
    assert config.points is not None
    assert len({tuple(p.items()) for p in config.points}) == 7 == config.combinations
    assert sweep(kind="random", trials=7, axes=axes).points == config.points
    assert sweep(kind="random", trials=7, axes=axes, draw_seed=1).points != config.points
    assert sweep(kind="random", trials=50, axes=axes).combinations == 12


def test_drawing_leaves_the_global_generators_alone() -> None:
    before = np.random.get_state()[1].copy()  # type: ignore[union-attr]
    assert sweep(kind="random", trials=2).points
    assert (np.random.get_state()[1] == before).all()  # type: ignore[union-attr]


def test_ranges_drawn_at_random_are_not_known_beforehand() -> None:
    config = sweep(kind="random", trials=5, axes={"learning_rate": {"low": 0.001, "high": 0.1}})
    assert config.points is None
    assert config.combinations == 5


def test_rungs_end_before_the_last_epoch() -> None:
    assert sweep(kind="halving").rungs == (1, 3)
    assert sweep(kind="halving", first_rung=2, reduction=2).rungs == (2, 4, 8)
    assert sweep(kind="grid").rungs == ()


@pytest.mark.parametrize("name", [k.name for k in KNOBS.values() if k.sweep == "never"])
def test_what_changes_no_result_is_no_axis(name: str) -> None:
    with pytest.raises(ConfigError, match="seeds" if name == "seed" else f"{name} cannot be"):
        sweep(axes={name: [KNOBS[name].default]})


def test_names_say_what_differs() -> None:
    config = sweep(name="Mine", axes={"learning_rate": [0.1], "dropout": [None]}, seeds=[3, 4])
    name = config.run_name(config.points[0], 4)  # type: ignore[index]
    assert name == "Learning rate 0.1, dropout automatic, seed 4 (Mine)"
    many = sweep(name="M" * 60, axes={"hidden_sizes": [list(range(1, 20))], "dropout": [0.5]})
    assert len(many.run_name(many.points[0], 0)) <= 80  # type: ignore[index]


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"axes": {}}, "axes is empty; name at least one knob"),
        ({"axes": {"learning_rte": [1]}}, "Did you mean 'learning_rate'?"),
        ({"axes": {"learning_rate": [5, 50]}}, "learning_rate is 50; allowed is a number above 0"),
        ({"axes": {"learning_rate": []}}, "give a list of values, or low and high"),
        ({"axes": {"learning_rate": "0.1"}}, "give a list of values, or low and high"),
        ({"axes": {"batch_size": [8, 8]}}, "batch_size names a value twice: 8, 8"),
        ({"axes": {"seed": [1, 2]}}, "Use seeds, which repeats every combination"),
        ({"axes": {"device": ["cpu"]}}, "device cannot be varied by a sweep, because it does not"),
        ({"axes": {"dataset": {"low": 1, "high": 2}}}, "dataset is not a number"),
        (
            {"axes": {"batch_size": {"low": 1.5, "high": 2}}},
            "batch_size is 1.5; allowed is a whole",
        ),
        ({"axes": {"learning_rate": {"low": 1}}}, "The range of learning_rate: high is missing"),
        ({"axes": {"learning_rate": {"low": 2, "high": 1}}}, "low must not be above high"),
        (
            {"axes": {"weight_decay": {"low": 0, "high": 0.1, "log": True}}},
            "and above 0 where log is true",
        ),
        ({"kind": "halving", "axes": {"epochs": [1, 2]}}, "epochs can be varied by a grid only"),
        ({"kind": "halving", "first_rung": 9}, "compared before their last epoch"),
        (
            {"kind": "grit"},
            "kind is 'grit': input should be 'grid', 'random', 'halving', 'tpe' or 'cmaes'",
        ),
        ({"trials": 0}, "trials is 0: input should be greater than or equal to 1"),
        ({"seeds": []}, "give one or more different numbers"),
        ({"seeds": [1, 1]}, "give one or more different numbers"),
        ({"seeds": [-1]}, "seed is -1; allowed is a whole number"),
        ({"base": {"epochs": 0}}, "epochs is 0; allowed is a whole number from 1"),
        ({"base": 3}, "base is 3; it must be knobs and values"),
        ({"metric": "test_accuracy"}, "metric is 'test_accuracy'"),
        ({"metrik": "x"}, "Did you mean 'metric'?"),
        ({"axes": {"batch_size": list(range(1, MOST_RUNS + 2))}}, "would train 501 runs; allowed"),
    ],
)
def test_what_makes_no_sense_is_refused_in_a_sentence(
    values: dict[str, object], sentence: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        sweep(**values)
    assert sentence in str(refused.value)


@pytest.mark.parametrize("text", ["3", "[1]", "a: [", ""])
def test_a_file_that_is_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match=r"not valid YAML|must be lines"):
        SweepConfig.from_yaml(text)


def test_a_sweep_that_an_earlier_version_stored_is_still_read() -> None:
    """It wrote every knob, with choices that are gone, and could vary what is not varied now."""
    stored = SweepConfig.from_mapping({"base": {}, "axes": {"batch_size": [16, 32]}})
    values = json.loads(stored.to_json())
    values["base"]["compile_steps"] = "auto"
    values["axes"] = {"memory_layout": ["channels_last", "channels_first"], "depth": [2, 3]}
    sweep = SweepConfig.from_json(json.dumps(values))
    assert sweep.base.compile_steps == "off"
    assert sweep.axes["memory_layout"] == ("channels_last", "channels_first")
    with pytest.raises(ConfigError, match="memory_layout cannot be varied"):
        SweepConfig.from_mapping(values)
