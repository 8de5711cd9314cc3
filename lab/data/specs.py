"""The registered data sets: what they are, where they come from, how to get them.

To add one: add a DatasetSpec to `DATASETS`. It then appears on the Data page, in the select box and
in `python -m lab datasets list`. A person's own images need no entry; they become packs under a new
name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from lab.data.decode import FORMAT_WORDS, Fit
from lab.data.sources.pixel_tables import LETTERS
from lab.data.sources.source import ClassRule
from lab.installation import COMMAND
from lab.registry import Registry


@dataclass(frozen=True)
class DatasetSpec:
    """A registered data set. Built-in ones name the module that makes them instead of formats."""

    name: str
    title: str
    story: str
    source: str
    licence: str
    how_to_get: str
    module: str = ""
    """The module that makes a built-in set; see `lab.data.built_in`. It offers CLASS_NAMES,
    IMAGE_SIZE, CHANNELS, VERSION, COUNTS and render_batches."""
    class_names: tuple[str, ...] = ()
    class_aliases: dict[str, str] = field(default_factory=dict)
    """Other names of the classes in lower case, such as plural folder names."""
    image_size: int = 224
    channels: int = 3
    fit: Fit = "stretch"
    formats: tuple[str, ...] = ()
    """Names from lab.data.sources.SOURCE_FORMATS, in the order they are tried."""
    expects: str = ""
    """The layouts that are read, as the middle of a sentence."""
    downloadable: bool = False
    """Whether lab.data.download.dataset can fetch it."""
    drawn: bool = False
    """Whether these are drawings of this program."""
    knobs: dict[str, Any] = field(default_factory=dict)
    """Values of knobs for this data set that differ from the general defaults."""

    @property
    def built_in(self) -> bool:
        """Whether it is made on this machine at first use."""
        return bool(self.module)

    @property
    def classes(self) -> ClassRule:
        return ClassRule(self.class_names, self.class_aliases)


DATASETS: Registry[DatasetSpec] = Registry("data set")

PHOTOGRAPH_FORMATS = ("label-tables", "flat-names", "class-folders")
PHOTOGRAPH_LAYOUTS = (
    "one folder for each class (optionally below train/, val/ and test/), a label.csv with the "
    "columns path,label in the folder of each part, or names such as cat.0.jpg"
)
OWN_FORMATS = (
    *("pixel-tables", "idx-files", "parquet-sets", "matlab-lists"),
    *PHOTOGRAPH_FORMATS,
)
OWN_EXPECTS = (
    f"one folder for each class with pictures in it ({FORMAT_WORDS}), optionally below train/, "
    "val/ and test/, or a table of file names and classes beside the pictures (label.csv with "
    "path,label)"
)

_CATS_DOGS = {"cats": "cat", "dogs": "dog", "0": "cat", "1": "dog"}

for _spec in (
    DatasetSpec(
        name="drawn-cats-dogs",
        title="Drawn cats and dogs",
        story="Cats and dogs as this program draws them: pose, fur, ears, muzzle, background and "
        "light vary. Drawings, not photographs; ready at once, without internet.",
        source="Drawn by this program",
        licence="Free to use; made by this program",
        how_to_get="Nothing to do: it is drawn on this machine at first use.",
        module="lab.data.drawn.animals",
        drawn=True,
        knobs={"architecture": "simple-cnn", "epochs": 8, "horizontal_flip": True},
    ),
    DatasetSpec(
        name="drawn-signs",
        title="Drawn signs",
        story="The 24 still letters of the American manual alphabet, drawn from a small model of a "
        "hand. Drawings, not photographs; ready at once, without internet.",
        source="Drawn by this program",
        licence="Free to use; made by this program",
        how_to_get="Nothing to do: it is drawn on this machine at first use.",
        module="lab.data.drawn.signs",
        drawn=True,
        knobs={"architecture": "sign-cnn", "batch_size": 128, "epochs": 10},
    ),
    DatasetSpec(
        name="handwritten-digits",
        title="Handwritten digits",
        story="Real handwriting, tiny: 1,797 digits by 13 people, 8×8 grey; ready at once, "
        "without internet. Who wrote which digit is not known, so each hand may be in training and "
        "test: a stranger's digits can be read worse than the test says.",
        source="https://archive.ics.uci.edu/dataset/80 (the test part of E. Alpaydin and C. "
        "Kaynak's Optical Recognition of Handwritten Digits, 1998, as scikit-learn brings it)",
        licence="CC BY 4.0, as its UCI page states",
        how_to_get="Nothing to do: it comes with scikit-learn and is read at first use.",
        module="lab.data.digits",
        knobs={"architecture": "sign-cnn", "epochs": 10},
    ),
    DatasetSpec(
        name="sign-mnist",
        title="Sign-Language MNIST",
        story="Hands showing the 24 still letters of the American manual alphabet (J and Z are "
        "movements), 28 x 28 grey: 27,455 training and 7,172 test images, grown from 1,704 "
        "photographs by about 20 near-copies each. Nearly every training image has near-copies "
        "among the others; few test images have one among them.",
        source="https://www.kaggle.com/datasets/datamunge/sign-language-mnist",
        licence="CC0: Public Domain, as its Kaggle page states",
        how_to_get="Press Download on the Data page, or fetch the zip from "
        "https://www.kaggle.com/datasets/datamunge/sign-language-mnist and run: "
        f"{COMMAND} datasets add sign-mnist PATH",
        class_names=LETTERS,
        image_size=28,
        channels=1,
        formats=("pixel-tables",),
        expects="Kaggle's files sign_mnist_train.csv and sign_mnist_test.csv in a folder or zip",
        downloadable=True,
        knobs={
            "architecture": "sign-cnn",
            "batch_size": 256,
            "epochs": 20,
            "split_by": "group",
        },
    ),
    DatasetSpec(
        name="cats-dogs",
        title="Cats and dogs",
        story="Photographs of cats and dogs from shelters, with people, cages and furniture in the "
        "picture; sizes vary and every photograph is squashed or cropped to a square.",
        source="https://www.kaggle.com/datasets/tongpython/cat-and-dog (from Kaggle's Dogs vs. "
        "Cats, a part of Microsoft Research's Asirra)",
        licence="For study: the photographs come from Asirra, which states no open licence; see "
        "the page of the source",
        how_to_get="Press Download on the Data page, or fetch the photographs from "
        "https://www.kaggle.com/datasets/tongpython/cat-and-dog and run: "
        f"{COMMAND} datasets add cats-dogs PATH",
        class_names=("cat", "dog"),
        class_aliases=_CATS_DOGS,
        formats=PHOTOGRAPH_FORMATS,
        expects=PHOTOGRAPH_LAYOUTS + ", with cats and dogs",
        downloadable=True,
        knobs={"architecture": "simple-cnn", "epochs": 10, "horizontal_flip": True},
    ),
    DatasetSpec(
        # A name of its own: other images than those of cats-dogs, and fewer.
        name="cats-dogs-filtered",
        title="Cats and dogs, filtered",
        story="A small part of the same photographs, 2,000 for training and 1,000 for validation, "
        "as used by TensorFlow's tutorials: enough to overfit in minutes.",
        source="https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip (from "
        "Kaggle's Dogs vs. Cats, a part of Microsoft Research's Asirra)",
        licence="For study: the photographs come from Asirra, which states no open licence",
        how_to_get="Press Download on the Data page, or fetch the zip from "
        "https://storage.googleapis.com/mledu-datasets/cats_and_dogs_filtered.zip and run: "
        f"{COMMAND} datasets add cats-dogs-filtered PATH",
        class_names=("cat", "dog"),
        class_aliases=_CATS_DOGS,
        formats=PHOTOGRAPH_FORMATS,
        expects=PHOTOGRAPH_LAYOUTS + ", with cats and dogs",
        downloadable=True,
    ),
):
    DATASETS.add(_spec.name, _spec)
