"""The class in the file's name: cat.0.jpg, Abyssinian_12.jpg, "cat (1).jpg", dog-0001.png.

All images lie in one folder, which may be called train/ or images/; a folder of unlabelled images
beside it (Kaggle's test1/) is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.class_folders import FolderLayout
from lab.data.sources.folder_tree import FolderTree, stem
from lab.data.sources.photographs import (
    LabelledFile,
    Photographs,
    is_other_image,
    reject_non_image,
)
from lab.data.sources.source import ClassRule, natural_key
from lab.data.sources.split_words import split_of

_NUMBERED = re.compile(r"(?P<label>[^\W\d_].*?)(?:[\s._-]+\(?\d+\)?|\(\d+\))+")
"""A name, then numbers behind a dot, dash, underscore, space or in brackets."""
_NUMBER_BEHIND = re.compile(r"(?P<label>[^\W\d_]+)\d+")
"""A name and a number: cat12."""
_NUMBER_BEFORE = re.compile(r"\d+[\s._-]+(?P<label>[^\W\d_].*)")
"""0001_cat"""
_CAMERAS_TEXT = (
    "img image images dsc dscn dscf pxl mvi p pic picture photo foto screenshot screen "
    "frame scan file untitled download unnamed kakaotalk whatsapp signal snapchat received "
    "fb gopr capture cam webcam snap sample data test train val valid validation 사진 이미지 "
    "스크린샷 画像 图片"
)
_CAMERAS = frozenset(_CAMERAS_TEXT.split())
"""What cameras, phones and programs call every picture."""


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when most images of a split folder, or of the root, name their class; else None."""
    tree = FolderTree(archive)
    layout = FolderLayout(tree, answers, classes)
    groups = _groups(layout)
    if groups is None:
        return None
    files = {folder: tree.pictures(folder) for _, folder in groups}
    trained = [file for split, folder in groups if split == "train" for file in files[folder]]
    texts = _label_texts(trained, open_rule=classes.names is None)
    if classes.names is None:
        names = _class_names(list(texts.values()), layout.notes)
        classes = ClassRule(names)
    else:
        names = classes.names
    labelled: list[LabelledFile] = []
    unknown: dict[str, list[str]] = {}
    known: Counter[int] = Counter()
    for split, folder in groups:
        texts = _label_texts(files[folder], open_rule=False)
        for file in files[folder]:
            label = classes.label(texts[file]) if file in texts and names else None
            if label is None:
                unknown.setdefault(folder, []).append(file)
                continue
            known[label] += split == "train"
            labelled.append(LabelledFile(file, split, label))
    if sum(count > 0 for count in known.values()) < 2 or 2 * known.total() < len(trained):
        return None
    rejections.extend(layout.rejections)
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
        for file in tree.files(folder):
            if is_other_image(file):
                reject_non_image(file, rejections)
    return Photographs(
        archive,
        "the class in each file's name",
        names,
        tuple(labelled),
        questions=tuple(layout.questions.values()),
        notes=tuple(layout.notes),
    )


def _groups(layout: FolderLayout) -> list[tuple[str, str]] | None:
    """(split, folder of pictures); None when there are folders that may be classes."""
    tree = layout.tree
    root = layout.settled("", into_splits=False)
    groups = [("train", root)]
    for folder in tree.folders(root):
        split = split_of(folder)
        if split is None and len(tree.folders(root)) > 1:
            return None  # class folders
        inner = tree.unwrapped(folder)
        while len(tree.folders(inner)) == 1 and not tree.pictures(inner):
            inner = tree.folders(inner)[0]  # Kaggle's train/train/
        if tree.folders(inner):
            return None
        groups.append((split or "train", inner))
    return groups


def _class_names(texts: list[str], notes: list[str]) -> tuple[str, ...]:
    """The labels that two pictures or more share, sorted.

    `Cat` and `cat` are one class, for people type names by hand; `A` and `a` are two letters.
    """
    letters = all(len(text) == 1 for text in texts)
    spelling: dict[str, str] = {}
    counts = Counter(text if letters else text.casefold() for text in texts)
    for text in texts:
        before = spelling.setdefault(text if letters else text.casefold(), text)
        if before != text and not any(before in note for note in notes):
            notes.append(f"{text} is read as {before}: upper and lower case are one class here.")
    return tuple(
        sorted((text for key, text in spelling.items() if counts[key] > 1), key=natural_key)
    )


def _label_texts(files: list[str], *, open_rule: bool) -> dict[str, str]:
    """The label text of each file whose name tells one, by the first pattern that fits most files.

    With `open_rule` a label must not be what a camera calls every picture.
    """
    best: dict[str, str] = {}
    for pattern in (_NUMBERED, _NUMBER_BEHIND, _NUMBER_BEFORE):
        texts = {}
        for file in files:
            match = pattern.fullmatch(stem(file))
            if match and not (open_rule and _from_camera(match["label"])):
                texts[file] = match["label"].strip(" ._-")
        if 2 * len(texts) >= len(files) > 0:
            return texts
        if len(texts) > len(best):
            best = texts
    return best


def _from_camera(label: str) -> bool:
    return re.split(r"[\W_\d]+", label.casefold())[0] in _CAMERAS
