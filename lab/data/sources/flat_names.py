"""The class in the file's name, as in Kaggle's Dogs vs. Cats: cat.0.jpg, dog.12499.jpg.

All images lie in one folder, which may be called train/; a folder of unlabelled images beside it
(Kaggle's test1/) is left out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.class_folders import FolderTree
from lab.data.sources.photographs import (
    LabelledFile,
    Photographs,
    is_other_image,
    reject_non_image,
)
from lab.data.sources.source import ClassRule, natural_key
from lab.data.sources.split_words import split_of

_NAME = re.compile(r"(?P<label>[^\W\d_][\w ]*?)(?P<mark>[._ -])\d+\.\w+")


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when most images of a split folder, or of the root, name their class; else None."""
    tree = FolderTree(archive)
    root = tree.root()
    groups = [("train", root)]
    for folder in tree.folders[root]:
        split = split_of(folder)
        inner = tree.unwrapped(folder)
        if split is None:
            if len(tree.folders[root]) > 1:
                return None  # class folders
            groups.append(("train", inner))
            continue
        while len(tree.folders[inner]) == 1 and not tree.images(inner):
            inner = tree.folders[inner][0]  # Kaggle's train/train/
        if tree.folders[inner]:
            return None
        groups.append((split, inner))
    named = [
        (split, file, _label_text(file, strict=classes.names is None))
        for split, folder in groups
        for file in tree.images(folder)
    ]
    spelling = {text.casefold(): text for _, _, text in named if text is not None}
    names = classes.names or tuple(sorted(spelling.values(), key=natural_key))
    if classes.names is None:
        classes = ClassRule(names)
    labels = [None if text is None else classes.label(text) for _, _, text in named]
    train_labels = [
        label for label, (split, _, _) in zip(labels, named, strict=True) if split == "train"
    ]
    known = [label for label in train_labels if label is not None]
    if len(set(known)) < 2 or 2 * len(known) < len(train_labels):
        return None

    files: list[LabelledFile] = []
    unknown: dict[str, list[str]] = {}
    for (split, file, _), label in zip(named, labels, strict=True):
        if label is not None:
            files.append(LabelledFile(file, split, label))
        else:
            unknown.setdefault(file.rpartition("/")[0], []).append(file)
    for folder, members in unknown.items():
        if len(members) > 20:  # one line, not 12,500
            reason = (
                f"holds {len(members):,} images whose names tell no class, such as {members[0]}"
            )
            rejections.add(f"{folder}/", reason)
        else:
            for file in members:
                rejections.add(file, "tells no class by its name (expected is cat.0.jpg)")
    for _, folder in groups:
        for file in tree.files[folder]:
            if is_other_image(file):
                reject_non_image(file, rejections)
    return Photographs(archive, "the class in each file's name", names, tuple(files))


def _label_text(path: str, *, strict: bool) -> str | None:
    match = _NAME.fullmatch(path.rpartition("/")[2])
    if match is None or (strict and match["mark"] != "."):
        return None  # IMG_0001.jpg and DSC_0001.jpg are cameras, not classes
    return match["label"]
