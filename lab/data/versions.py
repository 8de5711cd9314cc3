"""Versions of a data set: pictures left out, relabelled and moved, and every state kept.

    Edits ── apply ──> a new version, which pages and new runs then use
    versions, diff   what there is, and what two of them differ in
    restore          a new version with the content of an old one

A version is immutable and has a content hash; a run keeps the hash of the version that it was
trained on, and `catalog.open_pack(name, version=hash)` opens it. All versions of one import have
the same images_hash and the same rows: row 17 is the same picture in each of them.
"""

from __future__ import annotations

import dataclasses
import types
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lab.data import catalog, version_files
from lab.data.access import require_dataset
from lab.data.importer import IncludedImages, shared_pictures
from lab.data.pack import (
    EXCLUDED,
    NO_CLASS,
    SPLIT_WORDS,
    SPLITS,
    Pack,
    PackMeta,
    content_hash,
    image_digests,
    load_pack,
    split_class_counts,
)
from lab.data.pack_lock import pack_lock
from lab.data.sources.source import natural_key
from lab.data.version_files import StoredVersion, VersionFacts
from lab.errors import ConfigError, DataError, NotFoundError, unknown_name
from lab.home import atomic_folder
from lab.names import typed_name, typed_notes

Pairs = tuple[tuple[str, str], ...]

LONGEST_NAME, LONGEST_REASON = 100, 500
"""Characters of a class name."""


@dataclass(frozen=True)
class Edits:
    """Changes to a data set that are not saved yet. Rows are those of the pack.

    Relabelling comes first, then classes are merged, then renamed; a class name that is not there
    yet makes a new class. Moving an excluded picture to a split brings it back.
    """

    exclude: frozenset[int] = frozenset()
    relabel: Mapping[int, str] = field(default_factory=dict)
    """Row -> class name."""
    move: Mapping[int, str] = field(default_factory=dict)
    """Row -> "train", "val" or "test"; the rest of its group goes along."""
    rename: Mapping[str, str] = field(default_factory=dict)
    """Class name -> new class name."""
    merge: Mapping[str, str] = field(default_factory=dict)
    """Class name -> the class that takes its pictures."""
    images_hash: str = ""
    """Of the pictures that the rows belong to; "" when nobody noted it."""

    def __bool__(self) -> bool:
        return any((self.exclude, self.relabel, self.move, self.rename, self.merge))

    @property
    def rows(self) -> frozenset[int]:
        """The rows that are named."""
        return self.exclude | self.relabel.keys() | self.move.keys()


@dataclass(frozen=True)
class Version:
    """One state of a data set, as it was saved."""

    name: str
    number: int
    content_hash: str
    images_hash: str
    reason: str
    """In a person's words; "" when nobody gave any."""
    changes: str
    """What it changed, in words, such as "3 left out, 2 relabelled cat → dog"."""
    created: str
    """ISO 8601, UTC."""
    parent: int | None
    """The number of the version before."""
    newest: bool
    """Whether it is the one that pages show and new runs train on."""
    meta: PackMeta
    folder: Path

    @property
    def total(self) -> int:
        """Pictures that are in a split."""
        return sum(sum(classes.values()) for classes in self.meta.counts.values())

    def split_total(self, split: str) -> int:
        return sum(self.meta.counts.get(split, {}).values())


@dataclass(frozen=True)
class Change:
    """What became of one picture from one version to another; None is "not in the set"."""

    row: int
    """In the newer version; in the older one where the picture is there alone."""
    class_before: str | None
    class_after: str | None
    split_before: str | None
    split_after: str | None


