"""`python -m lab export`, as somebody scripts it."""

import json
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.export.formats import EXPORTS
from lab.home import sweep_temporaries
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

TRAIN = ["train", "--dataset", "tiny", "--architecture", "single-layer-perceptron"]

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of torch's exporter


@pytest.fixture
def run_id(capsys: pytest.CaptureFixture[str]) -> str:
    make_tiny_pack()
    assert main([*TRAIN, "--epochs", "1", "--name", "bars: one/two"]) == 0
    capsys.readouterr()
    return store().runs()[0].id


def test_a_run_as_onnx(run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    file = tmp_path / "bars.onnx"
    assert main(["export", run_id, "--as", "onnx", "--to", str(file), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == str(file)
    assert told["bytes"] == file.stat().st_size
    assert told["proof"]["differ"] == 0
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".")] == []


def test_the_file_is_named_after_the_run(
    run_id: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    assert main(["export", run_id[:16], "--as", "onnx"]) == 0
    assert f"bars-one-two-{run_id[-4:]}.onnx: " in capsys.readouterr().out
    assert (tmp_path / f"bars-one-two-{run_id[-4:]}.onnx").is_file()


def test_what_cannot_be_is_one_sentence(
    run_id: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for arguments, sentence in (
        (["--as", "onx"], "Did you mean 'onnx'"),
        (["--as", "onnx", "--checkpoint", "../best"], "no checkpoint"),
        (["--as", "onnx", "--to", str(tmp_path)], "is a folder"),
        (["--as", "onnx", "--to", str(tmp_path / "none" / "x.onnx")], "none"),
    ):
        assert main(["export", run_id, *arguments]) == 2
        error = capsys.readouterr().err
        assert sentence in error
        assert error.count("\n") == 1
    assert sweep_temporaries(tmp_path) == 0


def test_help_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["export", "--help"])
    text = capsys.readouterr().out
    assert all(name in text for name in EXPORTS.names())
