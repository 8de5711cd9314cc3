"""Every data set of this lab: the registered ones and a person's own, by name.

    list_datasets, describe      facts, without reading images
    open_pack                    the arrays; draws the built-in sets at first use
    dataset_name                 the name that a title gives
    look                         what adding a folder or zip would give, before it is written
    add_dataset, remove_dataset  a folder or zip becomes a pack; a pack is deleted

All functions are safe from several threads and processes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import re
import shutil
import unicodedata
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lab.data import version_files
from lab.data.access import (
    datasets_of,
    may_see_dataset,
    release_dataset,
    require_dataset,
    require_path,
    take_dataset,
)
from lab.data.built_in import built_in, make_pack
from lab.data.decode import FITS, Fit
from lab.data.importer import ImportReport, ImportTarget, import_images
from lab.data.pack import Pack, PackMeta, Rejected, load_pack, read_meta, verify_images
from lab.data.pack_lock import pack_lock
from lab.data.person_quota import count_use
from lab.data.preview import Preview
from lab.data.preview import look as look_at
from lab.data.resize import check_image_size, resized
from lab.data.sources.source import ClassRule
from lab.data.specs import DATASETS, OWN_EXPECTS, OWN_FORMATS, DatasetSpec
from lab.data.typed_path import typed_path
from lab.errors import ConfigError, DataError, NotFoundError, unknown_name
from lab.home import home_folder, move_away, recount
from lab.names import is_device, typed_name
from lab.progress import Cancel, Report, never, silent

__all__ = [
    "BUILT_IN",
    "DAMAGED",
    "DATASETS",
    "NOT_ADDED",
    "READY",
    "DatasetExistsError",
    "DatasetInfo",
    "ImportReport",
    "VersionNotFoundError",
    "add_dataset",
    "check_free",
    "dataset_name",
    "describe",
    "is_dataset_name",
    "list_datasets",
    "look",
    "open_pack",
    "remove_dataset",
]

READY = "ready"
BUILT_IN = "built-in (made at first use)"
NOT_ADDED = "not added"
DAMAGED = "damaged"
OWN_IMAGE_SIZE = 224

MAX_NAME = 64
_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?")


class VersionNotFoundError(NotFoundError):
    """The version of a data set that is asked for is not on this machine."""


class DatasetExistsError(DataError):
    """A data set of this name is on this machine, and nobody said that it may be replaced."""


@dataclass(frozen=True)
class DatasetInfo:
    """The facts of a data set that are known before its images are opened.

    `counts` is split -> class name -> images; empty while the set is not there.
    """

    name: str
    title: str
    story: str
    state: str
    """READY, BUILT_IN, NOT_ADDED or DAMAGED."""
    class_names: tuple[str, ...]
    image_size: int
    channels: int
    drawn: bool
    """Whether these are drawings of this program rather than photographs."""
    source: str
    licence: str
    how_to_get: str
    built_in: bool = False
    """Whether it is made on this machine at first use, from nothing."""
    downloadable: bool = False
    own: bool = False
    """Whether a person added it under a name of their own."""
    fit: Fit = "stretch"
    counts: dict[str, dict[str, int]] = field(default_factory=dict)
    rejected: tuple[Rejected, ...] = ()
    rejected_count: int = 0
    original_sizes: dict[str, int] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    created: str = ""
    content_hash: str = ""
    images_hash: str = ""
    """See `lab.data.pack.PackMeta`: the same for all versions of one import."""

    @property
    def usable(self) -> bool:
        """Whether `open_pack` can open it: it is on this machine, or is made at first use."""
        return self.state in (READY, BUILT_IN)

    @property
    def bytes_on_disk(self) -> int:
        """What it takes now, with the copies at other image sizes and the earlier versions."""
        return version_files.bytes_of(self.name)

    @property
    def split_totals(self) -> dict[str, int]:
        """Images per split, of the splits that have any."""
        totals = {split: sum(classes.values()) for split, classes in self.counts.items()}
        return {split: total for split, total in totals.items() if total}


def list_datasets() -> list[DatasetInfo]:
    """The registered data sets in their order, then people's own by name: those that the current
    person may see."""
    infos: list[DatasetInfo] = []
    for name in _names():
        with contextlib.suppress(NotFoundError):  # removed in the meantime
            infos.append(describe(name))
    return infos


def describe(name: str, version: str = "") -> DatasetInfo:
    """The facts of one data set, or of its version with this content hash.

    Raises NotFoundError with the close names, or with the versions that there are.
    """
    info = _describe(name)
    if not version or version == info.content_hash:
        return info
    stored = version_files.find_version(name, version)
    if stored is None:
        raise no_version(name, version)
    meta = dataclasses.replace(stored.meta, dataset=name)
    return _ready(meta, how_to_get=info.how_to_get, downloadable=info.downloadable, own=info.own)


def no_version(name: str, version: str) -> VersionNotFoundError:
    """The error for a version that is not on this machine, naming those that are."""
    there = version_files.stored_versions(name)
    listing = ", ".join(f"{v.facts.number} ({v.meta.content_hash[:8]})" for v in there[:10])
    return VersionNotFoundError(
        f"The data set {name!r} has no version {version[:8]!r} on this machine; it has: "
        f"{listing or 'none'}. Take the newest one, or add the pictures of that version again."
    )


def _describe(name: str) -> DatasetInfo:
    _check_known(name)
    folder = _folder(name)
    try:
        meta, damage = read_meta(folder), ""
    except DataError as error:
        meta, damage = None, str(error)
    if name in DATASETS:
        return _describe_registered(DATASETS.get(name), meta, damage)
    if meta is not None:
        how = "It is on this machine."
        return _ready(meta, how_to_get=how, own=True)
    if not damage:
        raise NotFoundError(unknown_name("data set", name, _names()))
    return DatasetInfo(
        name=name,
        title=name,
        story="",
        state=DAMAGED,
        class_names=(),
        image_size=OWN_IMAGE_SIZE,
        channels=3,
        drawn=False,
        source="",
        licence="",
        how_to_get=damage,
        own=True,
    )


def open_pack(
    name: str,
    *,
    version: str = "",
    image_size: int | None = None,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Pack:
    """The data set's arrays, at `image_size` or at its own size.

    `version` is the content hash of the version to open; without one it is the newest. A built-in
    set is made at first use, and again when its code has changed. Raises NotFoundError (also for a
    version that is not here), DataError (not added yet, damaged), ConfigError (size out of range),
    ResourceError, Cancelled.
    """
    _check_known(name)
    if image_size is not None:
        check_image_size(image_size)
    pack = _open_version(name, version) or _open_own_size(name, progress, cancel)
    if version and pack.meta.content_hash != version:
        raise no_version(name, version)  # a drawn set that was drawn just now may be the one
    return pack if image_size is None else resized(pack, image_size, progress, cancel)


def dataset_name(title: str) -> str:
    """Returns the name of a data set with this title: ASCII letters, digits and dashes.

    "My Pets" is "my-pets". Letters of other alphabets are spelled as Unicode names them: "고양이"
    is "go-yang-i". Raises ConfigError for a title without any letter or digit.
    """
    words: list[str] = []
    word = ""
    for character in unicodedata.normalize("NFC", title).casefold():
        spelled = _spelled(character)
        if len(spelled) > 1:  # a syllable or an ideograph is a word of its own
            words += [word, spelled]
            word = ""
        elif spelled:
            word += spelled
        elif not unicodedata.combining(character):
            words.append(word)
            word = ""
    name = "-".join(filter(None, [*words, word]))[:MAX_NAME].strip("-")
    if not name:
        raise ConfigError(
            f"{title!r} cannot be the name of a data set: it needs a letter or a digit."
        )
    _check_not_reserved(name)
    return name


def is_dataset_name(text: str) -> bool:
    """Whether the text is a data set's name as it stands; if not, it may be a title."""
    return _NAME.fullmatch(text) is not None


