"""Paths as people paste them."""

from __future__ import annotations

from pathlib import Path

import pytest

from lab.data.typed_path import typed_path


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "  {}  ",
        '"{}"',
        "'{}'",
        "“{}”",
        "file://{}",
        "file://localhost{}",
        '"file://{}"',
        "\u202a{}",
    ],
)
def test_quotes_spaces_and_addresses_are_taken_away(text: str, tmp_path: Path) -> None:
    assert typed_path(text.format(tmp_path)) == tmp_path


def test_spaces_written_for_a_shell_or_a_browser(tmp_path: Path) -> None:
    folder = tmp_path / "my pictures (1)"
    folder.mkdir()
    assert typed_path(str(folder)) == folder
    assert typed_path(str(folder).replace(" ", "\\ ")) == folder
    assert typed_path(f"file://{str(folder).replace(' ', '%20')}") == folder
    assert typed_path(str(folder).replace(" ", "%20")) == folder
    odd = tmp_path / "100%20"
    odd.mkdir()
    assert typed_path(str(odd)) == odd  # what is there as typed comes first


def test_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert typed_path("~/pictures") == tmp_path / "pictures"
    assert typed_path("~nosuchuser/x") == Path("~nosuchuser/x")
