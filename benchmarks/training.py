"""Training against the plain PyTorch script, on the same work, in turn.

    python -m benchmarks training            all of it, about half an hour
    python -m benchmarks training --quick    a part of the images, a few minutes

Needs LAB_REAL_DATA (the real data sets) and TORCH_HOME (MobileNetV2's weights). The lab's side is a
run as a person starts it: recorded in the store, checkpoints written, film strip on.
"""

from __future__ import annotations

import os
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from benchmarks import plain
from benchmarks.aside import Aside
from benchmarks.memory import Peak, peak_memory
from benchmarks.results import IN_TURN, Row, write
from lab.config import RunConfig
from lab.data import catalog
from lab.evaluate.predictions import predict
from lab.runs.queue import run_in_foreground
from lab.runs.store import store
from lab.training.events import EpochDone, Event, RunStarted
from lab.training.frozen.features import folded


def main(*, quick: bool = False) -> None:
    data = Path(os.environ["LAB_REAL_DATA"])
    with tempfile.TemporaryDirectory() as folder:
        os.environ["LAB_HOME"] = str(Path(folder) / "lab")
        photos = Path(folder) / "photos"
        with zipfile.ZipFile(data / "cats_and_dogs.zip") as archive:
            archive.extractall(photos)
        catalog.add_dataset("sign-mnist", data / "sign-language-mnist.zip")
        importing = _timed(lambda: catalog.add_dataset("cats-dogs", data / "cats_and_dogs.zip"))
        rows = [
            sign_cnn(augmented=False, rounds=2 if quick else 4),
            sign_cnn(augmented=True, rounds=1 if quick else 3),
            deep_mlp(rounds=2 if quick else 4),
            resnet(photos, per_class=100 if quick else 400, rounds=1 if quick else 2),
            last_stage(photos, per_class=100 if quick else 400, rounds=1 if quick else 2),
            *mobilenet(photos, per_class=300 if quick else 0, importing=importing),
        ]
    how = f"{IN_TURN}, the plain script in a process of its own; the lab's peak is of one process "
    how += "for all rows, which keeps what earlier ones left"
    write("Training" + (", quick" if quick else ""), rows, how=how)


def sign_cnn(*, augmented: bool, rounds: int) -> Row:
    """An epoch of document 001's network: 27,455 images to train on, 7,172 to validate on."""
    config = sign_config("sign-cnn", rounds)
    if augmented:
        config = config.changed(rotation_degrees=10, zoom=0.1, width_shift=0.1, height_shift=0.1)
    name = "sign-CNN epoch, 27,455 + 7,172" + (", augmented" if augmented else "")
    if augmented:  # a tensor made once has no augmentation: nothing to tune the script to
        with Aside(sign_script, plain.sign_cnn, True) as script, peak_memory() as peak:
            own, theirs = in_turn(config, script.epoch)
        return Row(name, theirs, own, "<= 0.35", _peaks(peak, script))
    with (
        Aside(sign_script, plain.sign_cnn) as script,
        Aside(sign_script, plain.sign_cnn, False, plain.TunedRun) as other,
        peak_memory() as peak,
    ):
        own, theirs, tuned = in_turn(config, script.epoch, other.epoch)
    return Row(name, theirs, own, "<= 0.28", _peaks(peak, script), tuned)


def resnet(photos: Path, *, per_class: int, rounds: int) -> Row:
    """ResNet-18 from scratch at 224 pixels, batches of 32."""
    config = RunConfig(
        dataset="cats-dogs",
        architecture="resnet18",
        subset_per_class=per_class,
        batch_size=32,
        epochs=rounds + 1,
    )
    train, val = _photo_sets(photos, per_class)
    given = (plain.resnet18, photos, per_class, False)
    with (
        Aside(_photo_script, *given) as script,
        Aside(_photo_script, *given, plain.TunedRun) as other,
        peak_memory() as peak,
    ):
        own, theirs, tuned = in_turn(config, script.epoch, other.epoch)
    name = f"ResNet-18 from scratch, 224, batch 32, epoch of {len(train)} + {len(val)}"
    return Row(name, theirs, own, "<= 0.33", _peaks(peak, script), tuned)


