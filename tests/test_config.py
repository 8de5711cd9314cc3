"""RunConfig: validation, sentences, and the round trips through JSON, YAML and URL."""

from typing import Any

import pytest

from lab.config import KNOBS, RunConfig, assignments
from lab.errors import ConfigError
from tests.knob_values import other_value

CHANGED = {
    "dataset": "sign-mnist",
    "image_size": 64,
    "reduced_class": "cat",
    "reduced_class_keep": 0.25,
    "horizontal_flip": True,
    "rotation_degrees": 12.5,
    "activation": "leaky_relu",
    "hidden_sizes": (512, 128),
    "dropout": 0.25,
    "freeze": "two_phase",
    "learning_rate": 3e-5,
    "optimizer": "sgd",
    "nesterov": True,
    "seed": 7,
}


@pytest.mark.parametrize("config", [RunConfig(), RunConfig(**CHANGED)])
def test_round_trips(config: RunConfig) -> None:
    assert RunConfig.from_json(config.to_json()) == config
    assert RunConfig.from_yaml(config.to_yaml()) == config
    assert RunConfig.from_texts(config.to_query()) == config


def test_query_holds_only_what_differs() -> None:
    assert RunConfig().to_query() == {}
    assert RunConfig(epochs=3, horizontal_flip=True).to_query() == {
        "horizontal_flip": "true",
        "epochs": "3",
    }


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        ({"batch_sise": "3"}, "Unknown knob 'batch_sise'. Did you mean 'batch_size'?"),
        ({"batch_size": "0"}, "batch_size is '0'; allowed is a whole number from 1 to 4096."),
        ({"batch_size": "12.5"}, "allowed is a whole number from 1 to 4096"),
        ({"batch_size": "many"}, "batch_size is 'many'"),
        ({"learning_rate": "nan"}, "allowed is a number above 0, at most 10"),
        ({"learning_rate": "inf"}, "allowed is a number above 0, at most 10"),
        ({"learning_rate": "0"}, "allowed is a number above 0, at most 10"),
        ({"momentum": "1"}, "allowed is a number from 0 and below 1"),
        ({"freeze": "some"}, "allowed is one of scratch, full, last_k, head_only, two_phase"),
        ({"hidden_sizes": "0"}, "1 to 20 hidden layers of 1 to 8192 units"),
        ({"hidden_sizes": "a,3"}, "whole numbers of units"),
        ({"image_size": "9999"}, "allowed is a whole number from 8 to 512, or empty"),
        ({"horizontal_flip": "perhaps"}, "allowed is true or false"),
    ],
)
def test_refusals_name_the_value_and_what_is_allowed(texts: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError) as refusal:
        RunConfig.from_texts(texts)
    assert said in str(refusal.value)


def test_every_wrong_knob_is_named() -> None:
    with pytest.raises(ConfigError) as refusal:
        RunConfig.from_mapping({"batch_size": 0, "epochs": -1})
    assert "batch_size" in str(refusal.value)
    assert "epochs" in str(refusal.value)


@pytest.mark.parametrize("text", ["- a\n- b", "just words", "a: [", ""])
def test_yaml_that_is_no_mapping_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        RunConfig.from_yaml(text)


def test_config_is_frozen_and_changed_validates_again() -> None:
    config = RunConfig()
    with pytest.raises(ValueError, match="frozen"):
        config.epochs = 3  # type: ignore[misc]
    assert config.changed(epochs=3).epochs == 3
    with pytest.raises(ConfigError):
        config.changed(epochs=0)


def test_every_knob_has_title_and_help_and_a_bounded_number() -> None:
    for knob in KNOBS.values():
        assert knob.title
        assert len(knob.help) > 20, knob.name
        if knob.kind in ("int", "float"):
            assert knob.minimum is not None, knob.name
            assert knob.maximum is not None, knob.name


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("freeze", "head_only", "Head only"),
        ("freeze", "last_k", "Last stages + head"),
        ("activation", "auto", "Automatic"),
        ("activation", "relu", "ReLU"),
        ("schedule", "one_cycle", "One cycle"),
        ("compile_steps", "of_another_version", "Of another version"),
        ("architecture", "sign-cnn", "sign-cnn"),
        ("reduced_class", "", "none"),
        ("learning_rate", 0.001, "0.001"),
        ("learning_rate", 0.000345678, "0.000345678"),
        ("epochs", 10, "10"),
        ("horizontal_flip", True, "on"),
        ("dropout", None, "automatic"),
        ("hidden_sizes", (50, 20), "50-20"),
        ("hidden_sizes", [50, 20], "50-20"),  # as JSON has it
    ],
)
def test_a_value_in_words(name: str, value: Any, words: str) -> None:
    assert KNOBS[name].text(value) == words