def _check_not_reserved(name: str) -> None:
    if is_device(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a data set: Windows keeps it for a device. Choose "
            f"another one, for example {name}-pictures."
        )


def _spelled(character: str) -> str:
    """Returns a letter or digit in ASCII; "" for anything else."""
    if character.isascii():
        return character if character.isalnum() else ""
    plain = unicodedata.normalize("NFKD", character)[0]
    if plain.isascii() and plain.isalnum():
        return plain.lower()  # an accent less: é is e
    if not character.isalnum():
        return ""
    # "HANGUL SYLLABLE GO" -> "go", "CYRILLIC SMALL LETTER ZHE" -> "zhe"
    last = unicodedata.name(character, f"{ord(character):x}").split()[-1].lower()
    return "".join(c for c in last.split("-")[-1] if c.isalnum())


def check_free(name: str) -> None:
    """Raises DatasetExistsError when a data set of this name is on this machine."""
    try:
        meta = read_meta(_folder(name)) if _NAME.fullmatch(name) else None
    except DataError:
        return  # damaged: to add it again is the way to mend it
    if meta is not None and not (name in DATASETS and DATASETS.get(name).built_in):
        if not may_see_dataset(name):
            raise DatasetExistsError(f"The name {name!r} is taken here; choose another one.")
        total = sum(sum(classes.values()) for classes in meta.counts.values())
        raise DatasetExistsError(
            f"There is already a data set {name!r} on this machine: {meta.title}, {total:,} images "
            f"in {len(meta.class_names)} classes. Choose another name, or say that it is to be "
            "replaced."
        )


