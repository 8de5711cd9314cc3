"""One file a source format; `SOURCE_FORMATS` is the order in which they are tried.

    archive.py        a folder, a zip or a tar through one interface
    pixel_tables.py   a table of pixels, a row an image: Sign-Language MNIST, Fashion-MNIST
    idx_files.py      MNIST's own files: train-images-idx3-ubyte.gz and its labels
    parquet_sets.py   the Hugging Face Hub's: a picture file and its class in each row
    matlab_lists.py   MATLAB files that give pictures their classes: Oxford Flowers, Stanford Cars
    label_tables.py   a table of file names and classes: label.csv, _classes.csv, metadata.jsonl
    flat_names.py     the class in the file's name: cat.0.jpg, dog.17.jpg
    class_folders.py  one folder a class, optionally below train/, val/, test/
    part_lists.py     the parts of those that tell them apart: meta/train.txt, cat/test_1.jpg
    class_lists.py    names for classes that are numbers: classes.txt, label_map.json
    photographs.py    what the last three share: decoding many image files in parallel
    image_names.py    which image the text in a table or list means
    split_words.py    train, val or test by the words of a name
    code_pages.py     the code page of names and tables that do not say theirs

To add a format: write `recognise(archive, classes, rejections, answers) -> Source | None` and name
it here. Where a layout can be read in two ways, the source carries a Question; `answers` holds what
a person chose, by the question's key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from lab.data.pack import Rejections
from lab.data.sources import (
    class_folders,
    flat_names,
    idx_files,
    label_tables,
    matlab_lists,
    parquet_sets,
    pixel_tables,
)
from lab.data.sources.archive import Archive
from lab.data.sources.source import ClassRule, Source

Recognise = Callable[[Archive, ClassRule, Rejections, Mapping[str, str]], Source | None]

SOURCE_FORMATS: dict[str, Recognise] = {
    "pixel-tables": pixel_tables.recognise,
    "idx-files": idx_files.recognise,
    "parquet-sets": parquet_sets.recognise,
    "matlab-lists": matlab_lists.recognise,
    "label-tables": label_tables.recognise,
    "flat-names": flat_names.recognise,
    "class-folders": class_folders.recognise,
}
