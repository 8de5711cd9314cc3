"""The downloadable data sets: their facts, and the files that a download must contain.

To add one: add an Offer to `OFFERS`. It then appears on the Data page and in
`python -m lab datasets download`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from lab.data.specs import DATASETS
from lab.registry import Registry

KAGGLE = "www.kaggle.com"
"""Its address `/api/v1/datasets/download/<owner>/<name>` leads to the zip of the newest version; a
public data set needs no account."""


@dataclass(frozen=True)
class Needed:
    """A file or folder that a download must contain, wherever in the zip it lies.

    A file of this name; or, with `classes`, a folder of this name that holds a folder for each
    class with at least so many images.
    """

    name: str
    classes: tuple[tuple[str, int], ...] = ()

    def missing_from(self, files: Iterable[str]) -> str:
        """What is missing, as a sentence; empty if nothing is. `files` are relative posix paths."""
        paths = [PurePosixPath(file) for file in files]
        if not self.classes:
            is_there = any(path.name == self.name for path in paths)
            return "" if is_there else f"there is no file {self.name}"
        images: Counter[tuple[PurePosixPath, str]] = Counter()
        for path in paths:
            if path.suffix.casefold() in (".jpg", ".jpeg", ".png", ".webp"):
                images[path.parent.parent, path.parent.name] += 1
        folders = {above for above, _ in images if above.name == self.name}
        if any(all(images[folder, name] >= n for name, n in self.classes) for folder in folders):
            return ""
        expected = " and ".join(f"{least:,} images in {name}/" for name, least in self.classes)
        return f"there is no folder {self.name} with at least {expected}"


@dataclass(frozen=True)
class Offer:
    """A data set that the lab can fetch: one zip file, read where it lies and never unpacked."""

    id: str
    dataset: str
    """The name that it gets in the lab."""
    title: str
    page: str
    """Where a person reads about it, and finds it when the download does not work."""
    licence: str
    url: str
    size_bytes: int
    """How much is downloaded, about; the pack comes on top."""
    needs: tuple[Needed, ...]
    expected_bytes: int | None = None
    """The exact size, where the file at `url` is known not to change."""

    @property
    def is_on_kaggle(self) -> bool:
        return urlsplit(self.page).hostname == KAGGLE


OFFERS: Registry[Offer] = Registry("download")

for _offer in (
    Offer(
        id="sign-mnist",
        dataset="sign-mnist",
        title="Sign-Language MNIST",
        page="https://www.kaggle.com/datasets/datamunge/sign-language-mnist",
        licence=DATASETS.get("sign-mnist").licence,
        url=f"https://{KAGGLE}/api/v1/datasets/download/datamunge/sign-language-mnist",
        size_bytes=65_600_000,
        needs=(Needed("sign_mnist_train.csv"), Needed("sign_mnist_test.csv")),
    ),
    Offer(
        id="cats-dogs",
        dataset="cats-dogs",
        title="Cats and dogs",
        page="https://www.kaggle.com/datasets/tongpython/cat-and-dog",
        licence=DATASETS.get("cats-dogs").licence,
        url=f"https://{KAGGLE}/api/v1/datasets/download/tongpython/cat-and-dog",
        size_bytes=228_500_000,
        needs=(  # 4,000 + 4,005 and 1,011 + 1,012
            Needed("training_set", (("cats", 4000), ("dogs", 4000))),
            Needed("test_set", (("cats", 1000), ("dogs", 1000))),
        ),
    ),
    Offer(
        # A name of its own: these are other images than those of cats-dogs, and fewer.
        id="cats-dogs-filtered",
        dataset="cats-dogs-filtered",
        title="Cats and dogs, filtered",
        page="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
        licence=DATASETS.get("cats-dogs").licence,
        url="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip",
        size_bytes=68_606_236,
        needs=(
            Needed("train", (("cats", 1000), ("dogs", 1000))),
            Needed("validation", (("cats", 500), ("dogs", 500))),
        ),
        expected_bytes=68_606_236,
    ),
):
    OFFERS.add(_offer.id, _offer)
