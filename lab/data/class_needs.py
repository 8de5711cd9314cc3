"""What a data set of single pictures needs of its classes: names, pictures, bursts."""

from __future__ import annotations

from collections.abc import Mapping

from lab.data.sources.split_words import split_of, without_split
from lab.errors import cut
from lab.names import FOLDER_WORDS, fits_a_folder

LEAST = 5
"""Pictures that each class needs: to learn from, to validate and to test with."""
LEAST_GROUPS = 3
"""Bursts and single pictures that each class needs: one for each part, as no burst is cut."""
ENOUGH = 20
"""From so many pictures a class on, the result depends less on which ones they are."""


def class_problem(name: str) -> str:
    """Returns why `name` cannot be a class; "" when it can."""
    name = name.strip()
    if not name or len(name) > 60:
        return "A class name has 1 to 60 characters."
    if not fits_a_folder(name):
        return f"{cut(name)} cannot be a class: {FOLDER_WORDS}."
    if split_of(name) is not None and not without_split(name):  # not the class “bullet train”
        return f"{cut(name)} is the name of a part of a data set; choose another for the class."
    return ""


def missing(classes: Mapping[str, tuple[int, int]]) -> str:
    """Returns what is still needed for a data set, as a sentence; "" when nothing is.

    `classes`: name -> its pictures, and its bursts and single pictures.
    """
    few = [
        f"{LEAST - pictures} more of {name}"
        for name, (pictures, _) in classes.items()
        if pictures < LEAST
    ]
    for name, (pictures, groups) in classes.items():
        lacking = LEAST_GROUPS - groups
        if pictures >= LEAST and lacking > 0:
            few.append(f"{lacking} more burst{'s' * (lacking > 1)} of {name}")
    if len(classes) < 2:
        few.append("a second class" if classes else "pictures of two classes")
    return f"Missing: {', '.join(few)}." if few else ""
