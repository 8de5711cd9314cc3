"""One folder for each class, with the splits above or below the classes, or none.

    photos/cats/*.jpg        photos/train/cats/*.jpg      photos/cats/train/*.jpg
    photos/dogs/*.png        photos/test/dogs/*.jpg       photos/cats_train/*.jpg

Wrapping folders (photos/, seg_train/seg_train/), a second copy of the set inside itself, masks and
annotations are passed over by name. Where the folders can be read in two ways (color, grayscale and
segmented side by side; two sets in one folder; a class called test), the source carries a Question.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lab.data.pack import Rejections
from lab.data.sources.archive import Archive
from lab.data.sources.class_lists import names_for_numbers
from lab.data.sources.folder_tree import (
    IMAGE_WORDS,
    FolderTree,
    holds_images,
    holds_masks,
    last,
    parent,
    stem,
)
from lab.data.sources.photographs import LabelledFile, Photographs, is_image, reject_non_image
from lab.data.sources.source import ClassRule, Question, natural_key
from lab.data.sources.split_words import split_of, without_split, words

_VARIANT_WORDS_TEXT = (
    "gray grey grayscale greyscale bw binary segmented masked cropped crop resized "
    "augmented enhanced processed preprocessed edges canny thermal ir infrared depth "
    "normalized hr lr high low resolution res size full small large x px"
)
_VARIANT_WORDS = IMAGE_WORDS | frozenset(_VARIANT_WORDS_TEXT.split())
"""Words of folders that hold the same pictures in another form."""
_PART_WORDS_TEXT = "set data dataset folder dir split part images image photos"
_HEAP_WORDS_TEXT = (
    "part batch folder set data dataset images photos archive team student person user day "
    "session camera cam 반 학년 조 모둠 팀 학생 차시 폴더 파트"
)
_HEAP_WORDS = frozenset(_HEAP_WORDS_TEXT.split())
"""With a number behind it says who took pictures, or when; stage 1 and class 1 are classes."""
_PART_WORDS = frozenset(_PART_WORDS_TEXT.split())
_CAMERA_FOLDER = re.compile(r"[1-9]\d\d[A-Z_]{5}")
"""100APPLE, 101CANON: a camera begins the next folder when one is full."""
_LISTED = 20
"""Files of one kind in one folder that are named one by one; more are one line."""


@dataclass(frozen=True)
class _Part:
    """A folder whose folders are the classes of one split."""

    split: str
    folder: str


@dataclass(frozen=True)
class ClassFolder:
    """A folder of pictures of one class in one split."""

    split: str
    folder: str
    name: str


def recognise(
    archive: Archive, classes: ClassRule, rejections: Rejections, answers: Mapping[str, str]
) -> Photographs | None:
    """A Source when there are class folders; None when there are none (or none of `classes`)."""
    layout = FolderLayout(FolderTree(archive), answers, classes)
    folders = layout.class_folders()
    if not folders or len(folders) == sum(_only_a_split(folder.name) for folder in folders):
        return None  # images in folders called train and test, not two classes
    if all(_CAMERA_FOLDER.fullmatch(folder.name) for folder in folders):
        return None
    names = classes.names or _class_names(folders, layout.notes)
    rule = classes if classes.names is not None else ClassRule(names)
    files: list[LabelledFile] = []
    for folder in folders:
        label = rule.label(folder.name)
        if label is None:
            layout.rejections.add(
                f"{folder.folder}/", f"is not a class of this data set ({rule.allowed})"
            )
            continue
        files += (
            LabelledFile(file, folder.split, label) for file in layout.files_of_class(folder.folder)
        )
    files += layout.named_by_file(rule)
    if not files:
        return None
    if classes.names is None:
        called, list_file = names_for_numbers(archive, names, (), answers)
        if called:
            names = tuple(called[name] for name in names)
            layout.notes.append(f"The classes are called as in {list_file}.")
    layout.report_empty()
    rejections.extend(layout.rejections)
    return Photographs(
        archive,
        layout.words,
        names,
        tuple(files),
        questions=tuple(layout.questions.values()),
        notes=tuple(layout.notes),
    )


class FolderLayout:
    """Finds the class folders of a tree; collects questions, notes and what is left out."""

    def __init__(self, tree: FolderTree, answers: Mapping[str, str], classes: ClassRule) -> None:
        self.tree = tree
        self.answers = answers
        self.classes = classes
        self.questions: dict[str, Question] = {}
        self.notes: list[str] = []
        self.rejections = Rejections()
        """Passed on only if the layout is this one."""
        self.words = "one folder for each class"
        self._parts: list[_Part] = []
        self._found: list[ClassFolder] = []
        """Class folders that are not the folders of a part: those with splits below them."""
        self._joined: list[str] = []
        """Folders with the classes of the folder that is read, and other pictures."""
        self._unnamed: list[_Part] = []
        """Splits without classes, whose file names may tell them."""

    def class_folders(self) -> list[ClassFolder]:
        """The class folders in their order; empty when there are none."""
        self._read("", None)
        folders = self._found or self._at_level()
        if not self._found:
            folders = self._without_unlabelled(folders)
        return self._without_masks(self._without_split_like(folders))

    # --- going down ------------------------------------------------------------
    def settled(self, folder: str, *, into_splits: bool) -> str:
        """The first folder from `folder` down that does more than wrap the set.

        On the way copies of the set in itself are dropped, and of images/ beside masks/ the
        images are taken.
        """
        tree = self.tree
        while True:
            self._drop_copies(folder)
            inner = tree.folders(folder)
            if tree.pictures(folder) or not inner:
                return folder
            if len(inner) == 1:
                if not tree.folders(inner[0]):
                    return folder
                if not into_splits and split_of(inner[0]) and not self._holds_training(inner[0]):
                    return folder
                folder = inner[0]
                continue
            masks = [one for one in inner if holds_masks(one) and not holds_images(one)]
            images = [one for one in inner if holds_images(one)]
            if not masks or len(images) != 1 or len(masks) + 1 != len(inner):
                return folder
            folder = self._images_or_masks(folder, images[0], masks)

    def _images_or_masks(self, folder: str, images: str, masks: list[str]) -> str:
        choice = self._ask(
            Question(
                "pictures",
                "Which folder holds the pictures?",
                tuple((last(one), self._told(one)) for one in (images, *masks)),
                last(images),
                f"{_listing([images, *masks])} lie side by side and seem to belong together.",
            )
        )
        for one in (images, *masks):
            if last(one) != choice:
                self.rejections.add(
                    f"{one}/", f"holds {self._pictures(one)} that belong to {choice}/: left out"
                )
        return f"{folder}/{choice}".lstrip("/")

    def _drop_copies(self, folder: str) -> None:
        """Leaves out a folder that holds the same folders once more (flowers/flowers/daisy)."""
        tree = self.tree
        siblings = {last(one).casefold(): one for one in tree.folders(folder)}
        if len(siblings) < 2:
            return
        for key, copy in list(siblings.items()):
            if split_of(copy) and key != last(folder).casefold():
                continue  # a part beside the classes
            inner = tree.unwrapped(copy)
            others = {name: one for name, one in siblings.items() if name != key}
            shared = [
                (one, others[last(one).casefold()])
                for one in tree.folders(inner)
                if last(one).casefold() in others
            ]
            if len(shared) < min(2, len(others)):
                continue
            same = sum(self._same_files(one, other) for one, other in shared)
            total = tree.count(inner)
            if 2 * same < total:
                self._join_or_leave(copy, inner)
                return
            more = f"; {total - same:,} that only it has are left out, too" if total > same else ""
            self.rejections.add(
                f"{copy}/",
                f"holds {same:,} pictures of the folders beside it once more: left out{more}",
            )
            tree.drop(copy)
            return

    def _join_or_leave(self, copy: str, inner: str) -> None:
        """Asks about a folder that holds the classes beside it with other pictures."""
        found = {word.casefold() for word in words(last(copy))}
        choice = self._ask(
            Question(
                f"folder {last(copy)}",
                f"{last(copy)} holds folders of the same names as those beside it. What is it?",
                (
                    ("joined", "more pictures of the same classes"),
                    ("left-out", "the same pictures in another form: leave them out"),
                ),
                "left-out" if found <= _VARIANT_WORDS else "joined",
                "Its files have other names or sizes than those beside it.",
            )
        )
        if choice == "joined":
            self.notes.append(f"The pictures in {copy}/ are joined to the classes beside it.")
            self._joined.append(inner)
        else:
            self.rejections.add(
                f"{copy}/", f"holds {self._pictures(copy)} of the classes beside it: left out"
            )
        self.tree.drop(copy)

    def _same_files(self, one: str, other: str) -> int:
        def contents(folder: str) -> set[tuple[str, int]]:
            return {
                (file.removeprefix(folder), self.tree.sizes[file])
                for inner in self.tree.below(folder)
                for file in self.tree.pictures(inner)
            }

        return len(contents(one) & contents(other))

    # --- splits and variants ------------------------------------------------------------
    def _read(self, folder: str, split: str | None) -> None:
        """Adds the parts, or the class folders, that lie below the folder."""
        folder = self.settled(folder, into_splits=split is not None)
        if split is not None:
            folder = self._below_wrappers(folder)
        while self._joined:
            self._read(self._joined.pop(), split)
        tree = self.tree
        inner = tree.folders(folder)
        if split is None:
            if (whole := self._whole_set(inner)) is not None:
                self._read_whole_set(whole, inner)
                self._report_loose(folder)
                return
            if groups := self._splits(folder):
                self.words = "one folder for each class, in folders for each part"
                for one, below in groups:
                    self._read(below, one)
                self._report_loose(folder)
                for beside in inner:
                    if beside not in {below for _, below in groups}:
                        reason = f"holds {self._pictures(beside)} beside the folders of the parts"
                        self.rejections.add(f"{beside}/", f"{reason}: not used")
                return
            if self._splits_below(inner):
                self.words = "one folder for each class, with folders for each part in it"
                self._report_loose(folder)
                self._read_splits_below(inner)
                return
            if self._splits_in_names(inner):
                self.words = "one folder for each class and part"
                self._report_loose(folder)
                return
        if len(inner) > 1 and not tree.pictures(folder) and (chosen := self._variants(inner)):
            for one in chosen:
                self._read(one, split)
            return
        self._parts.append(_Part(split or "train", folder))

    def _holds_training(self, folder: str) -> bool:
        """Whether a folder in it, or in the only folder in it, is a training part with classes."""
        inner = self.tree.folders(self.tree.unwrapped(folder))
        return len(inner) > 1 and any(
            split_of(one) == "train" and self.tree.folders(self._below_wrappers(one))
            for one in inner
        )

    def _whole_set(self, inner: list[str]) -> str | None:
        """The one folder of these that is a set with parts of its own: leaves/{train,valid}, test.

        Several are sets side by side, or forms of one.
        """
        holders = [one for one in inner if self._holds_training(one)]
        if len(inner) < 2 or len(holders) != 1:
            return None
        beside = _listing([one for one in inner if one != holders[0]])
        question = Question(
            "set",
            "Which folder is the set?",
            (
                (last(holders[0]), f"only {self._told(holders[0])}"),
                ("all", f"all together: {_listing(inner)} are classes or parts"),
            ),
            last(holders[0]),
            f"{last(holders[0])} holds parts for training and test; {beside} beside it does not.",
        )
        return holders[0] if self._ask(question) == last(holders[0]) else None

    def _read_whole_set(self, whole: str, inner: list[str]) -> None:
        self._read(whole, None)
        for one in inner:
            split = split_of(one)
            if one == whole:
                continue
            if split in ("val", "test") and split not in {part.split for part in self._parts}:
                self._read(one, split)
            else:
                reason = f"holds {self._pictures(one)} beside the set in {whole}/"
                self.rejections.add(f"{one}/", f"{reason}: not used")

    def _splits(self, folder: str) -> list[tuple[str, str]]:
        """(split, its folder); empty when the folders are no splits.

        A folder called train that holds images and no folders is a class (buses, cars, trains).
        """
        tree = self.tree
        inner = tree.folders(folder)
        groups = [(split, one) for one in inner if (split := split_of(one)) is not None]
        others = [one for one in inner if split_of(one) is None]
        with_classes = {split for split, one in groups if tree.folders(self._below_wrappers(one))}
        if "train" in with_classes:
            if others and {split for split, _ in groups} == {"train"}:
                [train, *more] = [one for _, one in groups]
                classes = {name.casefold() for name in tree.names(train)}
                unlike = [one for one in others if last(one).casefold() not in classes]
                if more or len(unlike) > 1:
                    return []  # bus/{day,night}, car/{day,night}, train/{day,night}
            return groups
        if not with_classes:
            return []
        if not others:
            return groups
        if "train" not in {split for split, _ in groups}:
            like = [one for one in others if _alike(tree.names(one), tree.names(groups[0][1]))]
            if len(like) == 1:
                reason = f"{like[0]}/ has the classes of {groups[0][1]}/: it is the training part."
                self.notes.append(reason)
                return [("train", like[0]), *groups]
        return []

    def _below_wrappers(self, folder: str) -> str:
        """As FolderTree.unwrapped, but a single folder of pictures is looked into, too."""
        folder = self.tree.unwrapped(folder)
        inner = self.tree.folders(folder)
        same = len(inner) == 1 and (
            last(inner[0]).casefold() == last(folder).casefold()
            or holds_images(inner[0])
            or _only_a_split(last(inner[0]))
        )
        return inner[0] if same and not self.tree.pictures(folder) else folder

    def _splits_below(self, inner: list[str]) -> bool:
        """Whether the folders are classes with splits in them: cats/train, cats/test."""
        tree = self.tree
        below = [tree.folders(one) for one in inner if tree.folders(one)]
        return (
            len(inner) > 1
            and bool(below)
            and all(split_of(one) is not None for group in below for one in group)
            and any(split_of(one) == "train" for group in below for one in group)
            and all(len(tree.folders(one)) < 2 for group in below for one in group)
        )

    def _read_splits_below(self, inner: list[str]) -> None:
        for one in inner:
            below = self.tree.folders(one)
            if not below:
                self._found.append(ClassFolder("train", one, last(one)))
                continue
            for folder in below:
                self._found.append(ClassFolder(split_of(folder) or "train", folder, last(one)))
            self._report_loose(one)

    def _splits_in_names(self, inner: list[str]) -> bool:
        """Whether each name tells a split and a class: cats_train, dogs_train, cats_test."""
        if any(self.tree.folders(one) or split_of(one) is None for one in inner):
            return False
        found = [ClassFolder(split_of(one) or "", one, _rest(one)) for one in inner]
        trained = {folder.name.casefold() for folder in found if folder.split == "train"}
        if len(trained - {""}) < 2 or any(
            folder.name.casefold() not in trained for folder in found
        ):
            return False
        self._found += found
        return True

    def _variants(self, inner: list[str]) -> list[str]:
        """The folders to go on with when all hold the same classes; empty when they do not."""
        tree = self.tree
        below = [tree.names(one) for one in inner]
        if self.classes.names is not None and any(
            self.classes.label(last(one)) is not None for one in inner
        ):
            return []
        if not all(_alike(names, below[0]) for names in below):
            return []
        if all(holds_masks(name) or _is_variant(name) for name in below[0]):
            return []  # classes with images/ and masks/ in them
        with_splits = any(split_of(name) for name in below[0])
        found = [{w.casefold() for w in words(last(one)) if not w.isdecimal()} for one in inner]
        shared = _listing(sorted(set(below[0]), key=natural_key))
        names = [last(one) for one in inner]
        sizes = all(name.isdecimal() and int(name) % 8 == 0 for name in names)
        copies = all(2 * self._same_files(inner[0], one) >= tree.count(one) for one in inner[1:])
        folds = with_splits and all("fold" in one for one in found)
        if copies or folds:  # a fold tests on what the others train on
            default = names[0]
        elif sizes or (all(found) and all(one <= _VARIANT_WORDS for one in found)):
            default = names[_preferred(names)]
        elif len({frozenset(one) for one in found}) == 1 or with_splits:
            default = "*together"
        else:
            default = "*classes"
        choices = [
            (name, f"only {self._told(one)}") for name, one in zip(names, inner, strict=True)
        ]
        together = "" if with_splits else f": the classes are {shared}"
        choices.append(("*together", f"all together{together}"))
        if not with_splits:
            choices.append(("*classes", f"the classes are {_listing(names)}"))
        question = Question(
            "folders",
            f"{_listing(names)} hold the same folders ({shared}). What are they?",
            tuple((value.lstrip("*"), text) for value, text in choices),
            default.lstrip("*"),
            "They may be classes, forms of the same pictures (color, gray), or parts of one set.",
        )
        # A folder may itself be called together or classes: the folder's name comes first then.
        choice = self._ask(question)
        self.notes.append(
            f"{_listing(names)} hold the same folders ({shared}); read as: "
            f"{dict(question.choices)[choice]}."
        )
        if choice in names:
            chosen = inner[names.index(choice)]
            for one in inner:
                if one != chosen:
                    reason = f"holds {self._pictures(one)} in folders of the same names"
                    self.rejections.add(f"{one}/", f"{reason}; {last(chosen)}/ is used")
            return [chosen]
        return inner if choice == "together" else []

    # --- the level of the classes ------------------------------------------------------------
    def _at_level(self) -> list[ClassFolder]:
        levels: list[list[ClassFolder]] = []
        folders = [
            ClassFolder(part.split, one, last(one))
            for part in self._parts
            for one in self.tree.folders(part.folder)
        ]
        while folders and (not levels or folders != levels[-1]) and len(levels) < 6:
            levels.append(folders)
            folders = [deeper for folder in folders for deeper in self._deeper(folder)]
        if not levels:
            return []
        chosen = self._choose_level(levels)
        for part in self._parts:
            if self.tree.folders(part.folder) or not self.tree.pictures(part.folder):
                self._report_loose(part.folder)
            else:
                self._unnamed.append(part)
        for passed in levels[:chosen]:
            for folder in passed:
                if self.tree.folders(folder.folder):
                    self._report_loose(folder.folder)
        return levels[chosen]

    def _deeper(self, folder: ClassFolder) -> list[ClassFolder]:
        inner = [
            one
            for one in self.tree.folders(self.tree.unwrapped(folder.folder))
            if not (holds_images(one) or holds_masks(one))
        ]
        if len(inner) == 1 and not self.tree.folders(inner[0]):
            inner = []
        return [ClassFolder(folder.split, one, last(one)) for one in inner] or [folder]

    def _choose_level(self, levels: list[list[ClassFolder]]) -> int:
        """The index of the level whose folders are the classes; 0 unless somebody says so."""
        names = [list(dict.fromkeys(folder.name for folder in level)) for level in levels]
        if self.classes.names is not None:
            fitting = [
                len({self.classes.label(name) for name in level} - {None}) for level in names
            ]
            return fitting.index(max(fitting))
        if len(levels) < 2:
            return 0
        question = Question(
            "level",
            "Which folders are the classes?",
            tuple(
                (str(i), f"{len(level):,}: {_listing(level)}") for i, level in enumerate(names, 1)
            ),
            "2" if _numbered(names[0]) else "1",
            "Folders lie inside the class folders.",
        )
        chosen = int(self._ask(question)) - 1
        if chosen == 1 and "level" not in self.answers:
            self.notes.append(
                f"{_listing(names[0])} differ by a number alone, so the folders in them are the "
                "classes (answer level=1 to make these the classes)."
            )
        deeper = [
            folder
            for folder in levels[1]
            if folder not in levels[0] and folder.split == levels[1][0].split
        ]
        inner = Counter(folder.name for folder in deeper)
        outer = len({parent(folder.folder) for folder in deeper})
        if (
            chosen == 0
            and "level" not in self.answers
            and len(inner) > outer
            and max(inner.values()) == 1
        ):
            them = _listing(sorted(inner, key=natural_key))
            self.notes.append(
                f"The classes are {_listing(names[0])}; {them} lie one level deeper (answer "
                "level=2 to make them the classes)."
            )
        return chosen

    # --- what is no class ------------------------------------------------------------
    def _without_unlabelled(self, folders: list[ClassFolder]) -> list[ClassFolder]:
        """Leaves out splits of which no class is a training class: test/unknown."""
        trained = {folder.name.casefold() for folder in folders if folder.split == "train"}
        kept = folders
        for split in ("val", "test"):
            members = [folder for folder in folders if folder.split == split]
            if members and trained and not trained & {one.name.casefold() for one in members}:
                kept = [folder for folder in kept if folder.split != split]
                for folder in members:
                    self.rejections.add(
                        f"{folder.folder}/",
                        f"holds {self._pictures(folder.folder)} of no training class: "
                        "left out as pictures without a label",
                    )
        return kept

    def _without_split_like(self, folders: list[ClassFolder]) -> list[ClassFolder]:
        """Asks about each class whose name tells a split: bus, car and train, or cat and test."""
        kept = folders
        for name in sorted({folder.name for folder in folders if split_of(folder.name)}):
            if self.classes.names is not None:
                continue
            split = split_of(name)
            unlabelled = _only_a_split(name) and split != "train"
            question = Question(
                f"class {name}",
                f"Is “{name}” a class?",
                (("class", "yes, a class"), ("left-out", "no: leave its pictures out")),
                "left-out" if unlabelled else "class",
                f"Its name tells a {split} part, but it holds no class folders.",
            )
            choice = self._ask(question)
            if choice == "class":
                self.notes.append(
                    f"{name!r} is read as a class, though its name tells a {split} part."
                )
                continue
            for folder in folders:
                if folder.name == name:
                    self.rejections.add(
                        f"{folder.folder}/",
                        f"holds {self._pictures(folder.folder)} and tells a {split} part without "
                        f"class folders: left out (answer “class {name}=class” to make it a class)",
                    )
            kept = [folder for folder in kept if folder.name != name]
        return kept

    def _without_masks(self, folders: list[ClassFolder]) -> list[ClassFolder]:
        """Asks about a folder of masks among the classes: cats, dogs and masks of their files."""
        kept = folders
        for name in sorted({folder.name for folder in folders if holds_masks(folder.name)}):
            masks = [folder for folder in kept if folder.name == name]
            others = [folder for folder in kept if folder.name != name]
            if self.classes.names is not None or len({one.name for one in others}) < 2:
                continue
            # Where each class counts from 1, its names are those of the others and say nothing.
            stems = {one.name: set[str]() for one in others}
            for one in others:
                stems[one.name] |= self._stems(one)
            found = [
                [class_name for class_name in stems if mask in stems[class_name]]
                for mask in set[str]().union(*map(self._stems, masks))
            ]
            if any(len(of) != 1 for of in found) or len({of[0] for of in found}) < 2:
                continue
            question = Question(
                f"class {name}",
                f"Is “{name}” a class?",
                (("left-out", "no: leave its pictures out"), ("class", "yes, a class")),
                "left-out",
                "Its pictures have the names of pictures of the other classes: they seem to be "
                "masks of them.",
            )
            if self._ask(question) == "class":
                continue
            for folder in masks:
                self.rejections.add(
                    f"{folder.folder}/",
                    f"holds {self._pictures(folder.folder)} named as pictures of the other "
                    f"classes, as masks are: left out (answer “class {name}=class” to make it "
                    "a class)",
                )
            kept = others
        return kept

    def _stems(self, folder: ClassFolder) -> set[str]:
        below = self.tree.below(folder.folder)
        return {stem(file) for one in below for file in self.tree.pictures(one)}

    # --- the files ------------------------------------------------------------
    def files_of_class(self, folder: str) -> list[str]:
        """The pictures in the folder and below it; masks and other files are left out by name."""
        tree = self.tree
        files = list(tree.pictures(folder))
        self._report_others(folder)
        inner = tree.folders(folder)
        stems = {stem(file) for file in files} if inner else set()
        for one in inner:
            pictures_beside = any(holds_images(other) for other in inner) or any(
                stem(file) in stems for file in tree.pictures(one)
            )
            in_another_form = holds_masks(one) or _is_variant(one)
            if in_another_form and not holds_images(one) and pictures_beside:
                choice = self._ask(
                    Question(
                        "masks",
                        "Are masks and other forms of the pictures pictures of the class?",
                        (("left-out", "no: leave them out"), ("used", "yes, use them")),
                        "left-out",
                        f"{one}/ lies beside the pictures that its files seem to be made from.",
                    )
                )
                if choice == "left-out":
                    self.rejections.add(
                        f"{one}/", f"holds {self._pictures(one)} made from those beside: left out"
                    )
                    continue
            files += self.files_of_class(one)
        return files

    def named_by_file(self, classes: ClassRule) -> list[LabelledFile]:
        """The pictures of splits without class folders whose names tell a class: A_test.jpg."""
        labelled: list[LabelledFile] = []
        for part in self._unnamed:
            files = self.tree.pictures(part.folder)
            labels = [class_in_name(file, classes) for file in files]
            if files and None not in labels:
                labelled += (
                    LabelledFile(file, part.split, label)
                    for file, label in zip(files, labels, strict=True)
                    if label is not None
                )
                self.notes.append(f"In {part.folder}/ the file names tell the classes.")
            else:
                self._report_loose(part.folder)
        return labelled

    def report_empty(self) -> None:
        """Adds the folders without pictures to what is left out."""
        for folder in self.tree.empty:
            is_class = any(parent(folder) == part.folder for part in self._parts)
            what = "is a class folder without any image" if is_class else "holds no image"
            self.rejections.add(f"{folder}/", what)

    def _report_others(self, folder: str) -> None:
        masks = self.tree.masks.get(folder, [])
        _add(self.rejections, folder, masks, "is a mask of the picture beside it by its name")
        others = [file for file in self.tree.files(folder) if not is_image(file)]
        if len(others) > _LISTED:
            self.rejections.add(
                f"{folder}/",
                f"holds {len(others):,} files that are no pictures by their names, such as "
                f"{last(others[0])}",
            )
            return
        for file in others:
            reject_non_image(file, self.rejections)

    def _report_loose(self, folder: str) -> None:
        images = self.tree.pictures(folder)
        if len(images) > _LISTED:  # one line, not 12,500
            reason = f"holds {len(images):,} images outside class folders; nobody knows their class"
            self.rejections.add(f"{folder}/", reason)
        else:
            for file in images:
                self.rejections.add(file, "lies outside the class folders; nobody knows its class")

    # --- words ------------------------------------------------------------
    def _ask(self, question: Question) -> str:
        return self.questions.setdefault(question.key, question).answer(self.answers)

    def _pictures(self, folder: str) -> str:
        count = self.tree.count(folder)
        return f"{count:,} image{'s' * (count != 1)}"

    def _told(self, folder: str) -> str:
        return f"{last(folder)} ({self._pictures(folder)})"


def why_no_classes(archive: Archive) -> str:
    """Returns why the folders tell less than two classes and what to do next, in a sentence."""
    tree = FolderTree(archive)
    total = len(archive.files)
    if not total:
        return "There are no files in it."
    if not tree.count(""):
        if 2 * sum("." not in last(file) for file in archive.files) > total:
            return "Most of its files have no ending such as .jpg, by which pictures are known."
        return f"There are no pictures among its {total:,} file{'s' * (total != 1)}."
    advice = (
        "make one folder for each class, name the pictures after their class (cat_1.jpg, "
        "dog_1.jpg), or put a labels.csv with the columns filename,label beside them"
    )
    holders = [folder for folder in tree.below("") if tree.pictures(folder)]
    shown = _listing_of_folders(holders)
    if sum(file.casefold().endswith(".txt") for file in archive.files) >= tree.count("") / 2:
        return (
            "The .txt files seem to be the boxes of an object detector, which are not read: "
            f"{advice}."
        )
    tops = list(dict.fromkeys(filter(None, map(_split_folder, holders))))
    if len(tops) > 0 and all(map(_split_folder, holders)):
        if all(split_of(top) != "train" for top in tops):
            return (
                f"There is no training part beside {_listing_of_folders(tops)}: to train on those "
                "pictures, give such a folder itself."
            )
        if all(_only_a_split(last(one)) or holds_images(one) for one in holders):
            return f"{shown} hold pictures, but no class folders: {advice}."
    count = tree.count("")
    if len(holders) == 1:
        pictures = f"All {count:,} pictures lie" if count > 1 else "Its only picture lies"
        where = f"in one folder ({shown})" if holders[0] else "at the top"
        return f"{pictures} {where}, and their names tell no two classes: {advice}."
    if all(_CAMERA_FOLDER.fullmatch(last(one)) for one in holders):
        return f"{shown} are folders that a camera makes, not classes: {advice}."
    if len({last(one).casefold() for one in holders}) == 1:
        return f"All its folders of pictures are called {last(holders[0])}: {advice}."
    return ""


def _split_folder(folder: str) -> str:
    """The folder that tells a split, of the folders on the way to this one; "" if none does."""
    parts = folder.split("/")
    for depth in range(1, len(parts) + 1):
        if split_of(parts[depth - 1]):
            return "/".join(parts[:depth])
    return ""


def _listing_of_folders(folders: list[str]) -> str:
    return _listing([f"{folder}/" for folder in folders], shorten=False)


def class_in_name(file: str, classes: ClassRule) -> int | None:
    """The class that a file's name is, apart from a split and numbers: A_test.jpg, dog.12.jpg."""
    whole = stem(file)
    if (label := classes.label(whole)) is not None:
        return label
    for name in (without_split(whole), re.sub(r"[\W_]*\d[\d\W_]*$", "", whole)):
        if (label := classes.label(name)) is not None:
            return label
        wanted = [word.casefold() for word in words(name)]
        for i, known in enumerate(classes.names or ()):
            if wanted and [word.casefold() for word in words(known)] == wanted:
                return i
    return None


