"""The Train page's form in a browser: the text of a box, and the network's drawing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.browser.conftest import ROOT, Serve

SOON = 150_000  # milliseconds; generous: the first page imports torch, on a busy machine
SCRIPT = ROOT / "streamlit_app.py"


def choose(page: Any, label: str, option: str) -> None:
    page.locator(f'[data-testid="stSelectbox"]:has-text("{label}") input').first.click()
    page.get_by_role("option", name=option, exact=True).first.click()


def test_the_activation_box_names_the_architectures_own(
    serve: Serve, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{serve(Path(SCRIPT))}/train")
    page.set_default_timeout(SOON)
    box = page.locator('[data-testid="stSelectbox"]:has-text("Activation") input').first
    for architecture, own in (("Multi-layer perceptron", "Sigmoid"), ("Simple CNN", "ReLU")):
        choose(page, "Architecture", architecture)
        page.wait_for_function(
            "([box, text]) => box.value === text",
            arg=[box.element_handle(), f"The network's own ({own})"],
        )


def test_a_stage_opens_its_layers_by_mouse_and_keyboard(
    serve: Serve, open_page: Callable[..., Any]
) -> None:
    page = open_page(f"{serve(Path(SCRIPT))}/train?architecture=simple-cnn")
    page.set_default_timeout(SOON)
    stage = page.get_by_role("button", name="Block 2: output")
    panel = page.get_by_label("Layers of Block 2")
    stage.click()
    panel.get_by_text("Convolution 3×3").wait_for()
    stage.press("Enter")
    panel.wait_for(state="hidden")
    page.get_by_role("button", name="Block 1: output").press("Enter")
    page.get_by_label("Layers of Block 1").get_by_text("Convolution 3×3").wait_for()
