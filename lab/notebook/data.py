"""Data sets: which there are, adding one, its images as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd

from lab.cli.console import progress_line
from lab.data import catalog
from lab.data.catalog import DatasetInfo
from lab.data.decode import Fit
from lab.data.pack import Pack


@dataclass(frozen=True)
class Dataset:
    """A data set on this machine, or one that could be."""

    name: str
    """What `train(dataset=...)` takes."""

    @property
    def info(self) -> DatasetInfo:
        """Its facts: title, classes, size, counts, source, licence."""
        return catalog.describe(self.name)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes, in the order of the labels."""
        return self.info.class_names

    def arrays(
        self, split: Literal["train", "val", "test"] = "train"
    ) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
        """Returns the images (N, H, W, C) uint8 of a split and their labels (N,) int64.

        As the set itself splits them; a run also sets validation images aside from "train". All of
        them are copied into memory. Raises LabError when the set is not on this machine.
        """
        pack = self._pack()
        rows = pack.indices(split)
        return np.array(pack.images[rows]), np.asarray(pack.labels[rows])

    def frame(self) -> pd.DataFrame:
        """Returns a row an image: its name, class and split, by its index in the data set.

        Raises LabError when the set is not on this machine.
        """
        pack = self._pack()
        split = np.full(len(pack), "", dtype=object)
        for name in ("train", "val", "test"):
            split[pack.indices(name)] = name
        classes = [pack.meta.class_names[label] if label >= 0 else "" for label in pack.labels]
        return pd.DataFrame(
            {"image": list(pack.names), "class": classes, "split": split},
            index=pd.RangeIndex(len(pack), name="index"),
        )

    def _pack(self) -> Pack:
        with progress_line() as report:
            return catalog.open_pack(self.name, progress=report)


def datasets() -> pd.DataFrame:
    """Returns a row a data set, by its name: those on this machine and those that can be added."""
    infos = catalog.list_datasets()
    return pd.DataFrame(
        {
            "title": [info.title for info in infos],
            "state": [info.state for info in infos],
            "classes": [len(info.class_names) for info in infos],
            "image_size": [info.image_size for info in infos],
            "channels": [info.channels for info in infos],
            **{
                split: [info.split_totals.get(split, 0) for info in infos]
                for split in ("train", "val", "test")
            },
        },
        index=pd.Index([info.name for info in infos], name="name"),
    )


def dataset(name: str) -> Dataset:
    """Returns the data set of this name. Raises NotFoundError with the names that come near."""
    return Dataset(catalog.describe(name).name)


def add_dataset(
    path: str | Path,
    name: str,
    *,
    replace: bool = False,
    fit: Fit = "stretch",
    image_size: int | None = None,
    answers: Mapping[str, str] | None = None,
) -> Dataset:
    """Adds the pictures in a folder or zip as a data set; its layout is recognised.

    `name` is a name or a title, from which a name is made. `fit` is how a photograph becomes a
    square ("stretch", "crop" or "pad"), `image_size` the side of the squares in pixels; `answers`
    settle what `epochlab datasets add --dry-run` asks. Files that cannot be read are left out:
    `Dataset.info` counts them. Raises LabError when nothing can be used, or when there is such a
    set and not `replace`.
    """
    title = None
    if name not in catalog.DATASETS and not catalog.is_dataset_name(name):
        name, title = catalog.dataset_name(name), name
    with progress_line() as report:
        catalog.add_dataset(
            name,
            path,
            title=title,
            replace=replace,
            fit=fit,
            image_size=image_size,
            answers=answers,
            progress=report,
        )
    return Dataset(name)