def add_dataset(
    name: str,
    path: Path | str,
    *,
    title: str | None = None,
    origin: str = "",
    replace: bool = False,
    fit: Fit = "stretch",
    image_size: int | None = None,
    answers: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    progress: Report = silent,
    cancel: Cancel = never,
) -> ImportReport:
    """Decode the folder or zip at `path` into a pack called `name`.

    `name` is a registered data set or a new name for a person's own images; the layout is
    recognised. `origin` says where one's own images came from when `path` is only a copy of them,
    such as an upload. One of that name is only replaced with `replace`; what runs were trained on,
    or a person edited, is kept as an earlier version (see `lab.data.versions`). `image_size` is the
    side of the stored squares, `fit` how a photograph becomes one; `answers` settle the questions
    of `look`, and the classes `without` are left out. Bad files are left out and reported. Raises
    ConfigError for a bad name, size, answer or class, DatasetExistsError, DataError when nothing
    can be used, ResourceError, Cancelled; the old pack then stays as it was.
    """
    place = _place(path)
    target = _import_target(name, place, title, fit, image_size, without)
    if origin and name not in DATASETS:
        target = dataclasses.replace(target, source=origin)
    with pack_lock(name, progress=progress, cancel=cancel):
        if not replace:
            check_free(name)
        elif _folder(name).exists():
            require_dataset(name)
        _keep_if_needed(name)
        report = import_images(
            target, place, _folder(name), answers=answers or {}, progress=progress, cancel=cancel
        )
        if name not in DATASETS:
            take_dataset(name)
        return report


def look(
    path: Path | str,
    name: str = "",
    *,
    fit: Fit = "stretch",
    image_size: int | None = None,
    answers: Mapping[str, str] | None = None,
    without: Collection[str] = (),
    pictures_of: Sequence[str] | None = None,
    progress: Report = silent,
    cancel: Cancel = never,
) -> Preview:
    """What `add_dataset` with the same arguments would write; nothing is written.

    Without a `name` the set is a person's own. `answers` settle the preview's questions: question's
    key -> value; those that no question has are ignored. `pictures_of` names the classes of which
    a few pictures are decoded (None: the first 24 classes). Raises ConfigError and DataError as
    `add_dataset` does, apart from pictures that cannot be decoded.
    """
    place = _place(path)
    target = _import_target(name or "pictures", place, None, fit, image_size, without)
    return look_at(
        target,
        place,
        answers=answers or {},
        pictures_of=pictures_of,
        progress=progress,
        cancel=cancel,
    )


def _place(path: Path | str) -> Path:
    if not str(path).strip():
        raise DataError("No path was given. Give the path of a folder or a zip file.")
    if len(str(path)) > 4096:  # no system knows a longer one
        raise DataError(f"This path has {len(str(path)):,} characters; no file has such a path.")
    place = typed_path(path) if isinstance(path, str) else path
    require_path(place)
    return place


