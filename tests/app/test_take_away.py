"""The Take it away tab of the Runs page."""

import pytest
from streamlit.testing.v1 import AppTest

from lab import people
from lab.config import RunConfig
from lab.errors import NotAllowedError
from lab.export.exporting import kept_export
from lab.export.hub import start_push
from lab.installation import how_to_install
from lab.people import Person
from lab.runs.rows import RunRow
from tests.app.conftest import Completed, OpenPage, settled
from tests.hub_stub import COMMIT, TOKEN, serve_hub
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
    assert how_to_install("onnx", "onnxruntime") in said(app).replace("\\", "")
    assert "export_onnx_make" not in {button.key for button in app.button}


@pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")  # of its upload by Git LFS
def test_a_run_is_written_to_the_hub(
    app: AppTest, run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve_hub(monkeypatch) as hub:
        app.button(key="export_hub_push").click()
        app.run()
        assert "'' is no address on the Hugging Face Hub" in app.toast[0].value
        app.text_input(key=f"export_hub_repository_{run.id}").set_value("me/bars")
        app.button(key="export_hub_push").click()
        settled(app)
        assert "Nobody is logged in" in app.error[0].value
        assert not hub.created

        monkeypatch.setenv("HF_TOKEN", TOKEN)
        app.button(key="export_hub_push").click()
        settled(app)
        assert not app.error
        assert COMMIT in app.success[0].value
        assert f"{hub.url}/me/bars" in [link.proto.url for link in app.get("link_button")]
        assert [each["private"] for each in hub.created] == [True]
        assert "model.safetensors" in hub.models["me/bars"].files


def test_pupils_do_not_write_with_the_machines_token(
    app: AppTest, run: RunRow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "OPERATOR", Person("p-1", "Ann", "member"))
    app.run()
    assert "export_hub_push" not in {button.key for button in app.button}
    with pytest.raises(NotAllowedError, match="for the teacher alone"):
        start_push(run, "me/bars", checkpoint="best", public=False)
