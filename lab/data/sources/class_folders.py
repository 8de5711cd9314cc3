"""One folder a class, optionally below train/, val/ and test/.

    photos/cats/*.jpg                    photos/train/cats/*.jpg
    photos/dogs/*.png                    photos/test/dogs/*.jpg

Wrapping folders (`photos/`, Kaggle's training_set/training_set/) are looked through; folders inside
a class folder count for that class.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import PurePosixPath

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.photographs import LabelledFile, Photographs, is_image, reject_non_image
from lab.data.sources.source import SPLIT_FOLDERS, ClassRule, natural_key


class FolderTree:
    """Who lies directly below whom; "" is the root."""

    def __init__(self, archive: Archive) -> None:
        self.folders: dict[str, list[str]] = defaultdict(list)
        self.files: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(archive.folders, key=natural_key):
            self.folders[_above(folder)].append(folder)
        for file in archive.files:
            self.files[_above(file)].append(file)

    def root(self) -> str:
        """Where classes or splits begin: below the folders that only wrap the set."""
        return self.unwrapped("", into_splits=False)

    def unwrapped(self, folder: str, *, into_splits: bool = True) -> str:
        """Down through folders that hold nothing but one folder which holds folders in turn."""
        while (
            len(below := self.folders[folder]) == 1
            and self.folders[below[0]]
            and not self.images(folder)
            and (into_splits or split_of(below[0]) is None)
        ):
            folder = below[0]
        return folder

    def images(self, folder: str) -> list[str]:
        """Directly in it."""
        return [file for file in self.files[folder] if is_image(file)]

    def everything(self, folder: str) -> list[str]:
        """All files in it and below."""
        found: list[str] = []
        waiting = [folder]
        while waiting:
            here = waiting.pop()
            found += self.files[here]
            waiting += reversed(self.folders[here])
        return found


def recognise(archive: Archive, classes: ClassRule, rejections: Rejections) -> Photographs | None:
    """A Source when there are class folders; None when there are none (or none of `classes`)."""
    tree = FolderTree(archive)
    root = tree.root()
    groups = _splits(tree, root)
    with_splits = groups is not None
    found: list[tuple[str, str, str]] = []  # split, class folder, class name
    aside = Rejections()
    for split, parent in groups or [("train", root)]:
        _report_loose(tree, parent, aside)
        for folder in tree.folders[parent]:
            if any(is_image(file) for file in tree.everything(folder)):
                found.append((split, folder, _last(folder)))
            else:
                aside.add(f"{folder}/", "is a class folder without any image")
    if with_splits:
        _report_loose(tree, root, aside)
        for folder in tree.folders[root]:
            if split_of(folder) is None and any(is_image(file) for file in tree.everything(folder)):
                aside.add(f"{folder}/", "lies beside the train folder and is not used")
    elif all(split_of(folder) for _, folder, _ in found):
        return None  # heaps of images called train and test, not two classes
    names = classes.names or _names(found)
    if classes.names is None:
        classes = ClassRule(names)

    files: list[LabelledFile] = []
    for split, folder, name in found:
        label = classes.label(name)
        if label is None:
            aside.add(f"{folder}/", f"is not a class of this data set ({classes.allowed})")
            continue
        for file in tree.everything(folder):
            if is_image(file):
                files.append(LabelledFile(file, split, label))
            else:
                reject_non_image(file, aside)
    if not files:
        return None
    rejections.extend(aside)
    layout = "one folder a class" + (", split by folders" if with_splits else "")
    return Photographs(archive, layout, names, tuple(files))


def _splits(tree: FolderTree, root: str) -> list[tuple[str, str]] | None:
    """(split, folder that holds the class folders), or None when there are no split folders.

    A folder called train that holds images and no folders is a class (buses, cars, trains).
    """
    groups = [
        (split, tree.unwrapped(folder))
        for folder in tree.folders[root]
        if (split := split_of(folder)) is not None
    ]
    with_classes = {split for split, folder in groups if tree.folders[folder]}
    only_splits = len(groups) == len(tree.folders[root])
    return groups if "train" in with_classes or (only_splits and with_classes) else None


def _report_loose(tree: FolderTree, folder: str, rejections: Rejections) -> None:
    loose = tree.images(folder)
    if len(loose) > 20:  # one line, not 12,500
        some = f"holds {len(loose):,} images outside class folders; nobody knows their class"
        rejections.add(f"{folder}/", some)
    else:
        for file in loose:
            rejections.add(file, "lies outside the class folders; nobody knows its class")


def _names(found: list[tuple[str, str, str]]) -> tuple[str, ...]:
    """Folder names, sorted; `Cats` in one split and `cats` in another are one class."""
    spelling: dict[str, str] = {}
    for _, _, name in found:
        spelling.setdefault(name.strip().casefold(), name.strip())
    return tuple(sorted(spelling.values(), key=natural_key))


def split_of(folder: str) -> str | None:
    """The split that the folder's own name means, if any."""
    return SPLIT_FOLDERS.get(_last(folder).casefold())


def _above(path: str) -> str:
    return path.rpartition("/")[0]


def _last(folder: str) -> str:
    return PurePosixPath(folder).name
