"""`python -m lab sweep`, as somebody scripts it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from lab.cli.main import main
from lab.experiments.sweeps.table import sweeps
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack

SWEEP = """
name: tiny rates
base: {dataset: tiny, architecture: mlp, epochs: 1, film_strip: false}
axes:
  learning_rate: [0.01, 0.001]
seeds: [0, 1]
"""


@pytest.fixture(autouse=True)
def tiny() -> None:
    make_tiny_pack()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "grid.yaml"
    path.write_text(SWEEP)
    return path


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_json_tells_every_run_and_ends_with_the_table(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", str(file), "--json"]) == 0
    first, *runs, last = lines(capsys.readouterr().out)
    assert first["event"] == "sweep_started"
    assert (first["combinations"], first["runs_at_most"], first["left_out"]) == (2, 4, [])
    assert [event["event"] for event in runs] == ["run_ended"] * 4
    assert {(r["params"]["learning_rate"], r["seed"]) for r in runs} == {
        (rate, seed) for rate in (0.01, 0.001) for seed in (0, 1)
    }
    assert (last["event"], last["status"]) == ("sweep_ended", "completed")
    means = [line["mean"] for line in last["combinations"]]
    assert means == sorted(means, reverse=True)
    for line in last["combinations"]:
        own = [r["best_val_accuracy"] for r in runs if r["trial"] == line["trial"]]
        assert line["mean"] == pytest.approx(sum(own) / 2)
        assert line["seeds"] == 2
        assert line["spread"] == pytest.approx(abs(own[0] - own[1]) / 2**0.5)
    assert {row.origin.rsplit(":", 1)[0] for row in store().runs()} == {f"sweep:{first['sweep']}"}


def test_a_person_reads_a_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["sweep", str(file)]) == 0
    out = capsys.readouterr().out
    assert "2 combinations, at most 4 runs of 1 epochs" in out
    assert "Learning rate 0.01, seed 1 (tiny rates): completed" in out
    assert "2 of 2" in out
    assert "±" in out


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("axes: {learning_rte: [1]}", "Did you mean 'learning_rate'?"),
        ("base: {dataset: tinny}\naxes: {learning_rate: [1]}", "None of the 1 combinations can be"),
        ("base: {dataset: tiny, architecture: mlp}\naxes: {freeze: [full]}", "None of the 1 comb"),
        ("axes: [", "not valid YAML"),
    ],
)
def test_what_is_not_possible_is_said(
    file: Path, text: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    assert main(["sweep", str(file)]) == 2
    assert expected in capsys.readouterr().err
    assert sweeps(store()) == []


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["nowhere.yaml"], "Name a YAML file, a sweep's id, or a sweep preset: freeze-resnet18"),
        (["s-none"], "There is no sweep 's-none'"),
        (["freeze-resnet18"], "needs the data set 'cats-dogs', which is not on this machine"),
        (["nowhere.yaml", "--quick"], "--quick goes with a sweep preset only"),
    ],
)
def test_a_name_that_is_not_there_is_said(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", *arguments]) == 2
    assert expected in capsys.readouterr().err


def test_left_out_combinations_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(SWEEP.replace("learning_rate: [0.01, 0.001]", "freeze: [scratch, head_only]"))
    assert main(["sweep", str(file), "--json"]) == 0
    records = lines(capsys.readouterr().out)
    assert [each["trial"] for each in records[0]["left_out"]] == [1]
    assert "head_only" in records[0]["left_out"][0]["reason"]
    states = {line["params"]["freeze"]: line["state"] for line in records[-1]["combinations"]}
    assert states == {"scratch": "done", "head_only": "left out"}


@pytest.mark.skipif(sys.platform == "win32", reason="sends a Ctrl-C")
def test_ctrl_c_stops_all_and_the_id_goes_on(
    file: Path, lab_home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one_seed = SWEEP.replace("seeds: [0, 1]", "seeds: [0]")
    file.write_text(one_seed.replace("epochs: 1", "epochs: 10000"))
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "sweep", str(file), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_HOME": str(lab_home)},
    ) as process:
        deadline = time.monotonic() + 120
        while not store().runs(status="running") and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    records = lines(out)
    assert (records[-1]["event"], records[-1]["status"]) == ("sweep_ended", "stopped")
    rows = store().runs()
    assert {row.status for row in rows} == {"stopped"}
    assert any(row.step > 0 for row in rows)
    capsys.readouterr()
    # It goes on with the same runs; ended by `finish`, or this would take a while.
    sweep_id = records[0]["sweep"]
    with subprocess.Popen(
        [sys.executable, "-m", "lab", "sweep", sweep_id, "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "LAB_HOME": str(lab_home)},
    ) as process:
        finished: set[str] = set()
        while process.poll() is None and time.monotonic() < deadline + 120:
            for row in store().runs(status="running"):
                if row.id not in finished and row.epoch > 1:
                    store().request(row.id, "finish")
                    finished.add(row.id)
            time.sleep(0.05)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    records = lines(out)
    assert records[-1]["status"] == "completed"
    now = {row.id: row.status for row in store().runs()}
    assert now == {row.id: "completed" for row in rows}, (finished, out)