def last_stage(photos: Path, *, per_class: int, rounds: int) -> Row:
    """MobileNetV2 with its last stage and a new head trained, the stages before it frozen."""
    config = RunConfig(
        dataset="cats-dogs",
        architecture="mobilenet_v2",
        freeze="last_k",
        last_k=1,
        subset_per_class=per_class,
        batch_size=32,
        epochs=rounds + 1,
    )
    train, val = _photo_sets(photos, per_class)
    given = (plain.mobilenet_last_stage, photos, per_class, True)
    with (
        Aside(_photo_script, *given) as script,
        Aside(_photo_script, *given, plain.TunedRun) as other,
        peak_memory() as peak,
    ):
        own, theirs, tuned = in_turn(config, script.epoch, other.epoch)
    name = f"MobileNetV2, last stage and head, epoch of {len(train)} + {len(val)}"
    note = "from the second epoch on: frozen stages ran in the first; " + _peaks(peak, script)
    return Row(name, theirs, own, "", note, tuned)


def mobilenet(photos: Path, *, per_class: int, importing: float) -> list[Row]:
    """MobileNetV2, head only, ten epochs; then again with another learning rate; against one pass
    of the images in the best mode; predicting the test images."""
    epochs = 10
    config = RunConfig(
        dataset="cats-dogs",
        architecture="mobilenet_v2",
        freeze="head_only",
        subset_per_class=per_class,
        batch_size=32,
        epochs=epochs,
    )
    with peak_memory() as peak:
        first = _timed(lambda: run_in_foreground(config, name="first"))
    with peak_memory() as peak_again:
        again = _timed(lambda: run_in_foreground(config.changed(learning_rate=3e-3), name="again"))
    train, val = _photo_sets(photos, per_class)
    tests = _test_set(photos)
    one_pass = _one_pass(len(train) + len(val) + len(tests))
    with Aside(_photo_script, plain.mobilenet_head, photos, per_class, True) as script:
        one = script.epoch()
        note = f"plain: one epoch measured, times {epochs}; "
        note += f"Epochlab tests {len(tests):,} images at the end; "
        notes = [note + _peaks(each, script) for each in (peak, peak_again)]
    with Aside(_test_script, photos) as script:
        testing = script.evaluate()
        run = store().runs()[0]
        with peak_memory() as peak:
            own = _timed(lambda: predict(store().folder(run.id), "best", "test"))
        note_testing = _peaks(peak, script)
    name = f"MobileNetV2 head only, {epochs} epochs of {len(train)} + {len(val)}"
    limit = "against the import and one pass of each image, folded, in parts of 8"
    return [
        Row(name, (epochs * one,), (first,), "<= 0.04", notes[0]),
        Row("import and the same", (importing + one_pass,), (importing + first,), "<= 1.25", limit),
        Row("the same again, another learning rate", (epochs * one,), (again,), "<= 5 s", notes[1]),
        Row(f"evaluation of {len(tests):,} photographs", (testing,), (own,), "", note_testing),
    ]


def _one_pass(images: int) -> float:
    """Seconds that MobileNetV2's frozen layers need for so many images, once, in the best mode that
    was found: BatchNorm folded, channels last, eight at a time. Measured on a part of them."""
    network = folded(plain.mobilenet_head().features)  # type: ignore[arg-type]
    network = network.to(memory_format=torch.channels_last)
    batch = torch.rand(8, 3, 224, 224).contiguous(memory_format=torch.channels_last)
    rounds = 60
    with torch.inference_mode():
        network(batch)
        seconds = _timed(lambda: [network(batch) for _ in range(rounds)])
    return seconds * images / (8 * rounds)


def deep_mlp(*, rounds: int) -> Row:
    """Ten layers with sigmoid on the sign images."""
    config = sign_config("deep-mlp", rounds)
    with Aside(sign_script, plain.deep_mlp) as script, peak_memory() as peak:
        own, theirs = in_turn(config, script.epoch)
    return Row("deep MLP epoch, 27,455 + 7,172", theirs, own, "", _peaks(peak, script))


def _peaks(own: Peak, script: Aside) -> str:
    return f"peak {own.mb:,.0f} MB, plain {script.peak_mb:,.0f} MB"


def _photo_script(
    network: Callable[[], nn.Module],
    photos: Path,
    per_class: int,
    frozen_backbone: bool = False,
    run: type[plain.PlainRun] = plain.PlainRun,
) -> plain.PlainRun:
    """The plain script on the photographs."""
    train, val = _photo_sets(photos, per_class)
    return run(network(), train, val, batch_size=32, frozen_backbone=frozen_backbone)


