"""Names are taken in every script, and refused where they would command what shows them."""

from __future__ import annotations

import pytest

from lab.errors import ConfigError
from lab.names import csv_cell, fits_a_folder, typed_name, typed_notes, visible

GOOD = ("고양이 훈련 1", "Ölbaum", "👩‍🔬 test", "قطة", "می‌خواهم", "a  b", "![x](http://a)", "C#")
BAD = ("a\x1b[31mred", "a\x00b", "half \ud800", "a\u202egnp.exe", "a\u2066b", "tab\x07")


@pytest.mark.parametrize("name", GOOD)
def test_every_script_is_taken(name: str) -> None:
    assert typed_name(name, "A name", 80) == " ".join(name.split())
    assert visible(name) == name


@pytest.mark.parametrize("name", BAD)
def test_control_characters_are_refused_and_old_ones_shown_replaced(name: str) -> None:
    with pytest.raises(ConfigError, match=r"A name must not hold the control character U\+") as no:
        typed_name(name, "A name", 80)
    assert visible(str(no.value)) == str(no.value)  # the refusal itself can be shown
    with pytest.raises(ConfigError):
        typed_notes(f"one line\n{name}", "Notes", 80)
    assert visible(name).count("\ufffd") == 1


def test_lengths_and_lines() -> None:
    with pytest.raises(ConfigError, match="1 to 5 characters"):
        typed_name("  ", "A name", 5)
    with pytest.raises(ConfigError, match=r"1 to 5 characters; .* has 1,000,000") as no:
        typed_name("x" * 1_000_000, "A name", 5)
    assert len(str(no.value)) < 200
    assert typed_notes(" a\r\nb\n", "Notes", 9) == "a\nb"


def test_names_of_folders_fit_every_system() -> None:
    assert all(map(fits_a_folder, ("cat", "고양이", "console", "com", "a.b", "nullable")))
    devices = ("con", "CON", "nul.txt", "com1", "lpt9", "aux", "prn")
    others = ("", ".", "..", ".git", "a.", "a ", " a", "a/b", "a\\b", "c:", "a\x1b", "a?", "\ud800")
    assert not any(map(fits_a_folder, (*devices, *others)))


def test_no_name_is_a_formula_in_a_spreadsheet() -> None:
    assert [csv_cell(name) for name in ("=1+1", "+1", "-1", "@x", "a=1")] == [
        *("'=1+1", "'+1", "'-1", "'@x"),
        "a=1",
    ]