@dataclass(frozen=True)
class Diff:
    """What one version changed against another."""

    left_out: tuple[Change, ...] = ()
    brought_back: tuple[Change, ...] = ()
    added: tuple[Change, ...] = ()
    relabelled: tuple[Change, ...] = ()
    moved: tuple[Change, ...] = ()
    renamed: tuple[tuple[str, str], ...] = ()
    merged: tuple[tuple[str, str], ...] = ()
    new_classes: tuple[str, ...] = ()
    gone_classes: tuple[str, ...] = ()
    other_pictures: bool = False
    """Whether the two are different imports, whose pictures cannot be matched row by row."""

    @property
    def words(self) -> str:
        """Such as "3 left out, 2 relabelled cat → dog, class 'dgo' renamed to 'dog'"."""
        if self.other_pictures:
            return "another import: its pictures are not those of the other version"
        parts = []
        for changes, verb in (
            (self.left_out, "left out"),
            (self.brought_back, "brought back"),
            (self.added, "added"),
        ):
            if changes:
                parts.append(f"{len(changes):,} {verb}")
        parts += _pairs(
            "relabelled", Counter((c.class_before, c.class_after) for c in self.relabelled)
        )
        moves = Counter((c.split_before, c.split_after) for c in self.moved)
        parts += _pairs(
            "moved",
            Counter(
                {
                    (SPLIT_WORDS.get(a or "", a), SPLIT_WORDS.get(b or "", b)): count
                    for (a, b), count in moves.items()
                }
            ),
        )
        parts += [f"class {old!r} renamed to {new!r}" for old, new in self.renamed]
        parts += [f"class {old!r} merged into {new!r}" for old, new in self.merged]
        parts += [f"class {name!r} is new" for name in self.new_classes]
        parts += [f"class {name!r} is gone" for name in self.gone_classes]
        return ", ".join(parts) or "nothing changed"


def _pairs(verb: str, counts: Counter[tuple[str | None, str | None]]) -> list[str]:
    """Such as ["2 relabelled cat → dog"]; many kinds are one total."""
    if len(counts) > 4:
        return [f"{sum(counts.values()):,} {verb}"]
    return [f"{count:,} {verb} {old} → {new}" for (old, new), count in counts.most_common()]


# --- what there is --------------------------------------------------------------------------------
def versions(name: str) -> list[Version]:
    """The versions of a data set, the newest first; empty when it is not on this machine.

    Raises NotFoundError for an unknown name.
    """
    catalog.describe(name)
    return [_version(name, stored) for stored in version_files.stored_versions(name)]


def version(name: str, wanted: str) -> Version:
    """The newest version with this content hash; NotFoundError names those that are there."""
    for each in versions(name):
        if each.content_hash == wanted:
            return each
    raise catalog.no_version(name, wanted)


def diff(name: str, old: str, new: str) -> Diff:
    """What version `new` changed against `old`, two content hashes of a data set."""
    before, after = version(name, old), version(name, new)
    return _diff(load_pack(before.folder), load_pack(after.folder), aligned(name, old, new))


def aligned(name: str, old: str, new: str) -> int | None:
    """How many rows from the first on are the same pictures in both versions; None when they are of
    different imports."""
    one, other = version(name, old), version(name, new)
    if one.images_hash == other.images_hash:
        return len(load_pack(one.folder))
    for longer, shorter in ((one, other), (other, one)):
        if shorter.images_hash in _bases(name, longer.images_hash):
            return len(load_pack(shorter.folder))
    return None


def _bases(name: str, images_hash: str) -> set[str]:
    """The images_hashes whose images come first in `images_hash`."""
    extends = {
        stored.meta.images_hash: stored.facts.extends
        for stored in version_files.stored_versions(name)
        if stored.facts.extends
    }
    bases: set[str] = set()
    while (images_hash := extends.get(images_hash, "")) and images_hash not in bases:
        bases.add(images_hash)
    return bases


# --- changes --------------------------------------------------------------------------------------
def apply(name: str, edits: Edits, *, reason: str = "") -> Version:
    """Saves the edits as a new version, which pages and new runs then use.

    Raises ConfigError when the edits name a row, class or split that is not there or change
    nothing, DataError when they would leave a class that nothing can be learnt of or were made on
    another import, ResourceError; nothing has changed then.
    """
    require_dataset(name)
    catalog.open_pack(name)  # a drawn set is drawn at first use
    with pack_lock(name):
        current = newest_stored(name)
        pack = load_pack(current.folder)
        if edits.images_hash and edits.images_hash != pack.meta.images_hash:
            raise DataError(
                f"{pack.meta.title} was imported anew since these edits were made, so they belong "
                "to other pictures. Discard them and look at the pictures that are there now."
            )
        labels, split, names = edited(pack, edits)
        named = dataclasses.replace(pack.meta, class_names=names)
        after = dataclasses.replace(pack, meta=named, labels=labels, split=split)
        changes = _diff(pack, after, len(pack))
        meta = _relabelled_meta(pack, labels, split, names)
        if meta.content_hash == pack.meta.content_hash:
            raise ConfigError("These edits change nothing: the set is already like that.")
        facts = VersionFacts(
            current.facts.number + 1,
            typed_notes(reason, "Reasons", LONGEST_REASON),
            version_files.now(),
            current.facts.number,
            changes.words,
        )
        version_files.keep_newest(name)
        with atomic_folder(current.folder) as temporary:
            version_files.link_relabelled(current.folder, temporary, meta, labels, split)
            facts.write(temporary)
        return _version(name, newest_stored(name))