def _class_names(folders: list[ClassFolder], notes: list[str]) -> tuple[str, ...]:
    """Folder names, sorted; `Cats` in one split and `cats` in another are one class.

    `A` and `a` side by side in one folder are two.
    """
    spelling: dict[str, str] = {}
    beside: dict[tuple[str, str, str], str] = {}
    for folder in sorted(folders, key=lambda one: one.split != "train"):
        name = folder.name.strip()
        where = (folder.split, parent(folder.folder), name.casefold())
        if beside.setdefault(where, name) != name:
            both = f"{beside[where]} and {name}"
            notes.append(f"Upper and lower case are different classes here, such as {both}.")
            return tuple(sorted({one.name.strip() for one in folders}, key=natural_key))
        spelling.setdefault(name.casefold(), name)
    return tuple(sorted(spelling.values(), key=natural_key))


def _rest(folder: str) -> str:
    """The name without its split and without words such as "set"."""
    rest = without_split(folder).split()
    return " ".join(word for word in rest if word.casefold() not in _PART_WORDS)


def _only_a_split(name: str) -> bool:
    """Whether the name tells a split and nothing else: test, test1, "Training Set"."""
    return split_of(name) is not None and not any(
        not word.isdecimal() for word in _rest(name).split()
    )


def _alike(one: Iterable[str], other: Iterable[str]) -> bool:
    """Whether two lists of folder names share at least two, and most of them."""
    first, second = ({name.casefold() for name in names} for names in (one, other))
    return len(first & second) >= 2 and 2 * len(first & second) >= len(first | second)