def remove_dataset(name: str) -> None:
    """Delete a data set with its versions and copies at other sizes from this machine.

    Runs that have it open keep their files until they end. Raises NotFoundError, and DataError for
    built-in sets and for sets that are not here.
    """
    _check_known(name)
    if name in DATASETS and DATASETS.get(name).built_in:
        raise DataError(
            f"{DATASETS.get(name).title} is built in and cannot be removed; "
            "it would be made again at the next use."
        )
    require_dataset(name)
    with pack_lock(name):
        folder = _folder(name)
        if not folder.exists():
            raise DataError(f"{name!r} is not on this machine, so there is nothing to remove.")
        version_files.drop_versions(name)
        shutil.rmtree(move_away(folder), ignore_errors=True)
        release_dataset(name)
    recount()


def bytes_of(person_id: str) -> int:
    """Returns what the data sets of a member take on the disk."""
    return sum(version_files.bytes_of(name) for name in datasets_of(person_id))


count_use("Data sets", bytes_of)


def _keep_if_needed(name: str) -> None:
    """Keep the newest version that is about to be replaced, when runs were trained on it or when it
    is more than an import; the caller holds the data set's lock."""
    stored = next(iter(version_files.stored_versions(name)), None)
    if stored is None or not stored.newest:
        return
    edited = stored.facts.number > 1
    if edited or stored.meta.content_hash in version_files.trained_hashes():
        version_files.keep_newest(name)


def _open_version(name: str, version: str) -> Pack | None:
    """The pack of a version that is on this machine; None without a version, or without that."""
    for _ in range(3):
        stored = version_files.find_version(name, version) if version else None
        if stored is None:
            return None
        with contextlib.suppress(DataError):
            pack = load_pack(stored.folder)
            if pack.meta.content_hash == version:
                return pack
        # It was the newest, and another has just taken its place: it lies elsewhere now.
    return None


def _open_own_size(name: str, progress: Report, cancel: Cancel) -> Pack:
    folder = _folder(name)
    spec = DATASETS.get(name) if name in DATASETS else None
    if spec is None or not spec.built_in:
        try:
            return load_pack(folder)
        except DataError:
            # It may be being replaced: wait for the lock of the writer.
            with pack_lock(name, progress=progress, cancel=cancel):
                if spec is not None and not folder.exists():
                    raise DataError(
                        f"{spec.title} ({name}) is not added yet. {spec.how_to_get}"
                    ) from None
                return load_pack(folder)
    if (pack := _made_pack(spec, folder)) is not None:
        return pack
    with pack_lock(name, progress=progress, cancel=cancel):
        if (pack := _made_pack(spec, folder)) is not None:
            return pack  # another process drew it in the meantime
        _keep_if_needed(name)
        make_pack(spec, folder, progress=progress, cancel=cancel)
    return load_pack(folder)


def _made_pack(spec: DatasetSpec, folder: Path) -> Pack | None:
    """The pack if it is undamaged and of the current code; None if it must be made."""
    if not folder.exists():
        return None
    try:
        pack = load_pack(folder)
        verify_images(pack)
    except DataError:
        return None
    return pack if pack.meta.source_version == built_in(spec).version else None


def _describe_registered(spec: DatasetSpec, meta: PackMeta | None, damage: str) -> DatasetInfo:
    if spec.built_in:
        made = built_in(spec)
        if meta is not None and meta.source_version == made.version:
            ready = _ready(meta, how_to_get=spec.how_to_get)
            return dataclasses.replace(ready, story=spec.story, source=spec.source)
        return DatasetInfo(
            name=spec.name,
            title=spec.title,
            story=spec.story,
            state=BUILT_IN,
            class_names=made.class_names,
            image_size=made.image_size,
            channels=made.channels,
            drawn=spec.drawn,
            built_in=True,
            source=spec.source,
            licence=spec.licence,
            how_to_get=spec.how_to_get,
            counts=made.counts,
        )
    if meta is not None:
        return _ready(meta, how_to_get=spec.how_to_get, downloadable=spec.downloadable)
    return DatasetInfo(
        name=spec.name,
        title=spec.title,
        story=spec.story,
        state=DAMAGED if damage else NOT_ADDED,
        class_names=spec.class_names,
        image_size=spec.image_size,
        channels=spec.channels,
        drawn=False,
        source=spec.source,
        licence=spec.licence,
        how_to_get=f"{damage} {spec.how_to_get}".strip(),
        downloadable=spec.downloadable,
        fit=spec.fit,
    )


