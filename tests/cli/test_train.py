"""`python -m lab train | resume | runs`, as somebody scripts it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from lab.cli.main import main
from lab.config import KNOBS
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

QUICK = ["train", "--dataset", "tiny", "--architecture", "mlp", "--epochs", "2"]


@pytest.fixture(autouse=True)
def tiny() -> str:
    return make_tiny_pack()


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_is_one_object_a_line_and_ends_with_run_ended(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main([*QUICK, "--set", "batch_size=16", "--json"]) == 0
    records = lines(capsys.readouterr().out)
    names = [event["event"] for event in records]
    assert names[0] == "run_started"
    assert names.count("run_ended") == 1
    assert names[-1] == "run_ended"
    assert names.count("epoch_done") == 2
    assert names.count("step_done") == 12
    before_training = records[names.index("probe_taken")]
    assert (before_training["epoch"], before_training["count"]) == (0, 8)
    end = records[-1]
    assert end["status"] == "completed"
    assert 0 <= end["test_accuracy"] <= 1  # type: ignore[operator]
    assert end["best_epoch"] in (1, 2)
    assert end["seconds"] > 0  # type: ignore[operator]


def test_the_run_is_in_the_store_like_one_of_the_pages(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--name", "by hand"]) == 0
    out = capsys.readouterr().out
    assert "val loss" in out
    assert "Test of epoch" in out
    run = store().runs()[0]
    assert run.name == "by hand"
    assert run.status == "completed"
    assert run.id in out
    assert main(["runs"]) == 0
    assert "by hand" in capsys.readouterr().out
    assert main(["runs", "--json"]) == 0
    assert lines(capsys.readouterr().out)[0]["test_accuracy"] == run.test_accuracy


def test_config_file_then_options_then_set(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "run.yaml"
    file.write_text("dataset: tiny\narchitecture: mlp\nepochs: 5\nbatch_size: 9\nseed: 4\n")
    arguments = ["train", "--config", str(file), "--epochs", "1", "--seed", "5", "--set", "seed=6"]
    assert main([*arguments, "--json"]) == 0
    config = store().runs()[0].config
    assert (config.epochs, config.batch_size, config.seed) == (1, 9, 6)


def test_a_recipe_sets_its_knobs_and_an_option_has_the_last_word() -> None:
    arguments = ["--recipe", "modern", "--smoothing", "0.2", "--set", "model_ema_decay=0"]
    assert main([*QUICK, *arguments, "--json"]) == 0
    config = store().runs()[0].config
    assert (config.optimizer, config.schedule, config.warmup_epochs) == ("adamw", "cosine", 1)
    assert (config.smoothing, config.model_ema_decay) == (0.2, 0)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--recipe", "modren"], "there are: documents, modern"),
        (["--set", "batch_sise=3"], "Did you mean 'batch_size'?"),
        (["--set", "batch_size=0"], "allowed is a whole number from 1 to 4096"),
        (["--set", "batch_size"], "knob=value"),
        (["--architecture", "resnt18"], "Did you mean 'resnet18'"),
        (["--dataset", "sign-mnst"], "Did you mean 'sign-mnist'"),
        (["--dataset", "sign-mnist"], "not added"),
        (["--freeze", "head_only"], "no pretrained weights"),
        (["--set", "reduced_class=left"], "the classes of tiny are: top, middle, bottom"),
        (["--set", "nesterov=true"], "works with sgd"),
        (["--architecture", "alexnet"], "image_size"),
        (["--config", "/nowhere.yaml"], "cannot be read"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*QUICK, *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert not store().runs()


def test_no_weights_no_run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The worst bug would be a run that says pretrained and is not."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setattr("lab.models.weights._reachable", {})
    arguments = ["train", "--dataset", "tiny", "--architecture", "resnet18", "--json"]
    assert main([*arguments, "--freeze", "last_k", "--image-size", "64"]) == 2
    captured = capsys.readouterr()
    assert not captured.out
    assert "resnet18-f37072fd.pth" in captured.err
    assert str(tmp_path / "empty") in captured.err
    assert "freeze=scratch" in captured.err
    assert not store().runs()


def test_every_knob_is_an_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    for name in KNOBS:
        assert "--" + name.replace("_", "-") in text


def test_ctrl_c_stops_and_resume_goes_on(tmp_path: Path, lab_home: Path) -> None:
    """A real process: Ctrl-C after the first epoch, then `resume` to the end."""
    command = [sys.executable, "-m", "lab", *QUICK, "--epochs", "100", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if '"epoch_done"' in line:
                break
        process.send_signal(2)
        rest = lines(process.stdout.read())
        assert process.wait() == 130
    assert rest[-1]["event"] == "run_ended"
    assert rest[-1]["status"] == "stopped"
    run_id = store().runs()[0].id
    assert main(["resume", run_id, "--json"]) == 0
    assert store().run(run_id).status == "completed"