def _is_variant(folder: str) -> bool:
    found = {word.casefold() for word in words(last(folder)) if not word.isdecimal()}
    return bool(found) and found <= _VARIANT_WORDS


def _preferred(names: list[str]) -> int:
    """The index of the form to take: the coloured or original one, else the largest, else the
    first."""

    def rank(name: str) -> tuple[bool, int]:
        found = {word.casefold() for word in words(name)}
        numbers = [int(word[:9]) for word in words(name) if word.isdecimal()]
        return bool(found & IMAGE_WORDS), max(numbers, default=0)

    return max(range(len(names)), key=lambda i: (*rank(names[i]), -i))


def _numbered(names: list[str]) -> bool:
    """Whether the names are a number and a word for a heap of anything: 1반, 2반; part1, part2."""
    found = [{word.casefold() for word in words(name) if not word.isdecimal()} for name in names]
    numbered = all(any(word.isdecimal() for word in words(name)) for name in names)
    return len(names) > 1 and numbered and all(one and one <= _HEAP_WORDS for one in found)


def _listing(names: list[str], *, shorten: bool = True) -> str:
    shown = [last(name) if shorten else name for name in names[:6]]
    if len(names) > 6:
        return f"{', '.join(shown)} and {len(names) - 6:,} more"
    return ", ".join(shown[:-1]) + " and " + shown[-1] if len(shown) > 1 else "".join(shown)


def _add(rejections: Rejections, folder: str, files: list[str], reason: str) -> None:
    if len(files) > _LISTED:
        rejections.add(f"{folder}/", f"holds {len(files):,} files of which each {reason}")
        return
    for file in files:
        rejections.add(file, reason)
