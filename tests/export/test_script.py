"""The script and the notebook of a run: what they say, and that they give the run's result."""

import contextlib
import dataclasses
import io
import json
import re
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import nbformat
import numpy as np
import pytest
import torch
from PIL import Image

from lab.config import RunConfig
from lab.data import catalog
from lab.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from lab.errors import ConfigError
from lab.export.exporting import export_to
from lab.export.script import Opened, script_text, unwritten
from lab.export.script_network import network_code, stage_paths
from lab.models.catalog import build_network
from lab.models.dropout import RandomLayer
from lab.models.staged import StagedNet
from lab.runs.foreground import run_in_foreground
from lab.runs.rows import RunRow
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

PRETRAINED = {"architecture": "efficientnet_lite0", "image_size": 32, "batch_size": 16}


def unpacked(run: RunRow, folder: Path, name: str = "script") -> Path:
    folder.mkdir(exist_ok=True)
    made = export_to(run, name, folder / "script.zip")
    with zipfile.ZipFile(made.file) as archive:
        archive.extractall(folder)
    return folder


def accuracy_of(printed: str) -> float:
    found = re.search(r"test accuracy ([\d.]+) of \d+ pictures", printed)
    assert found, printed
    return float(found[1])


def carried_out(file: Path, *arguments: str) -> tuple[float, dict[str, Any]]:
    """Test accuracy and the names of the script, run in this process."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", [str(file), *arguments])
        names = runpy.run_path(str(file))
    return accuracy_of(printed.getvalue()), names


def trained(**knobs: object) -> RunRow:
    config = RunConfig.from_mapping(
        {
            "dataset": make_tiny_pack(),
            "device": "cpu",
            "epochs": 2,
            "precision": "fp32",
            "film_strip": False,
            "layer_statistics": "off",
            **knobs,
        }
    )
    run_in_foreground(config, name="x")
    return store().runs()[0]


def test_the_script_gives_the_runs_accuracy_without_the_lab(run: RunRow, tmp_path: Path) -> None:
    """In a process of its own, which is isolated from the checkout."""
    folder = unpacked(run, tmp_path)
    text = (folder / "train.py").read_text()
    assert not re.search(r"^\s*(import|from) lab\b", text, re.MULTILINE)
    printed = subprocess.run(
        [sys.executable, "-I", folder / "train.py"], capture_output=True, text=True, timeout=120
    )
    assert printed.returncode == 0, printed.stderr
    assert run.test_accuracy is not None
    assert accuracy_of(printed.stdout) == pytest.approx(run.test_accuracy, abs=0.1)
    assert "(the run: 1.0000)" in printed.stdout
    assert (folder / "weights.pt").exists()


def test_a_head_only_run_trains_the_head_alone(lab_home: Path, tmp_path: Path) -> None:
    run = trained(**PRETRAINED, freeze="head_only", learning_rate=0.01, epochs=3)
    accuracy, names = carried_out(unpacked(run, tmp_path) / "train.py")
    assert run.test_accuracy is not None
    assert accuracy == pytest.approx(run.test_accuracy, abs=0.3)
    trained_names = {n for n, p in names["net"].named_parameters() if p.requires_grad}
    assert trained_names == {"classifier.weight", "classifier.bias"}
    assert sum(p.numel() for p in names["net"].parameters()) == run.total_parameters


def test_a_run_of_two_phases_trains_more_in_the_second(lab_home: Path, tmp_path: Path) -> None:
    run = trained(
        **PRETRAINED, freeze="two_phase", head_epochs=1, last_k=1, learning_rate=0.01,
        schedule="cosine", horizontal_flip=True, layer_decay=0.5, weight_decay=0.01,
    )  # fmt: skip
    accuracy, names = carried_out(unpacked(run, tmp_path) / "train.py")
    assert run.test_accuracy is not None
    assert accuracy == pytest.approx(run.test_accuracy, abs=0.3)
    assert list(names["PHASES"]) == [1, 2]
    own = {n for n, p in names["net"].named_parameters() if p.requires_grad}
    assert {name.split(".")[0] for name in own} == {"conv_head", "bn2", "classifier"}
    assert len({group["lr"] for group in names["optimizer"].param_groups}) == 2  # layer decay


def test_the_notebook_is_the_script_in_cells(
    run: RunRow, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = unpacked(run, tmp_path, "notebook")
    book = nbformat.read(folder / "train.ipynb", as_version=4)
    nbformat.validate(book)
    kinds = [cell.cell_type for cell in book.cells]
    assert kinds == ["markdown", "code"] * 6
    assert book.cells[0].source.startswith("# Bars &amp; &lt;b&gt;stripes&lt;/b&gt;, trained again")
    monkeypatch.chdir(folder)
    printed, names = io.StringIO(), {"__name__": "__main__"}
    with contextlib.redirect_stdout(printed):
        for cell in book.cells:
            if cell.cell_type == "code":  # one after the other in one namespace, as a kernel does
                exec(compile(cell.source, "cell", "exec"), names)
    assert run.test_accuracy is not None
    assert accuracy_of(printed.getvalue()) == pytest.approx(run.test_accuracy, abs=0.1)


@pytest.fixture
def opened(run: RunRow) -> Opened:
    return Opened.of(run)


def with_settings(
    run: RunRow, opened: Opened, *, channels: int = 1, size: int = 16, **knobs: object
) -> tuple[RunRow, Opened]:
    """The run and its network as if it had had these settings."""
    config = opened.card.config.changed(**knobs)
    card = dataclasses.replace(
        opened.card,
        config=config,
        preprocess=Preprocess(channels, size, (0.4,) * channels, (0.2,) * channels),
        data_image_size=size,
    )
    run = dataclasses.replace(run, config_json=config.to_json(), architecture=config.architecture)
    return run, dataclasses.replace(opened, card=card)


EVERYTHING: dict[str, Any] = {
    "horizontal_flip": True, "rotation_degrees": 10.0, "zoom": 0.1, "width_shift": 0.1,
    "height_shift": 0.1, "shear_degrees": 5.0, "brightness": 0.1, "contrast": 0.1,
    "crop_scale": 0.5, "random_erasing": 0.5, "mixup": 0.2, "cutmix": 1.0, "dropout": 0.1,
    "optimizer": "sgd", "nesterov": True, "weight_decay": 0.01, "smoothing": 0.1,
    "schedule": "one_cycle", "gradient_clip": 1.0, "steps_per_epoch": 3,
    "best_metric": "val_accuracy", "early_stopping_patience": 5,
    "early_stopping_metric": "val_accuracy", "class_balancing": "oversampling", "batch_size": 8,
    "precision": "bf16", "epochs": 3,
}  # fmt: skip
OTHER: dict[str, Any] = {
    "optimizer": "rmsprop", "schedule": "on_plateau", "schedule_epochs": 1, "warmup_epochs": 1,
    "class_balancing": "weighted_loss", "activation": "tanh", "epochs": 3, "batch_size": 20,
    "mixup": 0.2, "early_stopping_patience": 2,
}  # fmt: skip


@pytest.mark.parametrize("settings", [EVERYTHING, OTHER], ids=["everything", "other"])
def test_every_setting_is_written_and_runs(
    run: RunRow, opened: Opened, tmp_path: Path, settings: dict[str, Any]
) -> None:
    folder = unpacked(run, tmp_path, "dataset")
    like = with_settings(run, opened, **settings)
    file = folder / "train.py"
    file.write_text(script_text(*like, originals=False, notebook=False))
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select=E4,E7,E9,F,B,W", file],
        capture_output=True,
        text=True,
    )
    assert checked.returncode == 0, checked.stdout
    accuracy, names = carried_out(file)
    assert accuracy > 0.25
    assert names["epoch"] == 3


def test_original_files_are_read_as_the_lab_reads_them(lab_home: Path, tmp_path: Path) -> None:
    """Large, turned by EXIF, transparent, of a palette: pixel by pixel."""
    originals = tmp_path / "originals"
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (originals / name).mkdir(parents=True)
        for number in range(8):
            pixels = rng.integers(0, 256, (9, 12, 3), dtype=np.uint8)
            picture = Image.fromarray(pixels).resize((240, 180), Image.Resampling.BICUBIC)
            exif = Image.Exif()
            exif[0x0112] = number % 8 + 1
            picture.save(originals / name / f"{number}.jpg", exif=exif)
        seen_through = picture.copy()
        seen_through.putalpha(picture.convert("L"))
        seen_through.save(originals / name / "clear.png")
        picture.quantize(16).save(originals / name / "few.gif")
    for fit in ("stretch", "crop", "pad"):
        catalog.add_dataset(f"pets-{fit}", originals, image_size=24, fit=fit)
        config = RunConfig(dataset=f"pets-{fit}", architecture="mlp", epochs=1, image_size=16)
        run_in_foreground(config, name="pets")
        run = store().runs()[0]
        folder = unpacked(run, tmp_path / fit)
        assert {file.name for file in folder.iterdir()} == {"script.zip", "train.py", "labels.csv"}
        names = carried_out(folder / "train.py", str(originals))[1]
        opened = Opened.of(run)
        for part in ("train", "val", "test"):
            expected = opened.pack.take(getattr(opened.splits, part))
            assert (names["pictures"][part].numpy() == expected).all(), (fit, part)


@pytest.mark.parametrize(
    ("architecture", "channels", "freeze"),
    [
        ("mlp", 1, "scratch"), ("lenet5", 1, "scratch"), ("resnet18", 1, "scratch"),
        ("mobilenet_v2", 3, "scratch"), ("efficientnet_lite0", 3, "two_phase"),
        ("vit_tiny", 3, "scratch"),
    ],
)  # fmt: skip
def test_the_network_is_the_runs(
    run: RunRow, opened: Opened, architecture: str, channels: int, freeze: str
) -> None:
    size = 32
    like = with_settings(
        run, opened, channels=channels, size=size,
        architecture=architecture, freeze=freeze, head_epochs=1,
    )  # fmt: skip
    text = script_text(*like, originals=False, notebook=False)
    cell = next(c for c in text.split("# %%") if "\ndef network():" in c)
    names: dict[str, Any] = {"CLASSES": run.class_names}
    exec("import torch, torchvision, timm\nfrom torch import nn\nfrom pathlib import Path", names)
    exec(cell, names)
    own = names["network"]().eval()
    net = build_network(like[1].card.config, channels=channels, image_size=size, classes=3).eval()
    _copy(net, own)
    images = torch.rand(2, channels, size, size)
    with torch.inference_mode():
        expected = net(images)
        if freeze != "scratch":  # the lab rescales within the network
            mean, std = re.findall(r"^(?:MEAN|STD) = torch.tensor\((.*?)\)", text, re.MULTILINE)
            images = images * _channels(IMAGENET_STD) + _channels(IMAGENET_MEAN)
            images = (images - _channels(json.loads(mean))) / _channels(json.loads(std))
        torch.testing.assert_close(own(images), expected, atol=2e-4, rtol=1e-4)


def _channels(values: Sequence[float]) -> torch.Tensor:
    return torch.tensor(values).view(1, 3, 1, 1)


def _copy(net: StagedNet, own: torch.nn.Module) -> None:
    """The same weights into both; both hold them in one order, but for a vision transformer's."""
    tensors = [t for name, t in net.state_dict().items() if "rescale" not in name]
    assert [t.shape for t in tensors] == [t.shape for t in own.state_dict().values()]
    own.load_state_dict(dict(zip(own.state_dict(), tensors, strict=True)))


