"""RunConfig: validation, sentences, and the round trips through JSON, YAML and URL."""

import pytest

from lab.config import KNOBS, RunConfig, assignments
from lab.errors import ConfigError

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
        ({"image_size": "9999"}, "allowed is a whole number from 16 to 512, or empty"),
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