def restore(name: str, content_hash: str) -> Version:
    """Makes the content of an earlier version the newest one again, as a version of its own.

    Raises NotFoundError when there is no such version, ConfigError when it is the newest already.
    """
    catalog.describe(name)
    require_dataset(name)
    with pack_lock(name):
        current = newest_stored(name)
        if current.meta.content_hash == content_hash:
            raise ConfigError(
                f"Version {current.facts.number} of {current.meta.title} is this one already."
            )
        stored = version_files.find_version(name, content_hash)
        if stored is None:
            raise catalog.no_version(name, content_hash)
        facts = VersionFacts(
            current.facts.number + 1,
            "",
            version_files.now(),
            current.facts.number,
            f"Version {stored.facts.number} restored",
        )
        version_files.keep_newest(name)
        with atomic_folder(current.folder) as temporary:
            version_files.link_pack(stored.folder, temporary)
            facts.write(temporary)
        return _version(name, newest_stored(name))


def unused(name: str, used: Collection[str]) -> list[Version]:
    """The earlier versions whose content hash is not in `used`, such as those of no run."""
    return [v for v in versions(name) if not v.newest and v.content_hash not in used]


def remove(name: str, numbers: Iterable[int]) -> None:
    """Deletes earlier versions from this machine. Raises ConfigError for the newest one."""
    require_dataset(name)
    with pack_lock(name):
        earlier = {v.number: v for v in versions(name)}
        for number in numbers:
            if number in earlier and earlier[number].newest:
                raise ConfigError(
                    f"Version {number} is the newest one of {name!r}; only earlier ones can be "
                    "removed. Restore another one first, or remove the data set."
                )
            if number in earlier:
                version_files.drop_version(name, number)


def edited(
    pack: Pack, edits: Edits
) -> tuple[NDArray[np.int64], NDArray[np.uint8], tuple[str, ...]]:
    """Returns labels (N,), split (N,) and class names of a pack after the edits.

    Raises ConfigError and DataError as `apply`.
    """
    names = pack.meta.class_names
    _check_rows(pack, edits)
    split = pack.split.copy()
    for row, part in edits.move.items():
        if part not in SPLITS:
            raise ConfigError(f"The split is {part!r}; allowed is {', '.join(SPLITS)}.")
        split[_group_of(pack, row)] = SPLITS.index(part)
    split[sorted(edits.exclude)] = EXCLUDED

    class_of = np.array([*names, ""], dtype=object)[pack.labels]  # NO_CLASS is the last one
    for row, class_name in edits.relabel.items():
        class_of[row] = checked_name(class_name)
    known = {*names, *edits.relabel.values()}
    targets = _class_targets(known, edits)
    class_of = np.array([targets.get(c, c) for c in class_of.tolist()], dtype=object)

    if lost := np.flatnonzero((split != EXCLUDED) & (class_of == "")).tolist():
        raise ConfigError(
            f"{pack.names[lost[0]]} was of a class that is no longer there. Say which class it is."
        )
    order, labels = labelled(pack.meta, class_of, split, targets)
    return labels, split, order


def labelled(
    meta: PackMeta,
    class_of: NDArray[np.object_],
    split: NDArray[np.uint8],
    targets: Mapping[str, str] = types.MappingProxyType({}),
) -> tuple[tuple[str, ...], NDArray[np.int64]]:
    """Returns the class names of a new version and the labels (N,), from each picture's class.

    `targets` are new names of the classes that `meta` has. Raises DataError for a class that
    nothing can be learnt of.
    """
    included = split != EXCLUDED
    _check_classes(meta, class_of[included], split[included])
    before = meta.class_names
    order = _class_order(
        [targets.get(c, c) for c in before],
        set(class_of[included].tolist()),
        natural=_is_natural(before),
    )
    index = {class_name: label for label, class_name in enumerate(order)}
    return order, np.array([index.get(c, NO_CLASS) for c in class_of.tolist()], dtype=np.int64)


