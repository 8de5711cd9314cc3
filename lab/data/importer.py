"""From a folder or zip to a pack: recognise the layout, decode, decide classes and splits."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from lab.data.decode import Fit, ValueRange
from lab.data.pack import SPLIT_WORDS, SPLITS, PackMeta, PackWriter, Rejected, Rejections
from lab.data.person_quota import require_person_quota
from lab.data.sources import SOURCE_FORMATS, class_folders
from lab.data.sources.archive import Archive, open_archive
from lab.data.sources.part_lists import with_parts
from lab.data.sources.photographs import Photographs
from lab.data.sources.source import ClassRule, Question, Source
from lab.errors import ConfigError, DataError
from lab.home import require_free_space
from lab.names import visible
from lab.progress import Cancel, Progress, Report, throttled

TEST_SHARE = 0.15
"""Share of each class that becomes the test set when the data set brings none."""
MAX_CLASSES = 1000
"""Stands in the warning of `shared_pictures`."""
TRAIN, TEST = SPLITS.index("train"), SPLITS.index("test")


@dataclass(frozen=True)
class ImportTarget:
    """What the pack will be: its name and texts, its classes, the formats it may come in."""

    name: str
    title: str
    story: str
    source: str
    licence: str
    classes: ClassRule
    formats: tuple[str, ...]
    expects: str
    """The layout wanted, in words, for the sentence that refuses another."""
    image_size: int
    fit: Fit
    without: frozenset[str] = frozenset()
    """Classes that a person leaves out."""


@dataclass(frozen=True)
class ImportReport:
    """The result of adding a data set. `accepted` is split -> class name -> images."""

    dataset: str
    layout: str
    accepted: dict[str, dict[str, int]]
    rejected: tuple[Rejected, ...]
    """The first thousand; `rejected_count` is how many there were."""
    rejected_count: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    meta: PackMeta
    seconds: float

    @property
    def total(self) -> int:
        """Images accepted."""
        return sum(sum(classes.values()) for classes in self.accepted.values())

    @property
    def sentence(self) -> str:
        """Such as "Added 90 images in 3 classes (80 training, 10 test)", notes and warnings."""
        counts = {split: sum(classes.values()) for split, classes in self.accepted.items()}
        parts = ", ".join(
            f"{count:,} {SPLIT_WORDS[split]}" for split, count in counts.items() if count
        )
        text = (
            f"Added {self.total:,} images in {classes_in_words(self.meta.class_names)} ({parts})."
        )
        if self.rejected_count:
            text += f" {count_files(self.rejected_count)} could not be used."
        return " ".join([text, *self.notes, *self.warnings])


def import_images(
    target: ImportTarget,
    path: Path,
    folder: Path,
    *,
    answers: Mapping[str, str],
    progress: Report,
    cancel: Cancel,
) -> ImportReport:
    """Decode the images at `path` into the pack at `folder`; the caller holds the pack's lock.

    `answers` settle the questions of the layout, as `lab.data.preview` shows them. Raises DataError
    when nothing (or less than two classes) can be used, ConfigError for a wrong answer,
    ResourceError when the disk is too full, Cancelled; then `folder` is as it was.
    """
    started = time.monotonic()
    rejections = Rejections()
    progress(Progress(0, 0, f"Looking through {path}"))
    with open_archive(path, rejections, answers) as archive:
        source = recognise_source(archive, target, answers, rejections)
        check_answers(source.questions, answers)
        image_size = source.fixed_size or target.image_size
        # With room for names and labels.
        needed = source.total * (image_size * image_size * source.channels + 200)
        require_free_space(folder.parent, needed)
        require_person_quota(needed)
        report = throttled(progress)
        text = f"Decoding {path.name}"
        labels: list[int] = []
        split: list[int] = []
        digests: list[bytes] = []
        names: list[str] = []
        sizes: list[tuple[int, int]] = []
        groups: list[str] = []
        remarks: dict[str, list[str]] = {}
        value_range: ValueRange | None = None
        with PackWriter(folder, image_size=image_size, channels=source.channels) as writer:
            images = source.images(
                image_size=image_size, fit=target.fit, rejections=rejections, cancel=cancel
            )
            for done, image in enumerate(images, 1):
                if image is not None:
                    writer.add(image.pixels[np.newaxis], [image.name])
                    labels.append(image.label)
                    split.append(SPLITS.index(image.split))
                    digests.append(image.digest)
                    names.append(image.name)
                    sizes.append(image.size)
                    groups.append(image.group)
                    value_range = image.value_range
                    if image.remark:
                        remarks.setdefault(image.remark, []).append(image.name)
                report(Progress(done, source.total, text, "images"))
            numbers = group_numbers(groups)
            included = choose_classes(
                np.array(labels, dtype=np.int64),
                np.array(split, dtype=np.uint8),
                digests,
                source.class_names,
                rejections,
                numbers,
                without=target.without,
            )
            if len(included.class_names) < 2:
                raise DataError(too_few_classes(archive, target, included.class_names, rejections))
            progress(Progress(source.total, source.total, f"Writing {target.name}", "images"))
            meta = PackMeta(
                dataset=target.name,
                title=target.title,
                story=target.story,
                class_names=included.class_names,
                drawn=False,
                channels=source.channels,
                image_size=image_size,
                fit=target.fit,
                source=target.source,
                licence=target.licence,
                created=datetime.now(UTC).isoformat(timespec="seconds"),
                rejected=tuple(rejections.listed),
                rejected_count=rejections.count,
                original_sizes={f"{w}x{h}": n for (w, h), n in Counter(sizes).most_common(20)},
                notes=(
                    f"Read as {source.layout}.",
                    *source.notes,
                    *included.notes,
                    *_file_notes(remarks, value_range),
                ),
                warnings=(*mostly_copies(digests), *shared_pictures(included, digests, names)),
                value_range=value_range,
            )
            meta = writer.finish(
                meta,
                included.labels,
                included.split,
                keep=included.keep,
                groups=numbers,
                sizes=np.array(sizes, dtype=np.int32),
            )
    return ImportReport(
        dataset=target.name,
        layout=source.layout,
        accepted=meta.counts,
        rejected=meta.rejected,
        rejected_count=meta.rejected_count,
        notes=meta.notes,
        warnings=meta.warnings,
        meta=meta,
        seconds=time.monotonic() - started,
    )


def classes_in_words(names: Sequence[str]) -> str:
    """Such as "3 classes: cat, dog, fox"; of many classes the first ten."""
    shown = ", ".join(names[:10]) + (f" and {len(names) - 10:,} more" if names[10:] else "")
    return f"{len(names):,} class{'es' * (len(names) != 1)}: {shown}"


def count_files(count: int) -> str:
    """Such as "1 file" or "1,200 files"."""
    return f"{count:,} file{'s' * (count != 1)}"


@dataclass(frozen=True)
class IncludedImages:
    """labels (N,), split (N,) and keep (N,) of all images read; labels index `class_names`."""

    class_names: tuple[str, ...]
    labels: NDArray[np.int64]
    split: NDArray[np.uint8]
    keep: NDArray[np.bool_]
    notes: tuple[str, ...]


def choose_classes(
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    digests: Sequence[bytes],
    class_names: tuple[str, ...],
    rejections: Rejections,
    groups: NDArray[np.int64] | None = None,
    *,
    without: Collection[str] = (),
) -> IncludedImages:
    """Leaves out the classes `without` and those that cannot be learnt, and chooses test images if
    there are none.

    A class needs a training image and one more. Without any test image in the whole set, a share of
    each class's training images becomes the test set: those whose digest comes first. So the choice
    depends on the images alone, not on their order, names or size, and two copies of one image
    fall on the same side, as do the images of one group.
    """
    split = split.copy()
    notes: list[str] = []
    # Test images of classes that nobody trains on (test/unknown) are no test.
    trained = np.isin(labels, labels[split == TRAIN])
    brings_test = bool(((split == TEST) & trained).any())
    if not brings_test and len(labels):
        units = _units(digests, groups)
        for label, name in enumerate(class_names):
            members = np.flatnonzero((labels == label) & (split == TRAIN))
            chosen = _choose_test_images(members, digests, units)
            split[chosen] = TEST
            if len(members) > 1 and not chosen:
                notes.append(
                    f"All images of class {name!r} are copies of one or a single burst, so none of "
                    "them is a test image."
                )
        bursts = "" if groups is None else " Each burst stays on one side."
        notes.append(
            f"The set brings no test images: {TEST_SHARE:.0%} of each class's training images, "
            f"chosen by their content, are set apart for the test.{bursts}"
        )
    new_label = np.full(len(class_names), -1, dtype=np.int64)
    names: list[str] = []
    for label, name in enumerate(class_names):
        class_split = split[labels == label]
        if name in without:
            reason = "is left out, as chosen"
        elif len(class_split) == 0:
            reason = "has no usable image"
        elif len(class_split) == 1:
            reason = "has only one usable image; training and test need one each"
        elif not (class_split == TRAIN).any():
            reason = "has no training images"
        else:
            if brings_test and not (class_split == TEST).any():
                notes.append(f"Class {name!r} has no test images.")
            new_label[label] = len(names)
            names.append(name)
            continue
        rejections.add(
            f"class {name!r}", reason if name in without else f"{reason}: the class is left out"
        )
    labels = new_label[labels]
    return IncludedImages(tuple(names), labels, split, labels >= 0, tuple(notes))


def mostly_copies(digests: Sequence[bytes]) -> tuple[str, ...]:
    """Returns a sentence when more than half of the files are copies of others."""
    different = len(set(digests))
    if 2 * different >= len(digests):
        return ()
    return (
        f"Of {len(digests):,} pictures only {different:,} are different, the others are copies: "
        "nothing more is learnt from these, and figures from them say little.",
    )


def shared_pictures(
    included: IncludedImages, digests: Sequence[bytes], names: Sequence[str]
) -> tuple[str, ...]:
    """Returns sentences when the same file lies in two classes or in training and test part.

    `digests` and `names` are those of all images read, as in `choose_classes`.
    """
    first: dict[bytes, int] = {}
    shared: dict[bytes, tuple[int, int]] = {}
    trained: dict[bytes, int] = {}
    kept = np.flatnonzero(included.keep).tolist()
    for i in kept:
        before = first.setdefault(digests[i], i)
        if included.labels[before] != included.labels[i]:
            shared.setdefault(digests[i], (before, i))
        if included.split[i] == TRAIN:
            trained.setdefault(digests[i], i)
    leaks = [
        _leak(
            split,
            [i for i in kept if included.split[i] == SPLITS.index(split)],
            trained,
            digests,
            names,
        )
        for split in ("val", "test")
    ]
    warnings = tuple(filter(None, leaks))
    if not shared:
        return warnings
    one, other = next(iter(shared.values()))
    subject = "1 picture is" if len(shared) == 1 else f"{len(shared):,} pictures are"
    example = "" if len(shared) == 1 else "for example "
    return (
        f"{subject} in more than one class, {example}{names[one]} and {names[other]}. "
        "No network can learn both answers: keep each picture in one class.",
        *warnings,
    )


def _leak(
    split: str,
    members: list[int],
    trained: Mapping[bytes, int],
    digests: Sequence[bytes],
    names: Sequence[str],
) -> str:
    """Returns a sentence when images of a split are training images, too; else ""."""
    copies = [i for i in members if digests[i] in trained]
    if not copies:
        return ""
    verb = "is" if len(copies) == 1 else "are"
    pair = f"{names[copies[0]]} and {names[trained[digests[copies[0]]]]}"
    return (
        f"{len(copies):,} of {len(members):,} {SPLIT_WORDS[split]} images {verb} also training "
        f"images, for example {pair}: the {SPLIT_WORDS[split]} figures flatter."
    )


def group_numbers(groups: Sequence[str]) -> NDArray[np.int64] | None:
    """(N,): images with the same text get the same number, each "" one of its own; None when all
    are ""."""
    if not any(groups):
        return None
    numbers: dict[str | int, int] = {}
    return np.array(
        [numbers.setdefault(group or i, len(numbers)) for i, group in enumerate(groups)]
    )


def _file_notes(
    remarks: Mapping[str, Sequence[str]], value_range: ValueRange | None
) -> Iterator[str]:
    """What is to be known of how files were read: remark -> their names."""
    for remark, names in remarks.items():
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        yield f"{remark}: {', '.join(names[:3])}{more}."
    if value_range is not None:
        low, high = (f"{value:,.5g}" if value < 1e5 else f"{value:,.0f}" for value in value_range)
        yield f"In all files of more than 8 bits a value, {low} is black and {high} is white."


def _choose_test_images(
    members: NDArray[np.int64], digests: Sequence[bytes], units: Sequence[int | bytes]
) -> list[int]:
    """TEST_SHARE of these images of one class, by digest; images of one unit stay together.

    A unit stands where its first digest does. At least half stays for training, so a unit that is
    most of the class (one picture, copied a thousand times) does.
    """
    parts: dict[int | bytes, list[int]] = {}
    for i in sorted(members.tolist(), key=lambda i: digests[i]):
        parts.setdefault(units[i], []).append(i)
    chosen: list[int] = []
    for part in parts.values():
        if chosen and len(chosen) >= round(TEST_SHARE * len(members)):
            break
        if 2 * (len(chosen) + len(part)) <= len(members):
            chosen += part
    return chosen


def _units(digests: Sequence[bytes], groups: NDArray[np.int64] | None) -> Sequence[int | bytes]:
    """What must stay together: images of one group, else those of equal content."""
    if groups is None:
        return digests
    grouped = np.bincount(groups)[groups] > 1
    return [
        int(groups[i]) if in_group else digests[i] for i, in_group in enumerate(grouped.tolist())
    ]


def _with_splits(source: Photographs, answers: Mapping[str, str]) -> Photographs:
    """The source with the question whether to keep the splits that it brings, answered."""
    counts = Counter(file.split for file in source.files)
    if len(counts) < 2:
        return source
    parts = ", ".join(f"{counts[s]:,} {SPLIT_WORDS[s]}" for s in SPLITS if counts[s])
    question = Question(
        "split",
        "Which parts?",
        (
            ("kept", f"as the set brings them: {parts} files"),
            ("anew", f"all together; {TEST_SHARE:.0%} of each class are set apart for the test"),
        ),
        "kept",
        "The set brings parts of its own.",
    )
    questions = (*source.questions, question)
    if question.answer(answers) == "kept":
        return replace(source, questions=questions)
    files = tuple(replace(file, split="train") for file in source.files)
    return replace(source, questions=questions, files=files)


def check_answers(questions: Sequence[Question], answers: Mapping[str, str]) -> None:
    """Raises ConfigError for an answer to a question that nothing asks."""
    known = [question.key for question in questions]
    if unknown := [key for key in answers if key not in known]:
        listing = ", ".join(known) or "none"
        raise ConfigError(f"Nothing asks for {unknown[0]!r}; the questions here are: {listing}.")


def recognise_source(
    archive: Archive, target: ImportTarget, answers: Mapping[str, str], rejections: Rejections
) -> Source:
    """Returns the set in the archive as the first of the target's formats that fits reads it.

    Raises DataError when none fits, ConfigError for an answer that is none of the choices.
    """
    for name in target.formats:
        source = SOURCE_FORMATS[name](archive, target.classes, rejections, answers)
        if source is None:
            continue
        if len(source.class_names) > MAX_CLASSES:
            raise DataError(
                f"{archive.display_path} has {len(source.class_names):,} classes; "
                f"at most {MAX_CLASSES:,} are allowed."
            )
        if isinstance(source, Photographs):
            source = _with_splits(with_parts(archive, source, rejections, answers), answers)
        return _without(_with_names_of(archive, source), target.without)
    entries = sorted(folder + "/" for folder in archive.folders if "/" not in folder)
    entries += [file for file in archive.files if "/" not in file]
    listing = ", ".join(entries[:5]) + (", ..." if entries[5:] else "") if entries else "nothing"
    reason = f"; {rejections.listed[0]}" if rejections.listed else ""
    zips = [file for file in archive.files if file.casefold().endswith(".zip")]
    hint = f"Unpack it and add {zips[0]}." if zips else class_folders.why_no_classes(archive)
    raise DataError(
        f"{archive.display_path} does not look like {target.title}: expected {target.expects}; "
        f"found {listing}{reason}. {hint}".strip()
    )


def _without(source: Source, names: Collection[str]) -> Source:
    """The source without the images of these classes, where they are known before reading."""
    if unknown := sorted(set(names) - set(source.class_names)):
        raise ConfigError(
            f"There is no class {unknown[0]!r} to leave out; the set has "
            f"{classes_in_words(source.class_names)}."
        )
    if not isinstance(source, Photographs):
        return source
    files = tuple(file for file in source.files if source.class_names[file.label] not in names)
    return replace(source, files=files)


def _with_names_of(archive: Archive, source: Source) -> Source:
    """The source with what the archive asks and says of its names' code page."""
    named: Source = replace(
        cast("Any", source),  # every source is a dataclass
        class_names=tuple(map(visible, source.class_names)),
        questions=(*archive.questions, *source.questions),
        notes=(*archive.notes, *source.notes),
    )
    return named


def too_few_classes(
    archive: Archive, target: ImportTarget, usable: Sequence[str], rejections: Rejections
) -> str:
    """Returns why the set cannot be used: it has less than two classes."""
    problem = f"has only one usable class ({usable[0]})" if usable else "has no usable images"
    first = "; ".join(str(rejected) for rejected in rejections.listed[:3])
    more = f" (and {rejections.count - 3:,} more)" if rejections.count > 3 else ""
    left_out = f"Left out: {first}{more}." if first else ""
    sentences = (
        f"{archive.display_path} {problem}, and a classifier needs two or more.",
        left_out,
        class_folders.why_no_classes(archive),
        f"Expected is {target.expects}.",
    )
    return " ".join(filter(None, sentences))
