"""The trust test of published checkpoints of really trained tiny runs."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from lab import jobs
from lab.config import RunConfig
from lab.data import catalog
from lab.errors import ConfigError, NotFoundError, ResourceError
from lab.evaluate import trust
from lab.evaluate.opened import PublishedNetwork
from lab.evaluate.pictures import Picture, pack_picture
from lab.evaluate.trust import Skill, knows_nothing, trust_of
from lab.models.staged import StagedNet
from lab.progress import Cancelled, Progress
from lab.training.checkpoint import CheckpointMetadata, load_network
from lab.training.control import Control
from lab.training.fit import fit
from lab.training.plan import make_plan
from tests.tiny_data import make_tiny_pack


def train(folder: Path, **knobs: object) -> Path:
    knobs = {"architecture": "sign-cnn", "epochs": 3, "batch_size": 16, **knobs}
    config = RunConfig(dataset=make_tiny_pack(), learning_rate=3e-3, **knobs)  # type: ignore[arg-type]
    folder.mkdir()
    list(fit(make_plan(config, folder=folder), Control()))
    return folder


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return train(tmp_path / "r-1")


def picture() -> Picture:
    pack = catalog.open_pack("tiny")
    return pack_picture(pack, int(pack.indices("test")[0]))


def test_a_trained_run_gets_a_verdict_with_its_numbers(run: Path) -> None:
    told: list[Progress] = []
    found = trust_of(
        PublishedNetwork.newest(run, "best"),
        picture(),
        target=0,
        layer="block2",
        method="layercam",
        progress=told.append,
    )
    assert found.verdict in ("depends", "cannot_tell", "unchanged", "no_better")
    assert found.placement is not None
    assert found.trusted == (found.verdict == "depends")
    assert [step.what for step in found.correlations][::4] == ["Head", "all stages"]
    assert found.deletion is not None
    assert found.deletion.of_random.shape == (8, len(found.deletion.fractions))
    assert found.road is not None
    assert -0.5 <= found.road.score <= 0.5
    assert told[-1].done == told[-1].total


def test_no_map_of_a_network_that_only_guesses_is_trusted(tmp_path: Path) -> None:
    guessing = train(tmp_path / "r-3", epochs=1, class_balancing="none")
    file = guessing / "best.safetensors"
    tensors = load_file(file)
    save_file({name: torch.zeros_like(tensor) for name, tensor in tensors.items()}, file)
    found = trust_of(
        PublishedNetwork.newest(guessing, "best"),
        picture(),
        target=0,
        layer="block2",
        method="layercam",
    )
    assert found.verdict == "knows_nothing"
    assert not found.trusted
    assert "no more than guessing would" in found.sentence


def test_knowledge_is_more_than_luck() -> None:
    assert Skill(right=64, images=64, guessing=0.5).is_knowledge
    assert "64 test images" in knows_nothing(Skill(9, 64, guessing=0.5, split="test"))
    assert not Skill(right=38, images=64, guessing=0.5).is_knowledge  # 1 of 10 guess as well
    assert Skill(right=45, images=64, guessing=0.5).is_knowledge
    assert not Skill(right=0, images=64, guessing=0.04).is_knowledge
    assert Skill(right=12, images=64, guessing=0.05).is_knowledge


def test_it_is_fit_for_a_job(run: Path) -> None:
    job = jobs.start(
        "view",
        "Testing",
        lambda report, cancel: trust_of(
            PublishedNetwork.newest(run, "best"),
            picture(),
            target=1,
            layer="block3",
            method="grad-cam",
            cancel=cancel,
        ),
    )
    done = jobs.wait(job.id, timeout=60)
    assert done is not None
    assert done.state == "done", done.message


def test_the_random_weights_are_not_those_the_run_began_with(
    run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seeds = []
    build = trust.build_network

    def noted(config: RunConfig, **rest: object) -> StagedNet:
        seeds.append((config.seed, config.freeze))
        return build(config, **rest)  # type: ignore[arg-type]

    monkeypatch.setattr(trust, "build_network", noted)
    trust_of(
        PublishedNetwork.newest(run, "best"), picture(), target=0, layer="block1", method="layercam"
    )
    own = CheckpointMetadata.read(run).config.seed
    assert len({seed for seed, _ in seeds}) == 3
    assert own not in [seed for seed, _ in seeds]
    assert {freeze for _, freeze in seeds} == {"scratch"}


def test_the_checkpoint_is_only_read(run: Path) -> None:
    before = {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()}
    trust_of(
        PublishedNetwork.newest(run, "last"), picture(), target=0, layer="block2", method="hirescam"
    )
    assert {file.name: file.read_bytes() for file in run.iterdir() if file.is_file()} == before
    network, _ = load_network(run, "last")
    assert not network.training


def test_what_cannot_be_tested_is_a_sentence(run: Path, tmp_path: Path) -> None:
    given = {"target": 0, "layer": "block2", "method": "grad-cam"}
    with pytest.raises(NotFoundError, match="no checkpoint 'epoch-0099'"):
        trust_of(PublishedNetwork.newest(run, "epoch-0099"), picture(), **given)  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="block"):
        trust_of(PublishedNetwork.newest(run, "best"), picture(), **{**given, "layer": "blok2"})  # type: ignore[arg-type]
    with pytest.raises(NotFoundError, match="grad-cam"):
        trust_of(PublishedNetwork.newest(run, "best"), picture(), **{**given, "method": "gradcam"})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="numbered 0 to 2"):
        trust_of(PublishedNetwork.newest(run, "best"), picture(), **{**given, "target": 3})  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="without places"):
        trust_of(PublishedNetwork.newest(run, "best"), picture(), **{**given, "layer": "dense"})  # type: ignore[arg-type]
    mlp = train(tmp_path / "r-2", architecture="mlp", epochs=1)
    layer = load_network(mlp)[0].stage_names[0]
    with pytest.raises(ConfigError, match="no layer with places"):
        trust_of(PublishedNetwork.newest(mlp, "best"), picture(), **{**given, "layer": layer})  # type: ignore[arg-type]


def test_it_can_be_cancelled(run: Path) -> None:
    with pytest.raises(Cancelled):
        trust_of(
            PublishedNetwork.newest(run, "best"),
            picture(),
            target=0,
            layer="block2",
            method="grad-cam",
            cancel=lambda: True,
        )


def test_out_of_memory_is_a_sentence(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_large(config: RunConfig, **rest: object) -> StagedNet:
        raise MemoryError

    monkeypatch.setattr(trust, "build_network", too_large)
    with pytest.raises(ResourceError, match="room for this network twice"):
        trust_of(
            PublishedNetwork.newest(run, "best"),
            picture(),
            target=0,
            layer="block2",
            method="layercam",
        )
