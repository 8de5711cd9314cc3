"""Checks run one after another, and what they find is kept by the version of the data set."""

import numpy as np
import pytest

from lab import jobs
from lab.data import catalog
from lab.data.pack import Pack
from lab.data.quality import check as quality
from lab.data.quality import findings
from lab.data.quality.findings import Check, CheckResult, Finding
from lab.errors import NotFoundError
from lab.progress import Cancel, Cancelled, Report
from lab.registry import Registry
from tests.tiny_data import make_tiny_pack

FOUND = CheckResult(
    findings=(Finding("odd", 3, (5, 7), 0.5, "top"), Finding("dull", 4)),
    figures={"odd": 1, "share": 0.25, "word": "text"},
    notes=("One is odd.", "It has limits."),
    seconds=0.0,
    arrays={"groups": np.arange(6)},
)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two checks in place of the real ones; the list says which ran."""
    ran: list[str] = []

    def check(name: str) -> Check:
        def run(pack: Pack, progress: Report, cancel: Cancel) -> CheckResult:
            ran.append(name)
            return FOUND

        return Check(name, name.title(), "Explained.", {"odd": "Odd", "dull": "Dull"}, run)

    registry: Registry[Check] = Registry("check")
    for name in ("first", "second"):
        registry.add(name, check(name))
    monkeypatch.setattr(findings, "CHECKS", registry)
    monkeypatch.setattr(quality, "CHECKS", registry)
    return ran


def test_results_come_back_from_disk_as_they_were(runs: list[str]) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    assert quality.result(pack, "first") is None
    quality.run_checks(pack, ["first"])
    again = quality.run_checks(pack)
    assert runs == ["first", "second"]  # the first one was read
    kept = quality.result(pack, "first")
    assert kept is not None
    assert kept.findings == again["first"].findings == FOUND.findings
    assert (kept.figures, kept.notes) == (FOUND.figures, FOUND.notes)
    assert kept.arrays["groups"].tolist() == [0, 1, 2, 3, 4, 5]
    assert (kept.count(), kept.count("odd"), kept.findings[0].rows) == (2, 1, (3, 5, 7))
    quality.run_checks(pack, ["second"], again=True)
    assert runs == ["first", "second", "second"]


def test_another_version_or_a_newer_check_has_no_result(
    runs: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    quality.run_checks(pack, ["first"])
    other = catalog.open_pack(make_tiny_pack(seed=1))
    assert quality.result(other, "first") is None
    kept = quality.CHECKS.get("first")
    newer: Registry[Check] = Registry("check")
    newer.add("first", Check("first", kept.title, "", kept.kinds, kept.run, version=2))
    monkeypatch.setattr(quality, "CHECKS", newer)
    assert quality.result(pack, "first") is None


def test_a_damaged_file_is_as_good_as_none(runs: list[str]) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    quality.run_checks(pack, ["first"])
    quality._file(pack.meta.content_hash, "first").write_bytes(b"PK half a file")
    assert quality.result(pack, "first") is None


def test_a_cancel_keeps_what_was_found(runs: list[str]) -> None:
    pack = catalog.open_pack(make_tiny_pack())
    with pytest.raises(Cancelled, match="Checking Tiny bars"):
        quality.run_checks(pack, cancel=lambda: bool(runs))
    assert quality.result(pack, "first") is not None
    assert quality.result(pack, "second") is None


def test_the_job_checks_one_set_once(runs: list[str]) -> None:
    name = make_tiny_pack()
    job = quality.start_checks(name)
    ended = jobs.wait(job.id, timeout=30)
    assert ended is not None
    assert (ended.state, ended.result) == ("done", {"first": 2, "second": 2})
    latest = jobs.latest(quality.job_key(name))
    assert latest is not None
    assert latest.id == job.id
    with pytest.raises(NotFoundError, match="check"):
        quality.start_checks(name, ["third"])