def test_stages_are_told_by_the_librarys_names() -> None:
    import torchvision

    config = RunConfig(dataset="tiny", architecture="vgg16", freeze="head_only")
    net = build_network(config, channels=3, image_size=64, classes=3, device="meta")
    with torch.device("meta"):
        raw = torchvision.models.vgg16(num_classes=3)
    paths = stage_paths(net, raw)
    assert paths["block1"] == ["features.0", "features.2"]
    assert paths["dense"] == ["classifier.0", "classifier.3", "classifier.2"]
    assert paths["head"] == ["classifier.6", "classifier.5"]
    counted = sum(isinstance(m, RandomLayer) for m in net.modules())
    assert counted == 2


def test_a_block_of_a_transformer_is_one_part() -> None:
    """Dropout of share nothing, of which it has many, tells no stages apart."""
    card = SimpleNamespace(
        config=RunConfig(dataset="tiny", architecture="vit_tiny", freeze="head_only"),
        preprocess=Preprocess(3, 32, (0.4,) * 3, (0.2,) * 3),
        class_names=("a", "b"),
    )
    paths = network_code(cast("Any", card), staged=True).values["paths"]
    assert paths["stem"] == ["patch_embed", "cls_token", "pos_embed"]
    assert paths["block7"] == ["blocks.6"]
    assert paths["head"] == ["head"]


