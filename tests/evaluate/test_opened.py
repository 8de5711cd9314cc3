"""Checkpoints opened for looking: the right weights, for one thread at a time, not too many."""

from __future__ import annotations

import os
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from lab.config import RunConfig
from lab.data import catalog
from lab.data.preprocess import make_preprocess
from lab.data.splits import make_splits
from lab.errors import DataError, DivergedError, NotFoundError, ResourceError
from lab.evaluate import opened
from lab.evaluate.opened import (
    Opened,
    PublishedNetwork,
    checkpoint_identity,
    open_data,
    open_network,
)
from lab.evaluate.pictures import Picture, pack_picture
from lab.explain.grad_cam import class_activation_maps
from lab.models.catalog import build_network
from lab.models.staged import StagedNet
from lab.training.checkpoint import CheckpointMetadata, publish
from tests.tiny_data import CLASSES, make_tiny_pack


@pytest.fixture(autouse=True)
def nothing_kept() -> Iterator[None]:
    opened._kept.clear()
    yield
    opened._kept.clear()


@pytest.fixture
def config() -> RunConfig:
    return RunConfig(dataset=make_tiny_pack(), architecture="sign-cnn", image_size=16)


def network_of(config: RunConfig, seed: int) -> StagedNet:
    return build_network(config.changed(seed=seed), channels=1, image_size=16, classes=3)


def write(folder: Path, config: RunConfig, *, seed: int = 0, epoch: int = 1) -> StagedNet:
    """A run's folder as the trainer would leave it after an epoch."""
    folder.mkdir(exist_ok=True)
    pack = catalog.open_pack(config.dataset)
    splits = make_splits(pack, config)
    CheckpointMetadata(
        config=config,
        class_names=CLASSES,
        preprocess=make_preprocess(config, pack, splits, channels=1),
        dataset_hash=pack.meta.content_hash,
        data_channels=1,
        fit="stretch",
    ).write(folder)
    network = network_of(config, seed)
    publish(network, folder, epoch=epoch, best=True, kept=True)
    # Two writes within the file system's tick of time must not look the same.
    for name in ("best", "last"):
        os.utime(folder / f"{name}.safetensors", ns=(seed * 10**9, epoch * 10**9))
    return network


def same(a: StagedNet, b: StagedNet) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(one, other) for one, other in pairs)


def test_the_network_is_the_published_one(tmp_path: Path, config: RunConfig) -> None:
    network = write(tmp_path / "r-1", config, epoch=3)
    with open_network(tmp_path / "r-1", "epoch-0003") as found:
        assert same(found.network, network)
        assert not any(module.training for module in found.network.modules())
        assert not any(parameter.requires_grad for parameter in found.network.parameters())
        assert (found.epoch, found.checkpoint) == (3, "epoch-0003")
        assert found.card.config == config
        assert found.bytes == sum(t.nbytes for t in network.state_dict().values())


