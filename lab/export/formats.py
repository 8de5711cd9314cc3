"""What can be taken away from a run: an entry of EXPORTS a format."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.installation import how_to_install
from lab.progress import Cancel, Report
from lab.registry import Registry
from lab.runs.class_rules import results_hidden
from lab.runs.rows import RunRow
from lab.runs.store import store


@dataclass(frozen=True)
class Written:
    """What is to be said of a file that was written."""

    sentences: tuple[str, ...]
    """For people."""
    facts: Mapping[str, Any] = field(default_factory=dict)
    """The same for programs, as plain JSON values."""


Write = Callable[[RunRow, str, Path, Report, Cancel], Written]
"""(run, checkpoint, path, report, cancelled): writes the file `path`; raises LabError."""


@dataclass(frozen=True)
class ExportFormat:
    """A kind of file that is made of a run."""

    name: str
    title: str
    about: str
    """What it is for."""
    ending: str
    """Of the file's name, such as ".onnx"."""
    mime: str
    icon: str
    write: Write
    available: Callable[[RunRow], str] = lambda run: ""
    """Returns why it cannot be made of this run; "" where it can."""


EXPORTS: Registry[ExportFormat] = Registry("export format")


def _late(module: str, function: str) -> Write:
    """Returns the writer `function` of a module that is imported when it is first called: some need
    optional packages, and the list of formats needs none of them, nor torch."""

    def write(
        run: RunRow, checkpoint: str, path: Path, report: Report, cancelled: Cancel
    ) -> Written:
        writer: Write = getattr(importlib.import_module(f"lab.export.{module}"), function)
        return writer(run, checkpoint, path, report, cancelled)

    return write


def _late_reason(module: str, function: str) -> Callable[[RunRow], str]:
    """As `_late`, for an `available`."""

    def available(run: RunRow) -> str:
        reason: Callable[[RunRow], str] = getattr(
            importlib.import_module(f"lab.export.{module}"), function
        )
        return reason(run)

    return available


def needs(*packages: str) -> Callable[[RunRow], str]:
    """Returns an `available` for a format that needs optional packages."""

    def available(run: RunRow) -> str:
        missing = [name for name in packages if not importlib.util.find_spec(name)]
        if not missing:
            return ""
        return f"This needs {' and '.join(missing)}: {how_to_install(*missing)}"

    return available


def measured_part(run: RunRow) -> str:
    """Returns the images on which an export is measured, "test" or "val"; "" where there are none.

    Test images, unless the current person may not see test results yet.
    """
    if run.test_samples and not results_hidden(store().database):
        return "test"
    return "val" if run.val_samples else ""


_BINARY = "application/octet-stream"

for _entry in (
    ExportFormat(
        "onnx",
        "ONNX",
        "The network for any program that reads ONNX, from pixels to probabilities in one graph; "
        "compared with the lab on every test image.",
        ".onnx",
        _BINARY,
        "deployed_code",
        _late("onnx_file", "write_onnx"),
        needs("onnx", "onnxruntime"),
    ),
    ExportFormat(
        "onnx-int8",
        "ONNX in 8 bits",
        "A quarter of the size, for phones and small machines; what that costs is measured.",
        ".onnx",
        _BINARY,
        "compress",
        _late("onnx_file", "write_int8"),
        needs("onnx", "onnxruntime"),
    ),
    ExportFormat(
        "html",
        "A page that classifies",
        "One file to open in any browser: drop a picture, get the classes. No internet, no server, "
        "nothing to install.",
        ".html",
        "text/html",
        "web",
        _late("html_page", "write_page"),
        needs("onnx", "onnxruntime"),
    ),
    ExportFormat(
        "card",
        "Lab card",
        "What the run is, how good it is and what it is good for: a page to keep, to print or to "
        "hand on with the network.",
        ".html",
        "text/html",
        "id_card",
        _late("card_page", "write_card"),
    ),
    ExportFormat(
        "card-json",
        "Lab card for programs",
        "The same facts as JSON, with the ids of every image of every part.",
        ".json",
        "application/json",
        "data_object",
        _late("card", "write_card_json"),
    ),
    ExportFormat(
        "safetensors",
        "Weights",
        "The tensors as safetensors, with labels and preprocessing in the header, for code of your "
        "own.",
        ".safetensors",
        _BINARY,
        "database",
        _late("weights", "write_weights"),
    ),
    ExportFormat(
        "dataset",
        "Data set",
        "The pictures of this version in a folder a class, cut as this run cut them, with a table "
        "of labels.",
        ".zip",
        "application/zip",
        "photo_library",
        _late("dataset", "write_dataset"),
    ),
    ExportFormat(
        "script",
        "PyTorch script",
        "One readable file that trains this network again without the lab, from the pictures up, "
        "with the table that says which of them are for what.",
        ".zip",
        "application/zip",
        "terminal",
        _late("script", "write_script"),
        _late_reason("script", "unwritten"),
    ),
    ExportFormat(
        "notebook",
        "Notebook",
        "The same as a Jupyter notebook that tells the story of each step.",
        ".zip",
        "application/zip",
        "menu_book",
        _late("script", "write_notebook"),
        _late_reason("script", "unwritten"),
    ),
    ExportFormat(
        "zip",
        "Everything",
        "All of these in one zip.",
        ".zip",
        "application/zip",
        "folder_zip",
        _late("everything", "write_everything"),
    ),
):
    EXPORTS.add(_entry.name, _entry)
