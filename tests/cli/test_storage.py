"""`storage`, and `runs --csv`."""

import csv
import io
import json

import pytest

from lab.cli.main import main
from lab.config import RunConfig
from lab.home import home_folder
from lab.runs.store import store


def test_storage_tells_and_cleans(capsys: pytest.CaptureFixture[str]) -> None:
    features = home_folder("features", "key") / "features.npy"
    features.write_bytes(bytes(range(256)) * 100)
    assert main(["storage"]) == 0
    assert "25.6 kB" in (shown := capsys.readouterr().out)
    assert "LAB_QUOTA_GB" in shown
    assert features.exists()
    assert main(["storage", "--clean", "features", "--json"]) == 0
    parts = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {part["name"]: part["clearable"] for part in parts}["features"] == 0
    assert not features.exists()


def test_runs_as_csv(capsys: pytest.CaptureFixture[str]) -> None:
    run_id = store().create_run(RunConfig(), name="+1")
    assert main(["runs", "--csv"]) == 0
    (line,) = csv.DictReader(io.StringIO(capsys.readouterr().out))
    assert (line["id"], line["name"]) == (run_id, "'+1")