def test_it_is_kept_until_the_checkpoint_is_written_anew(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    with open_network(tmp_path / "r-1", "last") as first:
        pass
    with open_network(tmp_path / "r-1", "last") as again:
        assert again is first
    newer = write(tmp_path / "r-1", config, seed=1, epoch=2)
    with open_network(tmp_path / "r-1", "last") as changed:
        assert changed is not first
        assert same(changed.network, newer)
        assert changed.epoch == 2
        assert changed.identity == checkpoint_identity(tmp_path / "r-1", "last")
        assert changed.identity != first.identity
    assert list(opened._kept) == [(str(tmp_path / "r-1"), "last")]


def test_weights_and_epoch_are_of_one_write(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The trainer publishes between the reading of the weights and of their epoch."""
    folder = tmp_path / "r-1"
    write(folder, config)
    newer: list[StagedNet] = []
    load = opened.load_network

    def overtaken(*given: str) -> object:
        result = load(*given)  # type: ignore[arg-type]
        if not newer:
            newer.append(write(folder, config, seed=1, epoch=2))
        return result

    monkeypatch.setattr(opened, "load_network", overtaken)
    with open_network(folder, "last") as found:
        assert found.epoch == 2
        assert same(found.network, newer[0])
        assert found.identity == checkpoint_identity(folder, "last")


def test_a_page_holds_a_name_and_asks_the_very_weights(tmp_path: Path, config: RunConfig) -> None:
    folder = tmp_path / "r-1"
    first = write(folder, config)
    older = PublishedNetwork.newest(folder, "last")
    assert PublishedNetwork.newest(folder, "last") == older
    kept = older.ask(lambda one: one)
    newer = write(folder, config, seed=1, epoch=2)
    # Still in memory: what the page shows is answered by those weights, not by the newer ones.
    assert older.ask(lambda one: one) is kept
    assert same(kept.network, first)
    assert same(PublishedNetwork.newest(folder, "last").ask(lambda one: one.network), newer)
    for ask in (lambda: older.ask(lambda one: one), older.own_copy):
        with pytest.raises(ResourceError, match="was written anew in the meantime"):
            ask()
    own = PublishedNetwork.newest(folder, "last").own_copy()
    assert same(own.network, newer)
    assert own not in opened._kept.values()


def test_many_threads_ask_one_network(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each gets its own map, and the file is read once."""
    write(tmp_path / "r-1", config)
    network = PublishedNetwork.newest(tmp_path / "r-1", "best")
    loads = []
    load = opened.load_network
    monkeypatch.setattr(opened, "load_network", lambda *given: loads.append(given) or load(*given))
    pictures = [pack_picture(catalog.open_pack(config.dataset), index) for index in range(8)]

    def ask(picture: Picture) -> torch.Tensor:
        def question(one: Opened) -> torch.Tensor:
            found, _ = class_activation_maps(
                one.network, one.tensor(picture), targets=[0], layers=["block2"]
            )
            return found["block2"].maps

        return network.ask(question)

    alone = [ask(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as threads:
        together = list(threads.map(ask, pictures * 4))
    for number, found in enumerate(together):
        torch.testing.assert_close(found, alone[number % len(alone)])
    assert len(loads) == 1


def test_what_of_it_can_be_looked_at(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    write(tmp_path / "r-2", config.changed(architecture="mlp"))
    with open_network(tmp_path / "r-1") as network:
        assert network.layers.stages == ("block1", "block2", "block3")
        assert network.layers.default_stage == "block3"
        assert [layer.name for layer in network.layers.layers][:2] == ["block1.conv", "block1"]
        assert network.layers is network.layers  # a forward pass, once
        assert b"torch" not in pickle.dumps(network.layers)
        assert 0 < network.seconds_a_pass < 10
    with open_network(tmp_path / "r-2") as network:
        assert (network.layers.stages, network.layers.default_stage) == ((), None)


def test_the_answer_is_the_networks(tmp_path: Path, config: RunConfig) -> None:
    network = write(tmp_path / "r-1", config).eval()
    picture = pack_picture(catalog.open_pack(config.dataset), 0)
    with open_network(tmp_path / "r-1") as found:
        with torch.no_grad():
            expected = network(found.tensor(picture)).softmax(1)[0].numpy()
        assert found.probabilities(picture) == pytest.approx(expected)
    with torch.no_grad():
        next(network.parameters()).fill_(float("nan"))
    publish(network, tmp_path / "r-1", epoch=5, best=False, kept=False)
    with (
        open_network(tmp_path / "r-1", "last") as found,
        pytest.raises(DivergedError, match="not numbers"),
    ):
        found.probabilities(picture)


def test_a_file_that_never_stands_still_is_a_sentence(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "r-1"
    write(folder, config)
    numbers = iter(range(1000))
    monkeypatch.setattr(opened, "checkpoint_identity", lambda *given: str(next(numbers)))
    with pytest.raises(ResourceError, match="faster than it can be read"), open_network(folder):
        pass


def test_the_ones_used_last_are_kept(
    tmp_path: Path, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = [tmp_path / f"r-{number}" for number in range(6)]
    for folder in folders:
        write(folder, config)
        with open_network(folder), open_network(folders[0]):
            pass
    kept = [Path(folder).name for folder, _ in opened._kept]
    assert kept == ["r-3", "r-4", "r-5", "r-0"]
    monkeypatch.setattr(opened, "KEPT_BYTES", 1)
    with open_network(folders[1]) as found:
        assert list(opened._kept.values()) == [found]  # however large the newest is


def test_one_thread_at_a_time(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    inside, order = threading.Event(), []

    def second() -> None:
        inside.wait(60)
        with open_network(tmp_path / "r-1"):
            order.append("second")

    thread = threading.Thread(target=second)
    thread.start()
    with open_network(tmp_path / "r-1"):
        inside.set()
        thread.join(0.05)
        order.append("first")
    thread.join(60)
    assert order == ["first", "second"]


def test_an_error_in_the_block_frees_it(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    with pytest.raises(KeyError), open_network(tmp_path / "r-1"):
        raise KeyError("mine")
    done = []

    def other() -> None:
        with open_network(tmp_path / "r-1"):
            done.append(True)

    thread = threading.Thread(target=other)
    thread.start()
    thread.join(60)
    assert done


def test_what_is_not_there_is_a_sentence(tmp_path: Path, config: RunConfig) -> None:
    folder = tmp_path / "r-1"
    folder.mkdir()
    with pytest.raises(NotFoundError, match="there are: none yet"), open_network(folder):
        pass
    write(folder, config)
    with (
        pytest.raises(NotFoundError, match="there are: best, last, epoch-0001"),
        open_network(folder, "epoch-0009"),
    ):
        pass


def test_a_damaged_file_is_a_sentence(tmp_path: Path, config: RunConfig) -> None:
    folder = tmp_path / "r-1"
    write(folder, config)
    file = folder / "best.safetensors"
    whole = file.read_bytes()
    file.unlink()  # best and last are one file with two names
    file.write_bytes(whole[: len(whole) // 2])
    with (
        pytest.raises(DataError, match="'best' of run r-1 cannot be used"),
        open_network(folder),
    ):
        pass
    other = network_of(config.changed(architecture="simple-cnn"), 0)
    publish(other, folder, epoch=1, best=True, kept=False)
    with pytest.raises(DataError, match="Choose another checkpoint"), open_network(folder):
        pass


def test_data_are_those_of_the_run(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    card = CheckpointMetadata.read(tmp_path / "r-1")
    pack, splits = open_data(card)
    assert pack.meta.content_hash == card.dataset_hash
    expected = make_splits(pack, config)
    assert (splits.val == expected.val).all()
    assert (splits.test == expected.test).all()
    make_tiny_pack(config.dataset, seed=1)
    with pytest.raises(DataError, match="has changed since this run was trained"):
        open_data(card)


def test_data_that_are_gone_are_a_sentence(tmp_path: Path, config: RunConfig) -> None:
    write(tmp_path / "r-1", config)
    card = CheckpointMetadata.read(tmp_path / "r-1")
    catalog.remove_dataset(config.dataset)
    with pytest.raises(NotFoundError, match="data set 'tiny'"):
        open_data(card)
