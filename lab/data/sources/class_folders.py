"""One folder a class, optionally below train/, val/ and test/.

    photos/cats/*.jpg                    photos/train/cats/*.jpg
    photos/dogs/*.png                    photos/test/dogs/*.jpg

Wrapping folders (`photos/`, Kaggle's training_set/training_set/) are skipped; folders inside a
class folder count for that class.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import PurePosixPath

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.photographs import LabelledFile, Photographs, is_image, reject_non_image
from lab.data.sources.source import ClassRule, natural_key, own_classes
from lab.data.sources.split_words import split_of


class FolderTree:
    """The folders and files directly in each folder; "" is the root."""

    def __init__(self, archive: Archive) -> None:
        self.folders: dict[str, list[str]] = defaultdict(list)
        self.files: dict[str, list[str]] = defaultdict(list)
        for folder in sorted(archive.folders, key=natural_key):
            self.folders[_parent(folder)].append(folder)
        for file in archive.files:
            self.files[_parent(file)].append(file)

    def root(self) -> str:
        """The folder of the classes or splits, below those that only wrap the set."""
        return self.unwrapped("", into_splits=False)

    def unwrapped(self, folder: str, *, into_splits: bool = True) -> str:
        """The first folder from `folder` down that does more than wrap one folder of folders."""
        while (
            len(below := self.folders[folder]) == 1
            and self.folders[below[0]]
            and not self.images(folder)
            and (into_splits or split_of(below[0]) is None)
        ):
            folder = below[0]
        return folder

    def images(self, folder: str) -> list[str]:
        """The image files directly in the folder."""
        return [file for file in self.files[folder] if is_image(file)]

    def files_below(self, folder: str) -> list[str]:
        """All files in the folder and in the folders below it."""
        files: list[str] = []
        stack = [folder]
        while stack:
            current = stack.pop()
            files += self.files[current]
            stack += reversed(self.folders[current])
        return files


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when there are class folders; None when there are none (or none of `classes`)."""
    tree = FolderTree(archive)
    root = tree.root()
    groups = _splits(tree, root)
    with_splits = groups is not None
    class_folders: list[tuple[str, str, str]] = []  # split, folder, class name
    own_rejections = Rejections()  # passed on only if the layout is this one
    for split, parent in groups or [("train", root)]:
        _report_loose(tree, parent, own_rejections)
        for folder in tree.folders[parent]:
            if any(is_image(file) for file in tree.files_below(folder)):
                class_folders.append((split, folder, _last(folder)))
            else:
                own_rejections.add(f"{folder}/", "is a class folder without any image")
    if with_splits:
        _report_loose(tree, root, own_rejections)
        for folder in tree.folders[root]:
            if split_of(folder) is None and any(
                is_image(file) for file in tree.files_below(folder)
            ):
                own_rejections.add(f"{folder}/", "lies beside the train folder and is not used")
    elif all(split_of(folder) for _, folder, _ in class_folders):
        return None  # images in folders called train and test, not two classes
    if classes.names is None:
        classes = own_classes((split, name.strip()) for split, _, name in class_folders)
    names = classes.names or ()

    files: list[LabelledFile] = []
    for split, folder, name in class_folders:
        label = classes.label(name)
        if label is None:
            own_rejections.add(f"{folder}/", f"is not a class of this data set ({classes.allowed})")
            continue
        for file in tree.files_below(folder):
            if is_image(file):
                files.append(LabelledFile(file, split, label))
            else:
                reject_non_image(file, own_rejections)
    if not files:
        return None
    rejections.extend(own_rejections)
    layout = "one folder for each class" + (", in folders for each part" if with_splits else "")
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
    images = tree.images(folder)
    if len(images) > 20:  # one line, not 12,500
        reason = f"holds {len(images):,} images outside class folders; nobody knows their class"
        rejections.add(f"{folder}/", reason)
    else:
        for file in images:
            rejections.add(file, "lies outside the class folders; nobody knows its class")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _last(folder: str) -> str:
    return PurePosixPath(folder).name
