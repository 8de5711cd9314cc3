"""A run that nobody named has a name that a person could have given it."""

import pytest

from lab.config import KNOBS, RunConfig
from lab.runs.naming import LONGEST_NAME, NamedRun, run_name, setting_words, title_of
from lab.runs.store import Store

TITLE = "Simple CNN on Drawn cats and dogs"
BASE = RunConfig()


def named(*runs: tuple[str, RunConfig]) -> list[NamedRun]:
    """The runs that are there, the newest first."""
    return [NamedRun(name, config.model_dump(mode="json")) for name, config in runs]


def test_the_title_has_the_titles_of_network_and_data() -> None:
    assert title_of(BASE) == TITLE
    unknown = RunConfig(dataset="my-pets", architecture="my-net")
    assert title_of(unknown) == "my-net on my-pets"


@pytest.mark.parametrize(
    ("changes", "end"),
    [
        ({"activation": "sigmoid"}, "Sigmoid"),
        ({"activation": "leaky_relu"}, "Leaky ReLU"),
        ({"learning_rate": 0.01}, "learning rate 0.01"),
        ({"epochs": 1}, "1 epoch"),
        ({"epochs": 20, "seed": 3}, "20 epochs, seed 3"),
        ({"freeze": "head_only"}, "Head only"),
        ({"horizontal_flip": True}, "horizontal flip"),
        ({"schedule": "one_cycle"}, "learning-rate schedule one cycle"),
        ({"normalisation": "imagenet"}, "pixel scaling ImageNet"),
        ({"optimizer": "adamw", "dropout": 0.5}, "dropout 0.5, AdamW"),
    ],
)
def test_what_differs_from_the_newest_run_is_named(changes: dict[str, object], end: str) -> None:
    config = BASE.changed(**changes)
    assert run_name(TITLE, config, named((TITLE, BASE))) == f"{TITLE}, {end}"


def test_the_first_run_has_the_title_and_the_same_run_the_same_name() -> None:
    assert run_name(TITLE, BASE, []) == TITLE
    flat = BASE.changed(activation="sigmoid")
    before = named((f"{TITLE}, Sigmoid", flat), (TITLE, BASE))
    assert run_name(TITLE, BASE, before) == TITLE
    assert run_name(TITLE, flat, before) == f"{TITLE}, Sigmoid"
    renamed = named(("My try", BASE))
    assert run_name(TITLE, BASE, renamed) == TITLE


def test_what_changes_only_speed_or_does_nothing_is_not_named() -> None:
    other = BASE.changed(device="cpu", compile_steps="on", film_strip=False, momentum=0.5)
    assert run_name(TITLE, other, named((TITLE, BASE))) == TITLE
    settled = BASE.changed(image_size=64)
    assert run_name(TITLE, settled, named((TITLE, BASE))) == TITLE


def test_runs_with_different_settings_never_share_a_name() -> None:
    configs = [
        BASE,
        BASE.changed(learning_rate=0.01),
        BASE.changed(activation="sigmoid"),
        BASE.changed(activation="sigmoid", learning_rate=0.01),
        BASE.changed(learning_rate=0.01, epochs=3),
        BASE.changed(epochs=3),
        BASE.changed(epochs=3, activation="sigmoid"),
        BASE,
        BASE.changed(rotation_degrees=5, zoom=0.2, width_shift=0.1, dropout=0.3, weight_decay=0.1),
        BASE.changed(rotation_degrees=5, zoom=0.2, width_shift=0.1, dropout=0.3, weight_decay=0.2),
    ]
    runs: list[NamedRun] = []
    names: dict[str, RunConfig] = {}
    for config in configs:
        name = run_name(TITLE, config, runs)
        assert 0 < len(name) <= LONGEST_NAME
        assert names.setdefault(name, config) == config
        runs = [*named((name, config)), *runs]


def test_many_changes_are_counted() -> None:
    config = BASE.changed(
        activation="sigmoid", batch_size=64, learning_rate=0.01, epochs=20, weight_decay=0.1, seed=1
    )
    name = run_name(TITLE, config, named((TITLE, BASE)))
    assert name == f"{TITLE}, Sigmoid, batch size 64 and 4 more"
    assert len(name) <= LONGEST_NAME


def test_all_of_something_stands_before_it() -> None:
    assert setting_words(KNOBS["subset_per_class"], KNOBS["subset_per_class"].default) == (
        "all images per class"
    )


def test_no_knob_is_called_by_its_name_in_the_code() -> None:
    for knob in KNOBS.values():
        values = knob.choices or (knob.default,)
        assert not any("_" in setting_words(knob, value) for value in values), knob.name


def test_the_store_names_runs(runs: Store) -> None:
    def name(config: RunConfig) -> str:
        return runs.run(runs.create_run(config)).name

    assert name(BASE) == TITLE
    assert name(BASE.changed(activation="sigmoid")) == f"{TITLE}, Sigmoid"
    assert name(BASE.changed(dataset="drawn-signs")) == "Simple CNN on Drawn signs"
    assert name(BASE) == TITLE