def test_every_choice_reads_well_and_unlike_the_others() -> None:
    for knob in KNOBS.values():
        texts = [knob.text(choice) for choice in knob.choices]
        assert len(set(texts)) == len(texts)
        assert not any("_" in text for text in texts)
        assert set(knob.choice_titles) <= set(knob.choices), knob.name


def test_what_a_knob_goes_with_are_values_of_other_knobs() -> None:
    for knob in KNOBS.values():
        for name, condition in knob.used_with.items():
            other = KNOBS[name]
            if condition == "changed":
                assert not other.default, name
            else:
                assert set(condition) < set(other.choices), name


def test_a_knob_is_used_with_what_it_goes_with() -> None:
    values = RunConfig().model_dump()
    momentum, units, patience = (
        KNOBS[name] for name in ("momentum", "head_units", "early_stopping_metric")
    )
    assert not momentum.is_used(values, ())
    assert momentum.is_used({**values, "optimizer": "sgd"}, ())
    assert momentum.is_used({}, ())  # whatever the optimizer may be
    assert patience.is_used({**values, "early_stopping_patience": 3}, ())
    assert not patience.is_used(values, ())
    assert not units.is_used({**values, "head": "dense"}, ())  # the architecture has no such head
    assert units.is_used({**values, "head": "dense"}, ("head",))
    assert not units.is_used(values, ("head",))


@pytest.mark.parametrize("knob", [k for k in KNOBS.values() if k.effect != "result"])
def test_what_changes_no_result_is_neither_swept_nor_looked_at_by_the_rate_finder(
    knob: Any,
) -> None:
    assert knob.sweep == "never"
    assert not knob.rate_finder


def test_the_command_line_says_what_a_knob_goes_with() -> None:
    assert KNOBS["momentum"].summary.endswith("default 0.9; only with optimizer sgd or rmsprop")
    assert KNOBS["reduced_class_keep"].summary.endswith("only with reduced_class set")
    assert KNOBS["depth"].summary.endswith("only for architectures that have it")


@pytest.mark.parametrize("knob", KNOBS.values())
def test_every_knob_travels(knob: Any) -> None:
    """Through YAML, the URL and a run's record."""
    config = RunConfig().changed(**{knob.name: other_value(knob)})
    assert config.differences().keys() == {knob.name}
    assert RunConfig.from_yaml(config.to_yaml()) == config
    assert RunConfig.from_texts(config.to_query()) == config
    assert RunConfig.from_json(config.to_json()) == config


@pytest.mark.parametrize(
    ("change", "kept"),
    [
        ({}, True),
        ({"freeze": "last_k"}, True),
        ({"freeze": "scratch"}, False),
        ({"freeze": "full"}, False),
        ({"frozen_features": "off"}, False),
        ({"zoom": 0.1}, False),
        ({"zoom": 0.1, "kept_views": 3}, True),
        ({"zoom": 0.1, "kept_views": 3, "frozen_features": "off"}, False),
    ],
)
def test_features_are_kept_where_frozen_stages_meet_the_same_pictures_again(
    change: dict[str, Any], kept: bool
) -> None:
    assert RunConfig(freeze="head_only").changed(**change).keeps_features is kept


def test_pretrained_and_augments_follow_from_the_knobs() -> None:
    assert not RunConfig().pretrained
    assert RunConfig(freeze="head_only").pretrained
    assert not RunConfig().augments
    assert RunConfig(zoom=0.1).augments


def test_assignments() -> None:
    assert assignments(["a=1", "b = x=y"]) == {"a": "1", "b": "x=y"}
    with pytest.raises(ConfigError, match="knob=value"):
        assignments(["batch_size"])


def test_a_config_of_version_0_1_that_left_compiling_open_is_read_as_off() -> None:
    assert RunConfig.from_json('{"compile_steps": "auto"}').compile_steps == "off"
    assert RunConfig.from_json('{"compile_steps": "on"}').compile_steps == "on"
    with pytest.raises(ConfigError, match="compile_steps is 'maybe'; allowed is one of off, on"):
        RunConfig.from_mapping({"compile_steps": "maybe"})
