"""The interface of a source format: class names and a stream of images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from lab.data.decode import Fit, ValueRange
from lab.data.pack import Rejections
from lab.errors import ConfigError
from lab.progress import Cancel


@dataclass(frozen=True)
class Question:
    """A doubt about a layout that a person can settle before anything is written.

    `choices` are (value, words of the value). Without an answer `default` holds; `why` says why
    there is a doubt.
    """

    key: str
    text: str
    choices: tuple[tuple[str, str], ...]
    default: str
    why: str = ""

    def answer(self, answers: Mapping[str, str]) -> str:
        """Returns the chosen value; raises ConfigError when it is none of the choices."""
        value = answers.get(self.key, self.default)
        if value not in dict(self.choices):
            allowed = ", ".join(choice for choice, _ in self.choices)
            raise ConfigError(f"{value!r} is no answer to {self.key}; allowed are {allowed}.")
        return value


@dataclass(frozen=True)
class SourceImage:
    """One image that is to be stored in a pack. `pixels` (H, W, C) uint8, `split` one of SPLITS.

    `label` indexes the source's class names. `digest` is of the file or row as it came: it says
    "the same image" whatever size the pack has. `size` is the original width and height. Images
    of the same `group` belong together, such as a burst; "" stands for itself. `remark` is what a
    person should know of how the file was read; `value_range` that of the whole set, for a file of
    more than 8 bits a value.
    """

    pixels: NDArray[np.uint8]
    split: str
    label: int
    name: str
    digest: bytes
    size: tuple[int, int]
    group: str = ""
    remark: str = ""
    value_range: ValueRange | None = None


class Source(Protocol):
    """A recognised layout, listed but not yet decoded."""

    @property
    def layout(self) -> str:
        """The layout in words, for the import report."""

    @property
    def class_names(self) -> tuple[str, ...]: ...

    @property
    def channels(self) -> int: ...

    @property
    def fixed_size(self) -> int | None:
        """The side that all images have and keep, or None for photographs of any size."""

    @property
    def total(self) -> int:
        """How many images will come at most."""

    @property
    def questions(self) -> tuple[Question, ...]:
        """What a person may decide otherwise; the answers are in this source already."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know about how the layout was read, one sentence each."""

    def images(
        self, *, image_size: int, fit: Fit, rejections: Rejections, cancel: Cancel
    ) -> Iterator[SourceImage | None]:
        """The images in a fixed order; None for each one that was rejected instead."""


@dataclass(frozen=True)
class ClassRule:
    """The classes that a data set may have.

    `names` None: any. Otherwise exactly these, in this order, and
    `aliases` maps other spellings (lower case) to them.
    """

    names: tuple[str, ...] | None = None
    aliases: dict[str, str] = field(default_factory=dict)

    def label(self, text: str) -> int | None:
        """The label of a folder name or a label text; None when it is none of the classes."""
        if self.names is None:
            raise ValueError("an open rule has no fixed labels")
        text = text.strip()
        if text in self.names:  # before the case is folded: A and a may be two classes
            return self.names.index(text)
        name = self.aliases.get(text.casefold(), text.casefold())
        lowered = [known.casefold() for known in self.names]
        return lowered.index(name) if name in lowered else None

    @property
    def allowed(self) -> str:
        return " or ".join(self.names or ())


def natural_key(name: str) -> tuple[Any, ...]:
    """Sorts `cat.2.jpg` before `cat.10.jpg`."""
    parts: list[str] = []
    for character in name:
        if parts and parts[-1].isdecimal() == character.isdecimal():
            parts[-1] += character
        else:
            parts.append(character)
    return tuple((0, int(part), "") if part.isdecimal() else (1, 0, part) for part in parts)
