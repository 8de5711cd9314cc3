"""Frozen layers that run once give what they would give at every step."""

import errno
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from lab.config import RunConfig
from lab.data.preprocess import Preprocess
from lab.errors import DiskFullError, ResourceError
from lab.models.architecture import ARCHITECTURES
from lab.models.catalog import build_network
from lab.models.freezing import apply_freeze
from lab.models.staged import StagedNet
from lab.training.frozen import feature_bank
from lab.training.frozen.feature_bank import FeatureBank
from lab.training.frozen.features import (
    Cut,
    after,
    before,
    feature_key,
    find_cut,
    folded,
    frozen_part,
    row_shape,
)

SIZE = 64
PREPROCESS = Preprocess(channels=3, image_size=SIZE, mean=(0.0,) * 3, std=(1.0,) * 3)
# Of those made by one builder, one that pools before its last layers, and one of tokens.
ALIKE = {"efficientnet_lite1", "efficientnet_lite2", "resnet18d", "resnet50_a1", "vit_small"}
ALIKE |= {"dinov2_small", "efficientnetv2_b0", "regnety_400mf", "repvgg_a0"}
PRETRAINABLE = [spec.name for spec in ARCHITECTURES if spec.weights and spec.name not in ALIKE]


def frozen(name: str, freeze: str = "head_only", *, seed: int = 0, **knobs: object) -> StagedNet:
    """A network with random weights, frozen as if they were pretrained ones."""
    scratch = RunConfig(seed=seed).changed(architecture=name, **knobs)
    network = build_network(scratch, channels=3, image_size=SIZE, classes=4)
    apply_freeze(network, scratch.changed(freeze=freeze))
    return network


