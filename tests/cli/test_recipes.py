"""`python -m lab recipes`, as somebody scripts it."""

import json

import pytest

from lab.cli.main import main
from lab.experiments import estimates
from lab.experiments.recipes.book import RECIPES
from lab.models.architecture import ARCHITECTURES
from lab.runs.store import store
from tests.tiny_data import make_tiny_pack


def lines(text: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in text.splitlines()]


def test_list_names_every_recipe_with_its_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipes", "list", "--json"]) == 0
    records = lines(capsys.readouterr().out)
    assert {r["recipe"]: r["reported"] for r in records} == {r.id: r.reported for r in RECIPES}
    deep = next(r for r in records if r["recipe"] == "cd-deep")
    runs = deep["quick"]
    assert isinstance(runs, list)
    assert [run["variant"] for run in runs] == ["cd-deep-sigmoid", "cd-deep-relu"]
    assert all(run["seconds"] > 0 and run["seconds_from"] for run in runs)
    assert all(run["missing"] is None for run in runs)


def test_list_is_readable(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "220")
    assert main(["recipes", "list"]) == 0
    out = capsys.readouterr().out
    assert "What does imbalance hide?" in out
    assert "val about 95%" in out


def test_run_trains_all_runs_of_a_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    make_tiny_pack()
    arguments = ["recipes", "run", "cd-deep", "--quick", "--dataset", "tiny", "--json"]
    assert main(arguments) == 0
    records = lines(capsys.readouterr().out)
    names = [event["event"] for event in records]
    assert names.count("recipe_run") == names.count("run_ended") == 2
    assert names[-2:] == ["recipe_result", "recipe_result"]
    result = records[-1]
    assert result["variant"] == "cd-deep-relu"
    assert result["status"] == "completed"
    assert result["reported"] == "about 50%"
    assert "tiny" not in str(result["variant"])
    assert "Tiny bars instead of Cats and dogs" in str(result["caveats"])
    rows = store().runs(origin="recipe:cd-deep:quick", order="oldest")
    assert [row.origin.rsplit(":")[-1] for row in rows] == ["cd-deep-sigmoid", "cd-deep-relu"]
    assert rows[1].test_accuracy == result["test_accuracy"]


def test_report_is_a_page_of_what_ran_in_full_size(capsys: pytest.CaptureFixture[str]) -> None:
    make_tiny_pack()
    assert main(["recipes", "report"]) == 0
    assert "Sigmoid" not in capsys.readouterr().out
    for size in ([], ["--quick"]):
        arguments = ["recipes", "run", "cd-deep", *size, "--only", "cd-deep-relu", "--json"]
        assert main([*arguments, "--dataset", "tiny"]) == 0
    result = lines(capsys.readouterr().out)[-1]
    assert result["size"] == "quick"
    (full,) = store().runs(origin="recipe:cd-deep:full")
    assert full.test_accuracy is not None
    assert main(["recipes", "report"]) == 0
    page = capsys.readouterr().out
    assert page.count("| ReLU |") == 1
    assert f"**{full.test_accuracy:.1%}**" in page
    assert "Tiny bars instead of Cats and dogs" in page
    assert "seed 0, 10 epochs" in page


def test_run_one_of_them_readably(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    make_tiny_pack()
    arguments = ["recipes", "run", "cd-deep", "--quick", "--dataset", "tiny"]
    assert main([*arguments, "--only", "cd-deep-relu"]) == 0
    out = capsys.readouterr().out
    assert ", ReLU (quick)" in out
    assert "Not to be compared: quick size" in out
    assert "10 outputs for two classes" in out  # the traps are named
    assert len(store().runs()) == 1


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["sl-cn"], "Did you mean 'sl-cnn'"),
        (["sl-cnn", "--dataset", "sign-mnist"], "not added"),
        (["sl-cnn", "--dataset", "sign-mnst"], "Did you mean 'sign-mnist'"),
        (["sl-cnn", "--network", "resnet18"], "network is 'resnet18'"),
        (["cd-deep", "--only", "cd-deep-tanh"], "variant"),
    ],
)
def test_what_cannot_be_is_refused_with_exit_status_2(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["recipes", "run", *arguments, "--json"]) == 2
    captured = capsys.readouterr()
    assert expected in captured.err
    assert "Traceback" not in captured.err
    assert not store().runs()


def test_measure_tells_and_keeps(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    speed = estimates.Speed(28, 0.25, 0.5)
    monkeypatch.setattr(estimates, "_measure", lambda name, device: speed)
    assert main(["recipes", "measure", "--json"]) == 0
    records = lines(capsys.readouterr().out)
    assert [t["architecture"] for t in records] == list(ARCHITECTURES.names())
    assert estimates.measured_speeds()["sign-cnn"] == speed
