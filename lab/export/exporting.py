"""Makes exports: in the run's folder for the pages, or wherever the command line says.

<run folder>/exports/
└── best-onnx/          one folder an export, written atomically
    ├── file.onnx
    └── facts.json      what is to be said of it

What members see while test results are hidden is another export ("best-onnx-untested").
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from pathlib import Path

from lab import __version__, jobs
from lab.data.person_quota import require_person_quota
from lab.errors import ConfigError, LabError
from lab.evaluate.opened import checkpoint_identity
from lab.export.formats import EXPORTS, ExportFormat, Written
from lab.home import atomic_file, atomic_folder
from lab.jobs import JobView
from lab.people import current_person
from lab.progress import Cancel, Report, never, silent
from lab.runs.class_rules import results_hidden
from lab.runs.rows import RunRow
from lab.runs.store import store
from lab.training.checkpoint import checkpoints, no_checkpoint

KIND = "export"
"""Of the jobs."""


@dataclass(frozen=True)
class Export:
    """A file that was made of a run."""

    file: Path
    file_name: str
    """For a download."""
    bytes: int
    seconds: float
    """That making and measuring took."""
    written: Written


def export_to(
    run: RunRow,
    name: str,
    path: Path,
    *,
    checkpoint: str = "best",
    progress: Report = silent,
    cancel: Cancel = never,
) -> Export:
    """Writes an export to the file `path`, which appears when it is whole.

    Raises NotFoundError for an unknown format or checkpoint, ConfigError where the format cannot be
    made of this run, DataError, ResourceError, Cancelled.
    """
    entry = _entry(run, name, checkpoint)
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; name a file, such as {path / file_name(run, name)}")
    began = time.monotonic()
    with atomic_file(path) as temporary:
        written = entry.write(run, checkpoint, temporary, progress, cancel)
    return Export(path, path.name, path.stat().st_size, time.monotonic() - began, written)


def make_export(
    run: RunRow,
    name: str,
    *,
    checkpoint: str = "best",
    progress: Report = silent,
    cancel: Cancel = never,
) -> Export:
    """Writes an export into the run's folder, in the place of an earlier one; raises as
    `export_to`, and NotFoundError where the run is deleted meanwhile."""
    require_person_quota()
    began = time.monotonic()
    try:
        entry = _entry(run, name, checkpoint)
        identity = checkpoint_identity(store().folder(run.id), checkpoint)
        with atomic_folder(_folder(run, name, checkpoint)) as temporary:
            file = temporary / f"file{entry.ending}"
            written = entry.write(run, checkpoint, file, progress, cancel)
            facts = {
                "identity": identity,
                "version": __version__,
                "bytes": file.stat().st_size,
                "person": current_person().id,
                "seconds": time.monotonic() - began,
                "sentences": written.sentences,
                "facts": dict(written.facts),
            }
            (temporary / "facts.json").write_text(json.dumps(facts), encoding="utf-8")
    except (LabError, OSError):
        store().run(run.id)  # raises NotFoundError where it was deleted meanwhile
        raise
    made = kept_export(run, name, checkpoint=checkpoint)
    if made is None:
        raise ConfigError("The checkpoint was written anew in the meantime; export it again.")
    return made


def kept_export(run: RunRow, name: str, *, checkpoint: str = "best") -> Export | None:
    """Returns the export in the run's folder; None without one of the checkpoint as it is now."""
    entry = EXPORTS.get(name)
    folder = _folder(run, name, checkpoint)
    file = folder / f"file{entry.ending}"
    try:
        facts = json.loads((folder / "facts.json").read_text(encoding="utf-8"))
        size = file.stat().st_size
        identity = checkpoint_identity(folder.parents[1], checkpoint)
        if (facts["identity"], facts["version"], facts["bytes"]) != (identity, __version__, size):
            return None  # a power cut may cost a file its end
        written = Written(tuple(facts["sentences"]), facts["facts"])
        return Export(file, file_name(run, name), size, float(facts["seconds"]), written)
    except (OSError, ValueError, KeyError, TypeError):
        return None


def start_export(run: RunRow, name: str, *, checkpoint: str = "best") -> JobView:
    """Makes an export in the background; one that is being made is not begun twice."""
    entry = _entry(run, name, checkpoint)

    def work(report: Report, cancel: Cancel) -> int:
        return make_export(run, name, checkpoint=checkpoint, progress=report, cancel=cancel).bytes

    key = job_key(run, name, checkpoint)
    return jobs.start(KIND, f"{entry.title} of {run.name}", work, key=key)


def job_key(run: RunRow, name: str, checkpoint: str) -> str:
    return f"export:{_folder(run, name, checkpoint)}"


def file_name(run: RunRow, name: str) -> str:
    """Returns what the file is called on a person's disk: the run's name in plain letters, the end
    of its id, the format's ending."""
    entry = EXPORTS.get(name)
    words = re.sub(r"[^a-z0-9]+", "-", run.name.lower()).strip("-")[:50].strip("-") or "run"
    kind = "" if f".{name}" == entry.ending else f"-{name}"
    return f"{words}-{run.id[-4:]}{kind}{entry.ending}"


def _entry(run: RunRow, name: str, checkpoint: str) -> ExportFormat:
    entry = EXPORTS.get(name)
    folder = store().folder(run.id)
    if checkpoint not in checkpoints(folder):  # nor may a name such as "../x" become a path
        raise no_checkpoint(folder, checkpoint)
    if reason := entry.available(run):
        raise ConfigError(f"{entry.title} cannot be made of run {run.id}. {reason}")
    return entry


def _folder(run: RunRow, name: str, checkpoint: str) -> Path:
    untested = "-untested" * results_hidden(store().database)
    return store().folder(run.id) / "exports" / f"{checkpoint}-{name}{untested}"
