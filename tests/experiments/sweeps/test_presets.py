"""The grids that are one click."""

import pytest

from lab.experiments.sweeps.config import SweepConfig
from lab.experiments.sweeps.presets import PRESETS, SweepPreset


@pytest.mark.parametrize("chosen", PRESETS, ids=lambda each: each.id)
@pytest.mark.parametrize("quick", [False, True])
def test_presets_are_the_documents_grids(chosen: SweepPreset, quick: bool) -> None:
    config = chosen.sweep("cats-dogs", quick=quick)
    assert SweepConfig.from_yaml(config.to_yaml()) == config
    assert (config.kind, config.seeds, config.base.optimizer) == ("grid", (0,), "adam")
    full = 5 if chosen.id.endswith("reduced") else 10
    assert config.base.epochs == (2 if quick else full)
    assert not config.base.augments
    if chosen.id.startswith("freeze"):
        assert config.combinations == 12
        assert config.axes["learning_rate"] == (1e-3, 2e-3, 1e-5)
    else:
        assert config.axes == {"batch_size": (32, 64, 128, 256), "learning_rate": (1e-3, 1e-4)}


def test_names_are_different() -> None:
    assert (
        len({each.id for each in PRESETS}) == len({each.title for each in PRESETS}) == len(PRESETS)
    )