def _test_script(photos: Path) -> plain.PlainRun:
    """The plain script that only evaluates, on the test photographs."""
    tests = _test_set(photos)
    return plain.PlainRun(plain.mobilenet_head(), tests, tests, batch_size=64)


def sign_script(
    network: Callable[[], nn.Module],
    augmented: bool = False,
    run: type[plain.PlainRun] = plain.PlainRun,
) -> plain.PlainRun:
    """The plain script on the sign images: the official test part validates."""
    pack = catalog.open_pack("sign-mnist")
    train, test = pack.indices("train"), pack.indices("test")
    images = np.asarray(pack.images)[..., 0]
    transform = plain.SIGN_AUGMENTED if augmented else plain.SIGN_TRANSFORM
    return run(
        network(),
        plain.ArrayDataset(images[train], pack.labels[train], transform),
        plain.ArrayDataset(images[test], pack.labels[test], plain.SIGN_TRANSFORM),
        batch_size=256,
    )


def sign_config(architecture: str, rounds: int) -> RunConfig:
    """The lab's run of the same work; its first epoch warms up."""
    return RunConfig(
        dataset=_with_validation("sign-mnist"),
        batch_size=256,
        normalisation="unit",
        epochs=rounds + 1,
    ).changed(architecture=architecture)


def in_turn(config: RunConfig, *plain_epochs: Callable[[], float]) -> tuple[tuple[float, ...], ...]:
    """Seconds of the lab's epochs and of each plain script's between them; the first of each warms
    up.

    A plain epoch runs while the lab's training waits in the listener of its events, so that a busy
    moment of the machine meets all sides.
    """
    own: list[float] = []
    theirs: list[list[float]] = [[] for _ in plain_epochs]
    mark = 0.0

    def listen(event: Event) -> None:
        nonlocal mark
        if isinstance(event, RunStarted):
            mark = time.perf_counter()
        elif isinstance(event, EpochDone):
            own.append(time.perf_counter() - mark)
            for seconds, epoch in zip(theirs, plain_epochs, strict=True):
                seconds.append(epoch())
            print(f"{config.architecture}: lab {own[-1]:.2f} s, plain", *(s[-1] for s in theirs))
            mark = time.perf_counter()

    run_in_foreground(config, on_event=listen)
    return tuple(own[1:]), *(tuple(seconds[1:]) for seconds in theirs)


def _with_validation(name: str) -> str:
    """The same set under another name, its test part as validation part: the scripts validate on
    it, and an epoch must be the same work on both sides."""
    import dataclasses
    import shutil

    from lab.data.pack import load_pack, write_checksums
    from lab.home import home_folder

    own = f"{name}-validated"
    target = home_folder("packs") / own
    if not target.exists():
        pack = catalog.open_pack(name)
        assert pack.folder is not None
        shutil.copytree(pack.folder, target)
        np.save(target / "split.npy", np.where(pack.split == 2, 1, pack.split).astype(np.uint8))
        counts = {"train": pack.meta.counts["train"], "val": pack.meta.counts["test"], "test": {}}
        meta = dataclasses.replace(pack.meta, dataset=own, counts=counts)
        (target / "meta.json").write_text(meta.to_json(), encoding="utf-8")
        write_checksums(target)
        load_pack(target)
    return own


def _photo_sets(photos: Path, per_class: int) -> tuple[plain.PhotoDataset, plain.PhotoDataset]:
    """The photographs that the lab trains and validates on, as files: nine tenths and one tenth of
    each class."""
    train: list[tuple[Path, int]] = []
    val: list[tuple[Path, int]] = []
    for label, name in enumerate(("cats", "dogs")):
        files = sorted(photos.glob(f"**/train/{name}/*.jpg"))
        files = files[: per_class or len(files)]
        cut = round(0.1 * len(files))
        train += [(file, label) for file in files[cut:]]
        val += [(file, label) for file in files[:cut]]
    return plain.PhotoDataset(*zip(*train, strict=True)), plain.PhotoDataset(
        *zip(*val, strict=True)
    )


def _test_set(photos: Path) -> plain.PhotoDataset:
    files = [
        (file, label)
        for label, name in enumerate(("cats", "dogs"))
        for file in sorted(photos.glob(f"**/test/{name}/*.jpg"))
    ]
    return plain.PhotoDataset(*zip(*files, strict=True))


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