@pytest.mark.parametrize(
    ("knobs", "named"),
    [
        ({"auto_augment": "trivial"}, "Automatic augmentation (auto_augment)"),
        ({"model_ema_decay": 0.99}, "Weight averaging (EMA) (model_ema_decay)"),
        ({"architecture": "resnet18", "activation": "tanh"}, "Activation (activation)"),
        ({"architecture": "resnet18", "head": "dense"}, "Head (head)"),
        ({"architecture": "vit_tiny", "dropout": 0.5}, "Dropout (dropout)"),
        ({"architecture": "efficientnet_lite0+efficientnet_lite1"}, "Architecture (architecture)"),
        ({"precision": "fp16"}, "Number format (precision)"),
        ({"start_from": "r-1"}, "Start from (start_from)"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_by_name(
    run: RunRow, opened: Opened, knobs: dict[str, Any], named: str
) -> None:
    like = with_settings(run, opened, **knobs)
    assert named in unwritten(like[0])
    with pytest.raises(ConfigError, match=re.escape(named)):
        script_text(*like, originals=False, notebook=False)


def test_what_a_person_did_by_hand_is_refused(run: RunRow) -> None:
    changed = dataclasses.replace(run, rate_changes=((7, 0.01),))
    assert "changed by hand at step 7, to 0.01" in unwritten(changed)
    finished = dataclasses.replace(run, step=5)
    assert "finished by hand after 5 of" in unwritten(finished)
    assert "this one is stopped" in unwritten(dataclasses.replace(run, status="stopped"))
    assert not unwritten(run)
