"""Which image a text means: with more or less folders, without suffix, in another case.

Tables and lists of images are written on one machine and read on another.
"""

from __future__ import annotations

import posixpath
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from lab.data.sources.folder_tree import last, stem
from lab.data.sources.photographs import is_image
from lab.data.sources.split_words import split_of


class ImageNames:
    """Finds the image that a cell means: with less or more folders, without suffix, in any case."""

    def __init__(self, paths: Iterable[str]) -> None:
        self.paths = tuple(paths)
        self.count = len(self.paths)
        self._exact = frozenset(self.paths)
        self._by_name: dict[str, list[str]] = defaultdict(list)
        self._by_folded: dict[str, list[str]] = defaultdict(list)
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        self._by_number: dict[int, list[str]] = defaultdict(list)
        for path in self.paths:
            name = last(path)
            key = stem(name).casefold()
            self._by_name[name].append(path)
            self._by_folded[name.casefold()].append(path)
            self._by_stem[key].append(path)
            if re.fullmatch(r"[0-9]{1,18}", key):
                self._by_number[int(key)].append(path)
        self.unique = len(self._by_folded) == self.count

    def find(
        self, cell: str, folder: str, *, split: str | None = None, loose: bool = False
    ) -> tuple[str, ...]:
        """The images that a cell may mean: one, none, or several of the same name.

        `folder` is the table's. The cell's folders must be the image's as far as both go, unless
        `loose`.
        """
        text = as_path(cell)
        if not text or len(text) > 1000:
            return ()
        base = folder
        while True:
            path = posixpath.normpath(posixpath.join(base, text))
            if path in self._exact:
                return (path,)
            if not base:
                break
            base = posixpath.dirname(base)
        name = last(text)
        folded = name.casefold()
        key = stem(name).casefold() if is_image(name) else folded
        number = int(key) if re.fullmatch(r"[0-9]{1,18}", key) else -1
        for hits in (
            self._by_name.get(name),
            self._by_folded.get(folded),
            self._by_stem.get(key),
            self._by_number.get(number),  # 0001.jpg of which a spreadsheet has made 1
        ):
            if hits and (fitting := [hit for hit in hits if loose or _agree(hit, text)]):
                return tuple(_nearest(fitting, text, folder, split))
        return ()


def as_path(cell: str) -> str:
    """A cell as a path in the archive's spelling: slashes, composed characters, no quotes."""
    text = unicodedata.normalize("NFC", cell).strip().strip("\"'").strip().replace("\\", "/")
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _agree(path: str, text: str) -> bool:
    """Whether the folders of both are the same, from the last one up, as far as both have any."""
    one = [part.casefold() for part in path.split("/")[:-1]]
    other = [part.casefold() for part in text.split("/")[:-1] if part not in ("", ".", "..")]
    return all(a == b for a, b in zip(reversed(one), reversed(other), strict=False))


def _nearest(paths: list[str], text: str, folder: str, split: str | None) -> list[str]:
    """Those of the right split, then those below the table's folder, where some are."""
    if split is not None:
        paths = [path for path in paths if path_split(path) == split] or paths
    if folder:
        paths = [path for path in paths if path.startswith(folder + "/")] or paths
    exact = [path for path in paths if last(path) == last(text)]
    return exact or paths


def path_split(path: str) -> str | None:
    """The split that the innermost folder says that says any."""
    folders = path.split("/")[:-1]
    return next(filter(None, map(split_of, reversed(folders))), None)