def _check_rows(pack: Pack, edits: Edits) -> None:
    for row in edits.rows:
        if not 0 <= row < len(pack):
            raise ConfigError(
                f"{pack.meta.title} has no picture {row:,}; its pictures are numbered 0 to "
                f"{len(pack) - 1:,}."
            )
    if both := edits.exclude & edits.move.keys():
        raise ConfigError(
            f"Picture {min(both):,} is left out and moved to another split at once; it can only be "
            "one of the two."
        )


def _group_of(pack: Pack, row: int) -> NDArray[np.int64]:
    """The row and, of its group, those that are in a split: a split never cuts a group."""
    if pack.groups is None:
        return np.array([row])
    together = (pack.groups == pack.groups[row]) & (pack.split != EXCLUDED)
    return np.union1d(np.flatnonzero(together), [row])


def _class_targets(known: Collection[str], edits: Edits) -> dict[str, str]:
    """Returns class name -> class name after merging and renaming."""
    for old in (*edits.merge, *edits.rename):
        if old not in known:
            raise ConfigError(unknown_name("class", old, sorted(known)))
    renamed = {old: checked_name(new) for old, new in edits.rename.items()}
    targets: dict[str, str] = {}
    for name in known:
        seen = [name]
        while (into := edits.merge.get(seen[-1])) is not None:
            if into in seen:
                raise ConfigError(f"Class {into!r} cannot be merged into itself.")
            seen.append(into)
        if seen[-1] not in known and seen[-1] not in renamed.values():
            raise ConfigError(unknown_name("class", seen[-1], sorted(known)))
        targets[name] = renamed.get(seen[-1], seen[-1])
    sources: dict[str, str] = {}
    for name in sorted(known):
        if name in edits.merge:
            continue
        if (other := sources.setdefault(targets[name], name)) != name:
            raise ConfigError(
                f"Two classes cannot have the name {targets[name]!r} ({other!r} and {name!r}). "
                "Choose another name, or merge the two."
            )
    return targets


def checked_name(name: str) -> str:
    """Returns a class name without spare spaces; raises ConfigError for one that is none."""
    return typed_name(name, "A class's name", LONGEST_NAME)


def _check_classes(meta: PackMeta, class_of: NDArray[np.object_], split: NDArray[np.uint8]) -> None:
    """Refuses a set of which nothing can be learnt, with the class that is too small."""
    total = Counter(class_of.tolist())
    training = Counter(class_of[split == SPLITS.index("train")].tolist())
    if len(total) < 2:
        raise DataError(
            f"These edits would leave {meta.title} with {len(total)} class"
            f"{'es' * (len(total) != 1)}, and a classifier needs two or more."
        )
    for name in sorted(total, key=natural_key):
        if total[name] < 2 or not training[name]:
            what = "only 1 picture" if total[name] < 2 else "no training picture"
            raise DataError(
                f"These edits would leave class {name!r} with {what}; a class needs a training "
                "picture and one more. Leave all of its pictures out, merge it into another class, "
                "or keep more of them."
            )


def _is_natural(names: tuple[str, ...]) -> bool:
    return list(names) == sorted(names, key=natural_key)


def _class_order(
    before: Iterable[str], there: Collection[str], *, natural: bool
) -> tuple[str, ...]:
    """The class names that are there: in natural order where they were before, else as they were
    with new ones at the end."""
    if natural:
        return tuple(sorted(there, key=natural_key))
    kept = [name for name in dict.fromkeys(before) if name in there]
    return (*kept, *sorted(set(there) - set(kept), key=natural_key))


def _relabelled_meta(
    pack: Pack, labels: NDArray[np.int64], split: NDArray[np.uint8], names: tuple[str, ...]
) -> PackMeta:
    digests = image_digests(pack)
    shape = (pack.meta.image_size, pack.meta.image_size, pack.meta.channels)
    rows = [row.tobytes() for row in digests]
    return dataclasses.replace(
        pack.meta,
        class_names=names,
        counts=split_class_counts(names, labels, split),
        content_hash=content_hash(names, shape, rows, labels, split, pack.groups),
        warnings=_warnings(pack, rows, labels, split, names),
    )


