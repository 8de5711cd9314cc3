"""ONNX files of a really trained run, asked by ONNX Runtime."""

import dataclasses
import io
import json
import re
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

pytest.importorskip("onnx", reason="onnx is in requirements-dev.txt")
pytest.importorskip("onnxruntime", reason="onnxruntime is in requirements-dev.txt")

import onnx
from onnx import TensorProto, helper

from lab.config import RunConfig
from lab.data.decode import Fit
from lab.data.preprocess import Preprocess
from lab.errors import ConfigError
from lab.evaluate.classify import uploaded
from lab.evaluate.opened import Opened, open_own_network
from lab.evaluate.predictions import saved_predictions
from lab.export import proof
from lab.export.exporting import export_to, kept_export, make_export
from lab.export.onnx_file import onnx_model
from lab.export.preprocessing import OPSET, PIXELS, preprocessing
from lab.installation import how_to_install
from lab.models.catalog import build_network
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import CheckpointMetadata

pytestmark = [
    pytest.mark.filterwarnings("ignore:You are using the legacy TorchScript:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:The feature will be removed:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning"),
]


def test_every_test_answer_is_the_labs(run: RunRow) -> None:
    made = make_export(run, "onnx")
    facts = made.written.facts["proof"]
    assert (facts["part"], facts["images"], facts["differ"]) == ("test", 30, 0)
    assert facts["accuracy"] == facts["lab_accuracy"] == run.test_accuracy
    assert 0 < facts["largest"] < 1e-5
    assert "0 of 30 test answers differ" in made.written.sentences[0]
    assert kept_export(run, "onnx") == made
    assert made.file.stat().st_size == made.bytes