@pytest.mark.parametrize("freeze", ["head_only", "last_k"])
@pytest.mark.parametrize("name", PRETRAINABLE)
def test_before_and_after_the_cut_make_the_whole_network(name: str, freeze: str) -> None:
    network = frozen(name, freeze).eval()
    cut = find_cut(network)
    assert cut is not None
    images = torch.rand(3, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        features = before(network, cut, images)
        assert torch.equal(after(network, cut, features), network(images))
        alone = before(network, cut, images[1:2])
    # Other images in the batch change nothing but the last bits of the largest numbers.
    assert (alone[0] - features[1]).abs().max() <= 1e-4 * features[1].abs().max()


def test_pooling_belongs_to_what_runs_once() -> None:
    network = frozen("mobilenet_v2")
    cut = find_cut(network)
    assert cut == Cut("head", 2)
    assert row_shape(network, cut, PREPROCESS) == (1280,)


def test_dropout_is_another_one_at_every_step() -> None:
    network = frozen("vgg16", head="dense")
    cut = find_cut(network)
    assert cut is not None
    network.train()
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    features = before(network, cut, images)
    first, second = after(network, cut, features), after(network, cut, features)
    assert not torch.equal(first, second)
    assert torch.equal(before(network, cut, images), features)


def test_no_cut_where_all_is_trained() -> None:
    network = build_network(RunConfig(), channels=3, image_size=SIZE, classes=2)
    assert find_cut(network) is None


def test_the_key_follows_everything_that_matters() -> None:
    network = frozen("squeezenet1_1")
    cut = find_cut(network)
    assert cut is not None

    def key(net: StagedNet = network, data: str = "a", precision: str = "fp32") -> str:
        return feature_key(net, cut, dataset_hash=data, preprocess=PREPROCESS, precision=precision)

    other_weights, other_head = frozen("squeezenet1_1", seed=1), frozen("squeezenet1_1")
    with torch.no_grad():
        for parameter in other_head.stage("head").parameters():
            parameter.add_(1)
    assert len({key(), key(other_weights), key(data="b"), key(precision="bf16")}) == 4
    assert key(other_head) == key()


def rows(*numbers: int) -> np.ndarray:
    return np.array(numbers, dtype=np.int64)


def test_a_bank_remembers_what_was_flushed() -> None:
    values = np.arange(12, dtype=np.float32).reshape(2, 6)
    bank = FeatureBank("k", count=5, shape=(6,))
    bank.write(rows(3, 1), values)
    bank.close()
    again = FeatureBank("k", count=5, shape=(6,))
    assert again.filled == 2
    assert again.missing(rows(0, 1, 2, 3, 4)).tolist() == [True, False, True, False, True]
    assert np.array_equal(again.read(rows(1, 3)), values[::-1])
    again.close()


def test_a_bank_that_was_cut_short_is_made_anew(lab_home: Path) -> None:
    bank = FeatureBank("k", count=5, shape=(6,))
    bank.write(rows(0), np.ones((1, 6), np.float32))
    bank.close()
    data = lab_home / "features" / "k" / "features.npy"
    data.write_bytes(data.read_bytes()[:-20])
    again = FeatureBank("k", count=5, shape=(6,))
    assert again.filled == 0
    again.close()


def test_a_banks_room_is_reserved_and_a_full_disk_told(
    lab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bank = FeatureBank("k", count=1000, shape=(1000,))
    data = lab_home / "features" / "k" / "features.npy"
    assert data.stat().st_blocks * 512 >= data.stat().st_size > 4_000_000
    bank.close()

    def full(*_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(feature_bank.os, "posix_fallocate", full)
        with pytest.raises(DiskFullError, match="The disk is full"):
            FeatureBank("other", count=10, shape=(6,))
    assert not (lab_home / "features" / "other" / "features.npy").exists()
    FeatureBank("other", count=10, shape=(6,)).close()


def test_where_no_room_can_be_reserved_zeros_are_written(
    lab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(feature_bank.os, "posix_fallocate")
    bank = FeatureBank("k", count=1000, shape=(1000,))
    data = lab_home / "features" / "k" / "features.npy"
    assert data.stat().st_blocks * 512 >= data.stat().st_size > 4_000_000
    bank.write(rows(0, 999), np.ones((2, 1000), np.float32))
    bank.close()
    again = FeatureBank("k", count=1000, shape=(1000,))
    assert again.filled == 2
    again.close()


def test_one_process_at_a_time() -> None:
    bank = FeatureBank("k", count=5, shape=(6,))
    with pytest.raises(ResourceError, match="Another process"):
        FeatureBank("k", count=5, shape=(6,))
    bank.close()
    FeatureBank("k", count=5, shape=(6,)).close()


def test_too_large_is_a_sentence() -> None:
    with pytest.raises(ResourceError, match=r"would take 8.0 GB; up to 4 GB"):
        FeatureBank("k", count=1_000_000, shape=(2_000,))


def test_the_oldest_banks_make_room(monkeypatch: pytest.MonkeyPatch, lab_home: Path) -> None:
    monkeypatch.setattr(feature_bank, "KEPT_BYTES", 100_000)
    for name in ("old", "new"):
        bank = FeatureBank(name, count=10, shape=(1000,))
        bank.write(np.arange(10), np.ones((10, 1000), np.float32))
        bank.close()
    third = FeatureBank("third", count=10, shape=(1000,))
    third.close()
    assert sorted(p.name for p in (lab_home / "features").iterdir()) == ["new", "third"]


# --- BatchNorms folded into convolutions ----------------------------------------------------------

WITH_BATCH_NORM = [
    "googlenet", "resnet18", "densenet121", "mobilenet_v2", "efficientnet_b0", "efficientnet_lite0",
]  # fmt: skip


def statistics_that_matter(network: nn.Module) -> None:
    """As after training: fresh BatchNorms would be hard to tell from none."""
    generator = torch.Generator().manual_seed(1)
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.running_mean.uniform_(-0.2, 0.2, generator=generator)  # type: ignore[union-attr]
            part.running_var.uniform_(0.5, 2.0, generator=generator)  # type: ignore[union-attr]


@pytest.mark.parametrize("name", WITH_BATCH_NORM)
def test_the_frozen_part_gives_what_the_network_gives(name: str) -> None:
    assert name in ARCHITECTURES.names()
    network = frozen(name)
    statistics_that_matter(network)
    cut = find_cut(network)
    assert cut is not None
    network.train()  # frozen stages stay in eval mode
    images = torch.rand(2, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = before(network, cut, images)
        fast = frozen_part(network, cut)
        found = fast(images)
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
    left = sum(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    there = sum(isinstance(part, nn.BatchNorm2d) for part in network.modules())
    assert left < 0.6 * there  # DenseNet normalises before it convolves: half of its cannot be
    with torch.inference_mode():
        assert torch.equal(before(network, cut, images), expected)


def test_what_cannot_be_traced_is_run_as_it_is() -> None:
    class Branching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.norm(x)
            return y if y.sum() > 0 else -y

    module = Branching().eval()
    images = torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(folded(module)(images), module(images))


def test_a_network_of_another_thread_runs_while_one_is_folded() -> None:
    """torch.fx patches all modules while it traces: once, opening a page ended a training run."""
    training = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).eval()
    images = torch.ones(1, 1, 4, 4)
    expected = training(images)
    answers: list[torch.Tensor] = []

    class Beside(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            thread = threading.Thread(target=lambda: answers.append(training(images)))
            thread.start()
            thread.join()
            return x

    fast = folded(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), Beside()))
    assert not any(isinstance(part, nn.BatchNorm2d) for part in fast.modules())
    assert torch.equal(answers[0], expected)
