"""Results as CSV."""

import csv
import io
from collections.abc import Iterator

import pytest

from lab.config import KNOBS, RunConfig
from lab.experiments.results_csv import cell, results_csv
from lab.people import Person, acting_as
from lab.runs.store import Store, close_stores, store


@pytest.fixture
def runs(lab_home: object) -> Iterator[Store]:
    yield store()
    close_stores()


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_begins_a_formula(start: str) -> None:
    assert cell(f"{start}SUM(A1)") == f"'{start}SUM(A1)"
    assert cell(-0.5) == -0.5
    assert (cell("a=b"), cell(None), cell(True)) == ("a=b", "", True)


def test_each_run_is_a_line_with_its_person_settings_and_results(runs: Store) -> None:
    with acting_as(Person("p", "=HYPERLINK(1)", "member")):
        run_id = runs.create_run(RunConfig(epochs=7), name='손, "글씨"')
    (line,) = csv.DictReader(io.StringIO(results_csv(runs.runs())))
    assert line["id"] == run_id
    assert (line["person_name"], line["name"]) == ("'=HYPERLINK(1)", '손, "글씨"')
    assert (line["epochs"], line["test_accuracy"], line["status"]) == ("7", "", "queued")
    assert set(KNOBS) <= set(line)
