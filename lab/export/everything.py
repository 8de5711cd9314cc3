"""All other formats of a run in one zip, with a table of contents.

An export that is kept in the run's folder is taken as it is. Script and notebook lie in the data
set's folder, whose pictures and table they read.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.export.card import Card, make_card, write_json_of
from lab.export.card_page import write_page_of
from lab.export.dataset import add_dataset
from lab.export.exporting import file_name, kept_export
from lab.export.formats import EXPORTS, ExportFormat, Written
from lab.export.script import add_script
from lab.home import temporary_folder
from lab.progress import Cancel, Cancelled, Report, check_cancel
from lab.runs.rows import RunRow

DATASET = "dataset/"
CARDS = {"card": write_page_of, "card-json": write_json_of}


def write_everything(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    """A format that cannot be made of the run is named in README.txt with the reason."""
    lines, files, missing = [f"{run.name}, run {run.id}, checkpoint {checkpoint}", ""], [], []
    measured: list[Card] = []

    def add(entry: ExportFormat) -> tuple[str, Written]:
        if reason := entry.available(run):
            raise _Unavailable(reason)
        if entry.name == "dataset":
            return DATASET, add_dataset(archive, run, DATASET, report, cancelled)
        if entry.name in ("script", "notebook"):
            notebook = entry.name == "notebook"
            return add_script(archive, run, DATASET, report, cancelled, notebook=notebook)
        name = file_name(run, entry.name)
        if (kept := kept_export(run, entry.name, checkpoint=checkpoint)) is not None:
            archive.write(kept.file, name)
            return name, kept.written
        file = place / name
        if write := CARDS.get(entry.name):
            measured[:] = measured or [make_card(run, checkpoint, report, cancelled)]
            written = write(measured[0], file)
        else:
            written = entry.write(run, checkpoint, file, report, cancelled)
        archive.write(file, name)
        file.unlink()
        return name, written

    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        # Beside the zip: it is as large, and a process that dies leaves it where it is swept.
        temporary_folder(path) as place,
    ):
        for entry in EXPORTS:
            if entry.name == "zip":
                continue
            check_cancel(cancelled, "The export")
            try:
                name, written = add(entry)
            except Cancelled:
                raise
            except LabError as error:
                missing.append(entry.name)
                lines += [f"not here: {entry.title}", f"    {error}", ""]
                continue
            files.append(name)
            lines += [name, f"    {entry.title}: {entry.about}"]
            lines += [f"    {sentence}" for sentence in written.sentences] + [""]
        archive.writestr("README.txt", "\n".join(lines))
    sentence = f"{', '.join(files)} and README.txt."
    if missing:
        sentence += f" Not in it: {', '.join(missing)}; README.txt says why."
    return Written((sentence,), {"files": files, "missing": missing})


class _Unavailable(LabError):
    """A format cannot be made of this run."""