def test_two_made_at_once_take_turns(run: RunRow, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's exporter refuses a second thread."""
    export, at_work = torch.onnx.export, threading.Lock()

    def slow(*given: Any, **more: Any) -> None:
        assert at_work.acquire(blocking=False)
        time.sleep(0.1)
        export(*given, **more)
        at_work.release()

    monkeypatch.setattr(torch.onnx, "export", slow)
    opened = open_own_network(store().folder(run.id), "best")
    with ThreadPoolExecutor(2) as pool:
        models = list(pool.map(lambda _: onnx_model(run, opened), range(2)))
    assert models[0] == models[1]


def test_the_proof_notices_another_network(run: RunRow) -> None:
    opened = open_own_network(store().folder(run.id), "best")
    with torch.no_grad():
        list(opened.network.parameters())[-1][0] += 20
    model = onnx_model(run, opened).SerializeToString()
    found = proof.prove(model, run, "best", "test", lambda p: None, lambda: False)
    assert found.differ > 10
    assert found.accuracy < found.lab_accuracy


def test_the_file_says_what_it_is(run: RunRow, tmp_path: Path) -> None:
    made = export_to(run, "onnx", tmp_path / "bars.onnx")
    model = onnx.load(str(made.file))
    facts = {prop.key: prop.value for prop in model.metadata_props}
    assert json.loads(facts["classes"]) == list(run.class_names)
    assert facts["run"] == run.id
    assert json.loads(facts["settings"])["architecture"] == "sign-cnn"
    assert "grey" in facts["picture"]
    assert [o.version for o in model.opset_import if not o.domain] == [OPSET]
    assert [o.name for o in model.graph.output] == ["logits", "probabilities"]


def test_pictures_of_any_size_get_the_answer_of_classify(run: RunRow) -> None:
    opened = open_own_network(store().folder(run.id), "best")
    runtime = proof.session(onnx_model(run, opened).SerializeToString())
    rng = np.random.default_rng(0)
    for size in ((16, 16), (40, 30), (200, 301)):
        pixels = rng.integers(0, 256, (*size, 3), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "PNG")
        picture = uploaded(file.getvalue(), opened.card, name="noise")
        [answer] = runtime.run(["probabilities"], {PIXELS: pixels.transpose(2, 0, 1)[None].copy()})
        assert np.allclose(answer[0], opened.probabilities(picture), atol=2e-3)


def test_eight_bits_are_smaller_and_measured(run: RunRow) -> None:
    made = make_export(run, "onnx-int8")
    facts = made.written.facts
    assert facts["bytes"] < 0.5 * facts["float_bytes"]
    answers = saved_predictions(store().folder(run.id), "best", "test")
    assert answers is not None
    assert facts["proof"]["lab_accuracy"] == answers.right.mean()
    assert facts["proof"]["largest"] > 1e-4  # it is rounded
    assert facts["proof"]["accuracy"] > facts["proof"]["lab_accuracy"] - 0.2
    assert "in place of" in made.written.sentences[0]


@pytest.mark.parametrize(
    ("architecture", "channels"),
    [("resnet18", 3), ("mobilenet_v2", 3), ("vit_tiny", 3), ("mlp", 1)],
)
def test_other_networks_answer_alike(run: RunRow, architecture: str, channels: int) -> None:
    card = _card(run, architecture=architecture, channels=channels, size=32)
    network = build_network(card.config, channels=channels, image_size=32, classes=3).eval()
    model = onnx_model(run, Opened(network, card, "best", 1, "")).SerializeToString()
    pixels = np.random.default_rng(0).integers(0, 256, (3, 32, 32, 3), dtype=np.uint8)
    [logits] = proof.session(model).run(["logits"], {PIXELS: pixels.transpose(0, 3, 1, 2).copy()})
    own = pixels if channels == 3 else _grey(pixels)
    with torch.inference_mode():
        expected = network(card.preprocess(torch.from_numpy(own)))
    np.testing.assert_allclose(logits, expected.numpy(), atol=2e-4)


def _grey(pixels: np.ndarray) -> np.ndarray:
    return np.stack([np.asarray(Image.fromarray(p).convert("L")) for p in pixels])[..., None]


def _card(
    run: RunRow, *, architecture: str, channels: int, size: int, **facts: object
) -> CheckpointMetadata:
    card = CheckpointMetadata.read(store().folder(run.id))
    return dataclasses.replace(
        card,
        config=RunConfig(dataset="tiny", architecture=architecture),
        preprocess=Preprocess(channels, size, (0.4,) * channels, (0.2,) * channels),
        data_channels=channels,
        data_image_size=size,
        **facts,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize(("data_channels", "channels"), [(3, 3), (1, 1), (3, 1), (1, 3)])
def test_the_way_in_is_the_labs(run: RunRow, fit: Fit, data_channels: int, channels: int) -> None:
    """Twice resized: to the data set's 32 pixels, then to the network's 24."""
    card = dataclasses.replace(
        _card(run, architecture="mlp", channels=channels, size=24),
        data_channels=data_channels,
        data_image_size=32,
        fit=fit,
    )
    way = preprocessing(card, output="x")
    graph = helper.make_graph(
        way.nodes,
        "way",
        [helper.make_tensor_value_info(PIXELS, TensorProto.UINT8, ["n", 3, "h", "w"])],
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, None)],
        way.constants,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    runtime = proof.session(model.SerializeToString())
    rng = np.random.default_rng(1)
    for height, width in ((60, 90), (90, 60), (32, 32), (20, 24)):
        soft = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        image = soft.resize((width, height), Image.Resampling.BILINEAR)
        file = io.BytesIO()
        image.save(file, "PNG")
        expected = uploaded(file.getvalue(), card, name="soft").tensor(card.preprocess).numpy()
        [x] = runtime.run(["x"], {PIXELS: np.asarray(image).transpose(2, 0, 1)[None].copy()})
        levels = np.abs(x - expected) * 0.2 * 255
        assert x.shape == expected.shape
        # What is cut off still reaches into the edge with Pillow, and not in the graph.
        cut = fit == "crop" and height != width
        assert levels.max() < (6.01 if cut else 2.01)
        # Of tall pictures more: Pillow begins with the other axis, and rounds in between.
        assert (levels > 0.5).mean() < (0.25 if cut or height > width else 0.05)


def test_without_the_packages_it_says_what_is_missing(
    run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=re.escape(how_to_install("onnx", "onnxruntime"))):
        make_export(run, "onnx")
