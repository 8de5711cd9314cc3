"""The folders of a set that hold pictures, and what lies beside pictures without being any.

Folders without a picture below them (annotations, documentation) are not in the tree at all. Masks
are recognised by their names and by the pictures that they belong to.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from lab.data.sources.archive import Archive
from lab.data.sources.photographs import is_image
from lab.data.sources.source import natural_key
from lab.data.sources.split_words import words

_IMAGE_WORDS_TEXT = (
    "image images img imgs jpegimages jpg jpeg png picture pictures pic pics photo photos "
    "rgb color colour colored original originals raw input inputs 이미지 사진 원본 원천데이터"
)
IMAGE_WORDS = frozenset(_IMAGE_WORDS_TEXT.split())
"""Words of folders that hold the pictures themselves."""
_MASK_WORDS_TEXT = (
    "mask masks masked annotation annotations annot segmentation segmentations seg "
    "segmented groundtruth ground truth gt label labels labeled labelled trimap trimaps "
    "contour contours overlay overlays heatmap heatmaps depth bbox boxes 마스크 라벨 라벨링데이터"
)
MASK_WORDS = frozenset(_MASK_WORDS_TEXT.split())
"""Words of folders that hold pictures made from the pictures."""
_MASK_ENDING = re.compile(
    r"[ ._-]+(mask|masks|seg|segmentation|gt|groundtruth|label|trimap|superpixels|overlay)"
    r"(?:[ ._-]*\d+)?$",
    re.IGNORECASE,
)


class FolderTree:
    """The folders with pictures below them and the files directly in each folder; "" is the root.

    `empty` are the folders without a picture whose parent has some.
    """

    def __init__(self, archive: Archive) -> None:
        self.sizes = archive.sizes
        self._files: dict[str, list[str]] = defaultdict(list)
        self._pictures: dict[str, list[str]] = defaultdict(list)
        self.masks: dict[str, list[str]] = {}
        """Masks beside the pictures that they belong to, by folder."""
        for file in archive.files:
            folder = parent(file)
            self._files[folder].append(file)
            if is_image(file):
                self._pictures[folder].append(file)
        self._count: Counter[str] = Counter()
        for folder, pictures in list(self._pictures.items()):
            masks = _masks_among(pictures)
            if masks:
                self.masks[folder] = masks
                kept = set(pictures) - set(masks)
                self._pictures[folder] = [file for file in pictures if file in kept]
            for above in _and_above(folder):
                self._count[above] += len(self._pictures[folder])
        self._folders: dict[str, list[str]] = defaultdict(list)
        self.empty: list[str] = []
        for folder in sorted(archive.folders, key=natural_key):
            if self._count[folder]:
                self._folders[parent(folder)].append(folder)
            elif self._count[parent(folder)]:
                self.empty.append(folder)

    def folders(self, folder: str) -> list[str]:
        """The folders directly in the folder that hold pictures."""
        return self._folders.get(folder, [])

    def pictures(self, folder: str) -> list[str]:
        """The pictures directly in the folder."""
        return self._pictures.get(folder, [])

    def files(self, folder: str) -> list[str]:
        """All files directly in the folder."""
        return self._files.get(folder, [])

    def count(self, folder: str) -> int:
        """How many pictures the folder and the folders below it hold."""
        return self._count[folder]

    def below(self, folder: str) -> Iterator[str]:
        """The folder and every folder below it that holds pictures."""
        yield folder
        for inner in self.folders(folder):
            yield from self.below(inner)

    def drop(self, folder: str) -> None:
        """Takes a folder out of the tree."""
        dropped = self.count(folder)
        self._folders[parent(folder)].remove(folder)
        for above in _and_above(parent(folder)):
            self._count[above] -= dropped

    def names(self, folder: str) -> list[str]:
        """The names of the folders in the folder, below those that only wrap them."""
        return [last(inner) for inner in self.folders(self.unwrapped(folder))]

    def unwrapped(self, folder: str) -> str:
        """The first folder from `folder` down that does more than wrap one folder of folders."""
        while (
            len(inner := self.folders(folder)) == 1
            and self.folders(inner[0])
            and not self.pictures(folder)
        ):
            folder = inner[0]
        return folder


def holds_images(folder: str) -> bool:
    """Whether the name is one of a folder of pictures: images, "Raw images", color, 이미지."""
    found = _lower_words(folder)
    return bool(found) and found <= IMAGE_WORDS


def holds_masks(folder: str) -> bool:
    """Whether the name is one of a folder of masks: masks, ground_truth, "mask images"."""
    found = _lower_words(folder)
    return bool(found & MASK_WORDS) and found <= MASK_WORDS | IMAGE_WORDS


def _lower_words(folder: str) -> set[str]:
    return {word.casefold() for word in words(folder) if not word.isdecimal()}


def _masks_among(pictures: list[str]) -> list[str]:
    """The pictures whose name is that of another one and an ending such as _mask."""
    masks: list[str] = []
    stems: set[str] | None = None
    for file in pictures:
        if match := _MASK_ENDING.search(name := stem(file)):
            stems = stems or {stem(other) for other in pictures}
            if name[: match.start()] in stems:
                masks.append(file)
    return masks


def _and_above(folder: str) -> Iterator[str]:
    while folder:
        yield folder
        folder = parent(folder)
    yield ""


def parent(path: str) -> str:
    return path.rpartition("/")[0]


def last(folder: str) -> str:
    return folder.rpartition("/")[2]


def stem(path: str) -> str:
    """The name of a file without its suffix; PurePosixPath takes ten times as long."""
    name = last(path)
    return name.rpartition(".")[0] or name
