"""Runs checks over a data set, one after another, and keeps what they find.

LAB_HOME/quality/<content hash>/<check>.npz     one CheckResult

A result belongs to one version of a data set: pixels, labels, splits and groups. Another version
has another hash, so an old result is never taken for a new one.
"""

from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lab import jobs
from lab.data import catalog
from lab.data.array_file import BROKEN
from lab.data.pack import Pack
from lab.data.quality.findings import CHECKS, Check, CheckResult, Finding
from lab.errors import ConfigError
from lab.home import atomic_file, home_folder, writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent

logger = logging.getLogger(__name__)

KIND = "check"
"""The kind of the background jobs that check."""
_FORMAT = 1


def run_checks(
    pack: Pack,
    names: Sequence[str | Check] = (),
    progress: Report = silent,
    cancel: Cancel = never,
    *,
    again: bool = False,
) -> dict[str, CheckResult]:
    """Returns what the checks `names` (none: all) find in `pack`, by name.

    What was already found in this version is read, unless `again`. Each result is kept as soon as
    its check is done, so what was found before a cancel stays. `cancel` is asked between pieces of
    work. Raises NotFoundError for an unknown check, DataError, ResourceError, Cancelled.
    """
    results = {}
    for check in [_check(name) for name in names or CHECKS.names()]:
        check_cancel(cancel, f"Checking {pack.meta.title}")
        found = None if again else result(pack, check)
        if found is None:
            progress(Progress(0, 0, check.title))
            start = time.monotonic()
            found = check.run(pack, progress, cancel)
            found = dataclasses.replace(found, seconds=time.monotonic() - start)
            _write(pack, check, found)
        results[check.name] = found
    return results


def result(pack: Pack, name: str | Check) -> CheckResult | None:
    """Returns what the check `name` found in this version of the set; None if not run."""
    return result_of(pack.meta.content_hash, name)


def result_of(content_hash: str, name: str | Check) -> CheckResult | None:
    """As `result`, of the version with this content hash; opens no images."""
    if not content_hash:
        return None
    check = _check(name)
    return _read(_file(content_hash, check.name), check.version)


def start_checks(
    dataset: str, names: Sequence[str | Check] = (), *, again: bool = False
) -> jobs.JobView:
    """Starts the checks as a background job, or returns the one that checks this version already.

    The job's result is check -> number of findings.
    """
    info = catalog.describe(dataset)
    if not info.usable:
        raise ConfigError(f"{info.title} is not on this machine. {info.how_to_get}")
    for name in names:
        _check(name)

    def work(report: Report, cancel: Cancel) -> dict[str, int]:
        pack = catalog.open_pack(dataset, progress=report, cancel=cancel)
        found = run_checks(pack, names, report, cancel, again=again)
        return {name: found[name].count() for name in found}

    return jobs.start(KIND, f"Checking {info.title}", work, key=job_key(dataset))


def job_key(dataset: str) -> str:
    """Returns the key of the job that checks a data set: there is one at a time."""
    return f"check-{dataset}"


def _check(name: str | Check) -> Check:
    """One of CHECKS, or a variant of one, which keeps its results under its own name."""
    return name if isinstance(name, Check) else CHECKS.get(name)


def _file(content_hash: str, name: str) -> Path:
    return home_folder("quality") / content_hash / f"{name}.npz"


def _write(pack: Pack, check: Check, found: CheckResult) -> None:
    head = {
        "format": _FORMAT,
        "version": check.version,
        "findings": [
            [f.kind, f.row, list(f.others), f.score, f.suggestion] for f in found.findings
        ],
        "figures": dict(found.figures),
        "notes": list(found.notes),
        "seconds": found.seconds,
    }
    file = _file(pack.meta.content_hash, check.name)
    with writing(file):
        file.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(file) as temporary, temporary.open("wb") as output:
        arrays: dict[str, Any] = {f"array_{name}": array for name, array in found.arrays.items()}
        np.savez_compressed(output, allow_pickle=False, head=np.array(json.dumps(head)), **arrays)


def _read(file: Path, version: int) -> CheckResult | None:
    """None when there is no such file, or one that cannot be used: the check then runs again."""
    try:
        with file.open("rb") as source, np.load(source, allow_pickle=False) as saved:
            head = json.loads(str(saved["head"]))
            if head["format"] != _FORMAT or head["version"] != version:
                return None
            arrays = {
                name.removeprefix("array_"): saved[name]
                for name in saved.files
                if name.startswith("array_")
            }
        return CheckResult(
            findings=tuple(
                Finding(kind, row, tuple(others), score, suggestion)
                for kind, row, others, score, suggestion in head["findings"]
            ),
            figures=head["figures"],
            notes=tuple(head["notes"]),
            seconds=head["seconds"],
            arrays=arrays,
        )
    except FileNotFoundError:
        return None
    except BROKEN as error:
        logger.warning("%s cannot be read (%s); the check will run again", file, error)
        return None
