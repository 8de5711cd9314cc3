"""`python -m lab find-rate`."""

import json

import pytest

from lab.cli.main import main
from lab.config import RunConfig
from lab.runs.store import store
from lab.training.lr_finder.ramp import find_rates
from tests.tiny_data import make_tiny_pack

LEARNS = ["find-rate", "--dataset", "tiny", "--architecture", "mlp", "--activation", "relu"]


@pytest.fixture(autouse=True)
def tiny() -> str:
    return make_tiny_pack()


def test_json_is_the_finding_and_no_run_is_made(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LEARNS, "--set", "batch_size=16", "--json"]) == 0
    [shown] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    config = RunConfig(dataset="tiny", architecture="mlp", activation="relu", batch_size=16)
    finding = find_rates(config)
    assert shown["suggested"] == finding.suggested
    assert (shown["low"], shown["high"]) == (finding.low, finding.high)
    assert shown["steps"] == len(shown["rates"]) == len(shown["losses"]) == len(shown["smoothed"])
    assert store().runs() == []


def test_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*LEARNS, "--batch-size", "16"]) == 0
    output = capsys.readouterr().out
    assert output.startswith("Suggested: ")
    assert "The loss stood at" in output


def test_without_a_suggestion_a_script_is_told_by_the_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    flat = ["--architecture", "deep-mlp", "--activation", "sigmoid", "--depth", "20"]
    assert main(["find-rate", "--dataset", "tiny", *flat]) == 1
    assert capsys.readouterr().out.startswith("No suggestion")


def test_what_cannot_be_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["find-rate", "--dataset", "tinny"]) == 2
    assert "tinny" in capsys.readouterr().err
    assert main([*LEARNS, "--set", "batchsize=16"]) == 2
    assert "batch_size" in capsys.readouterr().err
