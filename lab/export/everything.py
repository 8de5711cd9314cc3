"""All other formats of a run in one zip, with a table of contents."""

from __future__ import annotations

import tempfile
import zipfile
from pathlib import Path

from lab.errors import LabError
from lab.export.dataset import add_dataset
from lab.export.exporting import file_name
from lab.export.formats import EXPORTS, Written
from lab.progress import Cancel, Cancelled, Report, check_cancel
from lab.runs.rows import RunRow


def write_everything(
    run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
) -> Written:
    """A format that cannot be made of the run is named in README.txt with the reason."""
    lines, files, missing = [f"{run.name}, run {run.id}, checkpoint {checkpoint}", ""], [], []
    with (
        zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        # Beside the zip: it is as large, and a process that dies leaves it where it is swept.
        tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as place,
    ):
        for entry in EXPORTS:
            if entry.name == "zip":
                continue
            check_cancel(cancelled, "The export")
            name = "dataset/" if entry.name == "dataset" else file_name(run, entry.name)
            try:
                if reason := entry.available(run):
                    raise _Unavailable(reason)
                if entry.name == "dataset":
                    written = add_dataset(archive, run, name, report, cancelled)
                else:
                    file = Path(place) / name
                    written = entry.write(run, checkpoint, file, report, cancelled)
                    archive.write(file, name)
                    file.unlink()
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
