"""MATLAB files that say which picture has which class: Oxford Flowers, Stanford Cars and Dogs.

    imagelabels.mat   labels (1, N): the class of image_00001.jpg, image_00002.jpg ...
    setid.mat         trnid, valid, tstid: the numbers of the pictures of each part
    cars_*annos*.mat  annotations: fname or relative_im_path, class, perhaps test
    cars_meta.mat     class_names
    train_list.mat    file_list: the pictures of a part, whose classes are their folders

Files of MATLAB 7.3 are HDF5 and are not read.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.class_lists import names_for_numbers
from lab.data.sources.folder_tree import last, stem
from lab.data.sources.image_names import ImageNames
from lab.data.sources.photographs import LabelledFile, Photographs, is_image
from lab.data.sources.source import ClassRule
from lab.data.sources.split_words import split_of

_MAX_BYTES = 50_000_000
_MAX_FILES = 20
_PARTS = {"trnid": "train", "valid": "val", "tstid": "test"}
_FILE_FIELDS = ("fname", "relative_im_path", "filename", "file_name", "image", "name")
_CLASS_FIELDS = ("class", "label", "class_id", "category")


def file_list(archive: Archive, file: str) -> list[str]:
    """Returns the pictures that a MATLAB file lists (`file_list`); none when it is no such list."""
    names = _read(archive, file, Rejections()).get("file_list")
    return [] if names is None else [str(name) for name in np.atleast_1d(names)]


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when MATLAB files give pictures their classes; else None."""
    files = [file for file in archive.files if file.casefold().endswith(".mat")][:_MAX_FILES]
    pictures = [file for file in archive.files if is_image(file)]
    if not files or not pictures or classes.names is not None:
        return None
    own = Rejections()
    tables = {file: _read(archive, file, own) for file in files}
    labels, splits, used = _by_number(tables, sorted(pictures, key=last), rejections)
    if not labels:
        labels, splits, used = _by_annotations(tables, ImageNames(pictures))
    if not labels:
        return None
    rejections.extend(own)
    numbers = sorted(set(labels.values()))
    names = _class_names(tables, numbers)
    file = "cars_meta.mat"
    if not names:
        names, file = names_for_numbers(archive, [str(n) for n in numbers], used, answers)
    notes = [f"The classes and parts are those of {', '.join(map(last, used))}."]
    if names:
        notes.append(f"The classes have their names from {last(file)}.")
    if missing := len(pictures) - len(labels):
        rejections.add(f"{missing:,} pictures", f"have no class in {', '.join(map(last, used))}")
    return Photographs(
        archive,
        "pictures whose classes MATLAB files give",
        tuple(names.get(str(number), str(number)) for number in numbers),
        tuple(
            LabelledFile(path, splits.get(path, "train"), numbers.index(number))
            for path, number in labels.items()
        ),
        notes=tuple(notes),
    )


Found = tuple[dict[str, int], dict[str, str], list[str]]
"""path -> class number, path -> split, the files that say so."""


def _by_number(
    tables: Mapping[str, Mapping[str, Any]], pictures: list[str], rejections: Rejections
) -> Found:
    """As Oxford's Flowers: a class for each picture in the order of their numbers."""
    for file, table in tables.items():
        labels = np.atleast_1d(table.get("labels", ()))
        if labels.ndim != 1 or labels.dtype.kind not in "iuf" or len(labels) < 2:
            continue
        # segmim_00001.jpg and the like lie beside the photographs of some copies.
        numbered = {
            int(digits): path
            for path in pictures
            if (digits := stem(path).removeprefix("image_")).isdecimal()
        }
        if set(numbered) != set(range(1, len(labels) + 1)):
            reason = f"has {len(labels):,} labels, and there are not as many numbered pictures"
            rejections.add(file, f"{reason}; it is not used")
            continue
        splits: dict[str, str] = {}
        used = [file]
        for other, parts in tables.items():
            for key, split in _PARTS.items():
                for number in np.atleast_1d(parts.get(key, ())).tolist():
                    splits[numbered.get(int(number), "")] = split
                    used += [other] * (other not in used)
        return (
            {numbered[n]: int(label) for n, label in enumerate(labels.tolist(), 1)},
            splits,
            used,
        )
    return {}, {}, []


def _by_annotations(tables: Mapping[str, Mapping[str, Any]], images: ImageNames) -> Found:
    """As Stanford's Cars: a record with name and class for each picture."""
    labels: dict[str, int] = {}
    splits: dict[str, str] = {}
    used = []
    for file, table in tables.items():
        records = np.atleast_1d(table.get("annotations", ()))
        fields = records.dtype.names or ()
        name = next((field for field in _FILE_FIELDS if field in fields), None)
        label = next((field for field in _CLASS_FIELDS if field in fields), None)
        if name is None or label is None:
            continue  # a test set whose classes are kept back
        split = split_of(stem(file))
        for record in records:
            hits = images.find(str(record[name]), "", split=split)
            # Both parts of the cars have a 00001.jpg, in folders named by the part.
            hits = tuple(
                hit for hit in hits if len(hits) == 1 or split_of(hit.split("/")[-2]) == split
            )
            if len(hits) != 1:
                continue
            labels[hits[0]] = int(record[label])
            part = "test" if "test" in fields and int(record["test"]) else split
            splits[hits[0]] = part or "train"
        used.append(file)
    return labels, splits, used


def _class_names(tables: Mapping[str, Mapping[str, Any]], numbers: list[int]) -> dict[str, str]:
    """Number (from 1) -> name, where a file has them."""
    for table in tables.values():
        names = [str(name) for name in np.atleast_1d(table.get("class_names", ()))]
        if names and max(numbers) <= len(names) and min(numbers) >= 1:
            return {str(number): name for number, name in enumerate(names, 1)}
    return {}


def _read(archive: Archive, file: str, rejections: Rejections) -> dict[str, Any]:
    """The variables of a MATLAB file; none when it cannot be read."""
    from scipy.io import loadmat  # a tenth of a second that only those pay who have such a file

    try:
        values: dict[str, Any] = loadmat(
            io.BytesIO(archive.read(file, limit=_MAX_BYTES)), squeeze_me=True
        )
    except NotImplementedError:
        rejections.add(file, "is of MATLAB 7.3, which is not read; save it with -v7")
    except Exception as error:  # scipy meets damaged data with many kinds
        rejections.add(file, f"cannot be read as a MATLAB file ({' '.join(str(error).split())})")
    else:
        return values
    return {}
