"""The Take it away tab of the Runs page."""

import pytest
from streamlit.testing.v1 import AppTest

from lab.config import RunConfig
from lab.export.exporting import kept_export
from lab.runs.rows import RunRow
from tests.app.conftest import Completed, OpenPage, settled
from tests.tiny_data import make_tiny_pack


@pytest.fixture
def run(completed: Completed) -> RunRow:
    config = RunConfig(dataset=make_tiny_pack(), architecture="single-layer-perceptron", epochs=1)
    return completed((config, "bars"))[0]


@pytest.fixture
def app(open_page: OpenPage, run: RunRow) -> AppTest:
    app = open_page("runs", run=run.id)
    app.session_state["runs_tab"] = "Take it away"
    return settled(app)


def said(app: AppTest) -> str:
    return "\n".join(element.value for element in app.caption)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter
def test_onnx_is_made_proven_and_downloaded(app: AppTest, run: RunRow) -> None:
    pytest.importorskip("onnxruntime")
    app.button(key="export_onnx_make").click()
    settled(app)
    assert "0 of 30 test answers differ" in said(app)
    made = kept_export(run, "onnx")
    assert made is not None
    assert app.button(key="export_onnx_make").label == "Make it again"
    [link] = app.get("link_button")
    assert link.proto.url == f"api/runs/{run.id}/exports/onnx?checkpoint=best"


def test_a_format_without_its_packages_says_what_to_install(
    app: AppTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda *_: None)
    app.run()
    assert "pip install onnx onnxruntime" in said(app).replace("\\", "")
    assert "export_onnx_make" not in {button.key for button in app.button}