def _warnings(
    pack: Pack,
    digests: list[bytes],
    labels: NDArray[np.int64],
    split: NDArray[np.uint8],
    names: tuple[str, ...],
) -> tuple[str, ...]:
    """The import's warnings (shared by classes, shared with training), judged anew."""
    included = IncludedImages(names, labels, split, split != EXCLUDED, ())
    return shared_pictures(included, digests, pack.names)


# --- comparing ------------------------------------------------------------------------------------
def _diff(old: Pack, new: Pack, count: int | None) -> Diff:
    if count is None:
        return Diff(other_pictures=True)
    before, after = _classes(old), _classes(new)
    renamed, merged = _class_moves(before, after, count)
    expected = {**dict(renamed), **dict(merged)}
    left_out, brought_back, relabelled, moved = [], [], [], []
    shared = range(min(count, len(before), len(after)))
    for row in shared:
        was, now = before[row], after[row]
        if was == now and old.split[row] == new.split[row]:
            continue
        change = Change(row, was, now, _split(old, row), _split(new, row))
        if was is None and now is None:
            continue
        if now is None:
            left_out.append(change)
        elif was is None:
            brought_back.append(change)
        else:
            if expected.get(was, was) != now:
                relabelled.append(change)
            if old.split[row] != new.split[row]:
                moved.append(change)
    added = [
        Change(row, None, after[row], None, _split(new, row))
        for row in range(len(shared), len(after))
        if after[row] is not None
    ]
    left_out += [
        Change(row, before[row], None, _split(old, row), None)
        for row in range(len(shared), len(before))
        if before[row] is not None
    ]
    names_before, names_after = old.meta.class_names, new.meta.class_names
    made = {target for _, target in renamed}
    return Diff(
        left_out=tuple(left_out),
        brought_back=tuple(brought_back),
        added=tuple(added),
        relabelled=tuple(relabelled),
        moved=tuple(moved),
        renamed=renamed,
        merged=merged,
        new_classes=tuple(n for n in names_after if n not in names_before and n not in made),
        gone_classes=tuple(n for n in names_before if n not in names_after and n not in expected),
    )


def _classes(pack: Pack) -> list[str | None]:
    """The class of each picture that is in a split; None for the others."""
    names = pack.meta.class_names
    pairs = zip(pack.labels.tolist(), pack.split.tolist(), strict=True)
    return [None if split == EXCLUDED else names[label] for label, split in pairs]


def _split(pack: Pack, row: int) -> str | None:
    code = int(pack.split[row])
    return None if code == EXCLUDED else SPLITS[code]


def _class_moves(
    before: list[str | None], after: list[str | None], count: int
) -> tuple[Pairs, Pairs]:
    """The classes that were renamed and merged: those that are gone, most of whose pictures that
    are still in the set are now of one class."""
    pairs = Counter(
        (was, now)
        for was, now in zip(before[:count], after[:count], strict=False)
        if was is not None and now is not None
    )
    there_before = {was for was in before if was is not None}
    there_after = {now for now in after if now is not None}
    gone = sorted(there_before - there_after, key=natural_key)
    single = []
    for was in gone:
        targets = Counter({now: n for (a, now), n in pairs.items() if a == was})
        if targets and 2 * max(targets.values()) > targets.total():
            single.append((was, targets.most_common(1)[0][0]))
    # Of several classes that became one new class, the first was renamed, the others joined it.
    renamed: list[tuple[str, str]] = []
    merged: list[tuple[str, str]] = []
    made: set[str] = set()
    for was, now in single:
        if now in there_before or now in made:
            merged.append((was, now))
        else:
            made.add(now)
            renamed.append((was, now))
    return tuple(renamed), tuple(merged)


def newest_stored(name: str) -> StoredVersion:
    """The newest version where it lies; raises NotFoundError for a set that is not here."""
    stored = next(iter(version_files.stored_versions(name)), None)
    if stored is None or not stored.newest:
        raise NotFoundError(f"{name!r} is not on this machine, so it has no versions.")
    return stored


def _version(name: str, stored: StoredVersion) -> Version:
    return Version(
        name=name,
        number=stored.facts.number,
        content_hash=stored.meta.content_hash,
        images_hash=stored.meta.images_hash,
        reason=stored.facts.reason,
        changes=stored.facts.changes,
        created=stored.facts.created,
        parent=stored.facts.parent,
        newest=stored.newest,
        meta=stored.meta,
        folder=stored.folder,
    )
