"""Ready starts and the knobs that suit a data set."""

import pytest

from lab.config import RunConfig
from lab.data.specs import DATASETS
from lab.experiments.starts import STARTS, Start, defaults_for
from lab.models.catalog import check_network


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
