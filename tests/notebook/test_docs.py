"""The tutorial runs as it stands, and the reference says what the docstrings say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lab.notebook.reference import reference

DOCS = Path(__file__).parents[2] / "docs"


def test_the_tutorial_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    notebook = json.loads((DOCS / "tutorial.ipynb").read_text(encoding="utf-8"))
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert not any(cell["outputs"] for cell in cells)
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells):
        exec(compile("".join(cell["source"]), f"tutorial, cell {number}", "exec"), names)
    assert names["run"].test["accuracy"] > 0.5  # it learns
    assert len(names["answers"]) == 20
    assert not any(names["answers"]["error"])
    assert names["sweep"].status == "completed"
    assert names["written"].file.is_file()


def test_the_reference_is_made_from_the_docstrings() -> None:
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert text == reference(), "run: python -m lab.notebook.reference > docs/reference.md"
