"""The interface of a source format: class names and a stream of images."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
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
    title: str = ""
    """What a person calls the set; a set of signs may have letters for classes."""

    def label(self, text: str) -> int | None:
        """The label of a folder name or a label text; None when it is none of the classes.

        The exact spelling counts first; another case is only a class that no other one resembles.
        """
        if self.names is None:
            raise ValueError("an open rule has no fixed labels")
        text = text.strip()
        if (label := self._exact.get(text)) is not None:
            return label
        text = text.casefold()
        return self._folded.get(self.aliases.get(text, text).casefold())

    @cached_property
    def _exact(self) -> dict[str, int]:
        return {name: label for label, name in enumerate(self.names or ())}

    @cached_property
    def _folded(self) -> dict[str, int]:
        """Spelling in lower case -> label, of the names that differ by more than case."""
        times = Counter(name.casefold() for name in self.names or ())
        return {
            name.casefold(): label
            for label, name in enumerate(self.names or ())
            if times[name.casefold()] == 1
        }

    @property
    def allowed(self) -> str:
        return " or ".join(self.names or ())


def own_classes(named: Iterable[tuple[str, str]]) -> ClassRule:
    """Returns the classes that a set names itself, from the (split, name) of its images.

    `Cats` in one split and `cats` in another are one class; a split that has both `A` and `a` says
    that they are two.
    """
    spellings: dict[str, dict[str, None]] = {}
    in_split: dict[tuple[str, str], set[str]] = {}
    for split, name in named:
        spellings.setdefault(name.casefold(), {})[name] = None
        in_split.setdefault((split, name.casefold()), set()).add(name)
    several = {folded for (_, folded), names in in_split.items() if len(names) > 1}
    names = [
        name
        for folded, written in spellings.items()
        for name in (written if folded in several else list(written)[:1])
    ]
    return ClassRule(tuple(sorted(names, key=lambda name: (natural_key(name), name))))


_DIGITS = re.compile(r"(\d+)")


def natural_key(name: str) -> tuple[Any, ...]:
    """Sorts `cat.2.jpg` before `cat.10.jpg`."""
    parts = _DIGITS.split(name)
    # By length first: a number is never made of the digits, of which a name may hold thousands.
    return tuple(
        (0, len(part.lstrip("0")), part.lstrip("0")) if i % 2 else (1, 0, part)
        for i, part in enumerate(parts)
        if part
    )
