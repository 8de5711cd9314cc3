"""The engine on the real data and the real ImageNet weights (LAB_REAL_DATA, TORCH_HOME)."""

import os
import zipfile
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from lab.config import RunConfig
from lab.data import catalog
from lab.models.architecture import ARCHITECTURES
from lab.models.weights import weights_file
from lab.training.events import EpochDone, RunEnded
from tests.training.conftest import Train

pytestmark = pytest.mark.real_data


@pytest.fixture
def few_photographs(real_data: Path, tmp_path: Path) -> str:
    """100 + 100 photographs to train on and 150 + 150 to test with, in the archive's layout."""
    archive = zipfile.ZipFile(real_data / "cats_and_dogs.zip")
    for split, count in (("train", 100), ("test", 150)):
        for animal in ("cats", "dogs"):
            folder = f"cats_and_dogs/{split}/{animal}/"
            names = sorted(n for n in archive.namelist() if n.startswith(folder))
            archive.extractall(tmp_path / "few", names[:count])
    catalog.add_dataset("cats-dogs", tmp_path / "few")
    return "cats-dogs"


@pytest.fixture
def imagenet() -> None:
    if not os.environ.get("TORCH_HOME"):
        pytest.skip("TORCH_HOME is not set (torchvision's cache with ImageNet weights)")


@pytest.mark.usefixtures("imagenet")
def test_pretrained_means_pretrained(few_photographs: str, train: Train, tmp_path: Path) -> None:
    """Two epochs of a new head on 200 photographs reach what random features never do, and the
    frozen backbone, BatchNorm statistics included, is afterwards still the file's."""
    config = RunConfig(
        dataset=few_photographs,
        architecture="mobilenet_v2",
        freeze="head_only",
        batch_size=16,
        epochs=2,
        learning_rate=3e-3,
    )
    end = train(config, tmp_path / "run")[-1]
    assert isinstance(end, RunEnded)
    assert end.status == "completed"
    assert end.test["accuracy"] > 0.9
    file = torch.load(weights_file(ARCHITECTURES.get("mobilenet_v2")), weights_only=True)
    pretrained = [v for k, v in file.items() if k.startswith("features.")]
    after = load_file(tmp_path / "run" / "last.safetensors")
    ours = [v for k, v in after.items() if not k.startswith("stages.head.")]
    pool = {(v.shape, float(v.double().sum())) for v in ours}
    missing = [v.shape for v in pretrained if (v.shape, float(v.double().sum())) not in pool]
    assert not missing


@pytest.mark.usefixtures("imagenet")
def test_two_phases_train_the_head_first(
    few_photographs: str, train: Train, tmp_path: Path
) -> None:
    config = RunConfig(
        dataset=few_photographs,
        architecture="squeezenet1_1",
        image_size=96,
        freeze="two_phase",
        head_epochs=1,
        last_k=1,
        epochs=2,
        learning_rate=1e-3,
    )
    events = train(config, tmp_path / "run")
    epochs = [e for e in events if isinstance(e, EpochDone)]
    assert [e.phase for e in epochs] == ["head", "last 1 stage + head"]
    assert epochs[1].learning_rate == pytest.approx(1e-4)


def test_sign_letters_are_learned(real_data: Path, train: Train) -> None:
    catalog.add_dataset("sign-mnist", real_data / "sign-language-mnist.zip")
    config = RunConfig(
        dataset="sign-mnist",
        architecture="sign-cnn",
        subset_per_class=200,
        batch_size=64,
        epochs=4,
        normalisation="unit",
    )
    events = train(config)
    assert events[0].class_names == tuple("ABCDEFGHIKLMNOPQRSTUVWXY")  # type: ignore[union-attr]
    end = events[-1]
    assert isinstance(end, RunEnded)
    assert end.test["accuracy"] > 0.7