def _ready(
    meta: PackMeta, *, how_to_get: str, downloadable: bool = False, own: bool = False
) -> DatasetInfo:
    return DatasetInfo(
        name=meta.dataset,
        title=meta.title,
        story=meta.story,
        state=READY,
        class_names=meta.class_names,
        image_size=meta.image_size,
        channels=meta.channels,
        drawn=meta.drawn,
        built_in=meta.dataset in DATASETS and DATASETS.get(meta.dataset).built_in,
        source=meta.source,
        licence=meta.licence,
        how_to_get=how_to_get,
        downloadable=downloadable,
        own=own,
        fit=meta.fit,
        counts=meta.counts,
        rejected=meta.rejected,
        rejected_count=meta.rejected_count,
        original_sizes=meta.original_sizes,
        notes=meta.notes,
        warnings=meta.warnings,
        created=meta.created,
        content_hash=meta.content_hash,
        images_hash=meta.images_hash,
    )


def _import_target(
    name: str,
    path: Path,
    title: str | None,
    fit: Fit,
    image_size: int | None,
    without: Collection[str],
) -> ImportTarget:
    if fit not in FITS:
        raise ConfigError(f"fit is {fit!r}; allowed are {', '.join(FITS)}.")
    if image_size is not None:
        check_image_size(image_size)
    title = typed_name(title or "", "A data set's title", 100, least=0)
    if name in DATASETS:
        spec = DATASETS.get(name)
        if spec.built_in:
            raise DataError(
                f"{name!r} is built in; nothing can be added to it. "
                "Choose another name for your own images."
            )
        return ImportTarget(
            name=name,
            title=title or spec.title,
            story=spec.story,
            source=spec.source,
            licence=spec.licence,
            classes=spec.classes,
            formats=spec.formats,
            expects=spec.expects,
            image_size=image_size or spec.image_size,
            fit=fit,
            without=frozenset(without),
        )
    if not _NAME.fullmatch(name):
        raise ConfigError(
            f"{name!r} cannot be the name of a data set; allowed are up to {MAX_NAME} lower-case "
            "letters a to z, digits and dashes between them, for example my-flowers. Its title may "
            "be any text."
        )
    _check_not_reserved(name)
    return ImportTarget(
        name=name,
        title=title or name.replace("-", " ").capitalize(),
        story="Your own images.",
        source=str(path),
        licence="Not stated",
        classes=ClassRule(title=f"{name} {title or ''}"),
        formats=OWN_FORMATS,
        expects=OWN_EXPECTS,
        image_size=image_size or OWN_IMAGE_SIZE,
        fit=fit,
        without=frozenset(without),
    )


def _names() -> list[str]:
    own = sorted(folder.name for folder in home_folder("packs").iterdir())
    return [*DATASETS.names(), *(n for n in own if n not in DATASETS and _is_known(n))]


def _is_known(name: str) -> bool:
    """Whether there is a data set of this name for the current person."""
    if name in DATASETS:
        return True
    is_there = _NAME.fullmatch(name) is not None and (_folder(name) / "meta.json").is_file()
    return is_there and may_see_dataset(name)


def _check_known(name: str) -> None:
    """Raises NotFoundError for unknown names, also for such as `../runs`, which would be paths, and
    for sets that the current person may not see."""
    if _NAME.fullmatch(name):
        _wait_for_exchange(name)
    if not _is_known(name):
        raise NotFoundError(unknown_name("data set", name, _names()))


def _wait_for_exchange(name: str) -> None:
    """Wait while a pack is being replaced, which takes two steps; repair it if the writer died."""
    packs = home_folder("packs")
    if not (packs / name).exists() and any(packs.glob(f".{name}.old.*")):
        with pack_lock(name):
            pass


def _folder(name: str) -> Path:
    return home_folder("packs") / name
