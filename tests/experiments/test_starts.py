"""Ready starts and the knobs that suit a data set."""

import socket
from pathlib import Path

import pytest

from lab.config import Freeze, RunConfig
from lab.data.specs import DATASETS
from lab.experiments.estimates import estimate
from lab.experiments.starts import PRESETS, STARTS, Start, defaults_for, preset_knobs
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import check_network
from lab.models.weights import check_weights, weights_file
from lab.models.weights_source import PackageWeights


@pytest.mark.parametrize("name", DATASETS.names())
def test_the_knobs_of_a_data_set_fit_it(name: str) -> None:
    spec = DATASETS.get(name)
    config = defaults_for(name)
    assert config == RunConfig(dataset=name).changed(**spec.knobs)
    assert config.dataset == name
    check_network(config, image_size=spec.image_size, channels=spec.channels)


def test_own_images_begin_with_the_general_defaults() -> None:
    assert defaults_for("leaves") == RunConfig(dataset="leaves")


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.key)
def test_a_start_has_knobs_that_exist(start: Start) -> None:
    for dataset in start.datasets:
        config = start.config(dataset)
        assert config == defaults_for(dataset).changed(**start.knobs)


@pytest.mark.parametrize("start", STARTS, ids=lambda start: start.key)
def test_what_to_expect_is_of_the_start_as_it_is(start: Start) -> None:
    for dataset, expected in start.expected.items():
        assert dataset in start.datasets
        assert len(expected.validation) == start.config(dataset).epochs
        assert all(0 < value <= 1 for value in (*expected.validation, expected.test))


def test_a_run_of_a_start_is_told_by_its_settings() -> None:
    first, transfer = STARTS[0], STARTS[-1]
    config = first.config("drawn-cats-dogs")
    assert first.is_like(vars(config))
    assert not transfer.is_like(vars(config))
    assert not first.is_like(vars(config.changed(epochs=40)))
    assert not first.is_like(vars(config.changed(dataset="drawn-signs")))
    other = transfer.config("cats-dogs", transfer.networks[1])
    assert transfer.is_like(vars(other))


def test_a_start_takes_a_network_whose_weights_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    transfer = STARTS[-1]
    assert transfer.suited_config("cats-dogs").architecture == "efficientnet_lite0"
    monkeypatch.setattr(PackageWeights, "file", Path("/nowhere"))
    assert transfer.suited_config("cats-dogs").architecture == "efficientnet_lite0"
    file = weights_file(ARCHITECTURES.get("squeezenet1_1"))
    file.parent.mkdir(parents=True)
    file.touch()
    assert transfer.suited_config("cats-dogs").architecture == "squeezenet1_1"


def test_every_start_works_on_a_machine_that_has_just_been_set_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(socket, "getaddrinfo", lambda *a, **k: pytest.fail("the network was asked"))
    for start in STARTS:
        config = start.suited_config(start.datasets[-1])
        assert config.architecture == start.config(start.datasets[-1]).architecture
        if config.pretrained:
            check_weights(ARCHITECTURES.get(config.architecture))


def test_the_first_start_is_small() -> None:
    """16 s of processor time by `OMP_NUM_THREADS=1 python -m lab train`, November 2026; this keeps
    its work within the same bounds, whatever the machine."""
    config = STARTS[0].config("drawn-cats-dogs")
    guess = estimate(config)
    assert guess is not None
    assert guess.basis == "counted"
    assert guess.seconds < 20


@pytest.mark.parametrize("freeze", ["scratch", "full", "head_only"])
@pytest.mark.parametrize("key", PRESETS)
def test_every_preset_sets_the_same_knobs_to_allowed_values(key: str, freeze: Freeze) -> None:
    config = RunConfig(dataset="drawn-cats-dogs", architecture="efficientnet_lite0", freeze=freeze)
    knobs = preset_knobs(key, config)
    assert knobs.keys() == preset_knobs("documents", config).keys()
    changed = config.changed(**knobs)
    assert not changed.mixes  # drawings are not photographs
    assert changed.schedule == ("constant" if key == "documents" and freeze != "full" else "cosine")
    assert (changed.layer_decay < 1) == (key == "modern" and freeze == "full")
