"""The page that classifies, opened from the disk: the lab's answers, and nothing is loaded."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnxruntime", reason="onnxruntime is in requirements-dev.txt")

from lab.config import RunConfig
from lab.evaluate.classify import uploaded
from lab.evaluate.opened import open_data, open_own_network
from lab.export.exporting import export_to
from lab.runs.foreground import run_in_foreground
from lab.runs.store import store
from tests.browser.conftest import SOON
from tests.tiny_data import make_tiny_pack


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
def test_the_page_answers_as_the_lab_does(chromium: Any, tmp_path: Path) -> None:
    config = RunConfig(
        dataset=make_tiny_pack(), architecture="sign-cnn", batch_size=16, epochs=2, device="cpu"
    )
    run = run_in_foreground(config, name="Bars")
    page_file = export_to(run, "html", tmp_path / "bars.html").file
    opened = open_own_network(store().folder(run.id), "best")
    pack, splits = open_data(opened.card)

    pictures = {}
    for index in splits.test[:3].tolist():
        pictures[f"{index}.png"] = _file(Image.fromarray(pack.images[index][..., 0]), "PNG")
    rng = np.random.default_rng(0)
    soft = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)).resize((90, 60))
    pictures["soft.png"] = _file(soft, "PNG")
    pictures["soft.jpg"] = _file(soft, "JPEG")
    pictures["no picture.png"] = b"nothing"

    page = chromium.new_page()
    requests: list[str] = []
    troubles: list[str] = []
    page.on("request", lambda request: requests.append(request.url))
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.goto(page_file.as_uri())
    page.get_by_text("Ready", exact=True).wait_for(timeout=SOON)
    files = [
        {"name": name, "mimeType": "image/png", "buffer": data} for name, data in pictures.items()
    ]
    page.locator("#files").set_input_files(files)
    page.locator(".answer").nth(len(pictures) - 1).wait_for(timeout=SOON)

    for name, data in pictures.items():
        box = page.locator(".answer").filter(has_text=name)
        if name == "no picture.png":
            assert "is no picture that this browser reads" in box.inner_text()
            continue
        answers = np.array(json.loads(box.get_attribute("data-probabilities")))
        expected = opened.probabilities(uploaded(data, opened.card, name=name))
        assert box.locator("h2").inner_text() == run.class_names[int(expected.argmax())]
        # The browser's JPEG decoder may be some levels off.
        assert np.abs(answers - expected).max() < (0.03 if name.endswith("jpg") else 2e-3), name
    assert [url for url in requests if not url.startswith(("file:", "blob:", "data:"))] == []
    assert requests[0] == page_file.as_uri()
    assert troubles == []
    page.close()


def _file(image: Image.Image, kind: str) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **({"quality": 95} if kind == "JPEG" else {}))
    return file.getvalue()
