"""One file a source format; `SOURCE_FORMATS` is the order in which they are tried.

    archive.py        a folder or a zip through one interface, nothing unpacked to disk
    kaggle_signs.py   Sign-Language MNIST: one CSV a split, a row an image
    label_csv.py      a label.csv a split, with columns path,label
    flat_names.py     the class in the file's name: cat.0.jpg, dog.17.jpg
    class_folders.py  one folder a class, optionally below train/, val/, test/
    photographs.py    what the last three share: decoding many image files in parallel
    split_words.py    train, val or test by the words of a name

To add a format: write `recognise(archive, classes, rejections, answers) -> Source | None` and name
it here. Where a layout can be read in two ways, the source carries a Question; `answers` holds what
a person chose, by the question's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.data.pack import Rejections
from lab.data.sources import class_folders, flat_names, kaggle_signs, label_csv
from lab.data.sources.archive import Archive
from lab.data.sources.source import ClassRule, Source

Recognise = Callable[[Archive, ClassRule, Rejections, Mapping[str, str]], Source | None]

SOURCE_FORMATS: dict[str, Recognise] = {
    "kaggle-signs": kaggle_signs.recognise,
    "label-csv": label_csv.recognise,
    "flat-names": flat_names.recognise,
    "class-folders": class_folders.recognise,
}
