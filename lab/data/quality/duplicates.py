"""Finds pictures that are the same, or nearly, within a split and across splits.

    every picture ──> thumbnail, colours kept: 16 x 16 pixels, or as it is up to 32 x 32
                 ──> correlation of the thumbnails' pixels, upright and mirrored
                 ──> pairs of at least LIMIT are joined to groups

Of 400 photographs of cats and dogs it finds every copy that was darkened, resized, recompressed at
quality 20 or made noisy, 98 % of those cropped by 2 %, 92 % of those turned by a degree, 82 % of
those shifted by a hundredth of the width, and half of those so bright that white is cut off. It
finds none cropped by a tenth or turned by three degrees, and few made grey. What it calls copies
are copies: among 10,000 such photographs it finds 7 pairs, the same at 0.98 and 0.99; among 9,700
drawings none; Sign-MNIST falls into 1,686 groups, documented are 1,704 photographs, and none of
them has two letters. So a group is one photograph with its copies, not merely one motif.

All pairs are compared without N x N numbers at once and without comparing all pixels: of two unit
vectors the product is at most that of their projections on a few directions plus that of the
lengths of the rests (Cauchy and Schwarz), so a pair below LIMIT there needs no second look.

LAB_HOME/quality/<images hash>/copies-<METHOD>.npy     (N,) the groups; they depend on pixels alone
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lab.data.array_file import read_array, write_array
from lab.data.groups import Groups, connected, group_sizes, joined
from lab.data.pack import SPLIT_WORDS, Pack, image_digest
from lab.data.quality.findings import CHECKS, Check, CheckResult, Figure, Finding, rows_in_use
from lab.home import home_folder, writing
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent, throttled

logger = logging.getLogger(__name__)

LIMIT = 0.99
"""Correlation of two thumbnails from which on they count as near-copies."""
SIDE, SMALL = 16, 32
"""Side of a thumbnail in pixels; pictures of at most SMALL are compared as they are, because they
have no finer detail that a small shift would move."""
PLAIN = 4.0
"""Standard deviation of a thumbnail, of 255 levels, below which a picture is plain: nothing but
noise would be compared, so plain pictures are copies only where every pixel is the same."""
METHOD = 1
"""Raise it with every change that can give other groups."""
SHOWN = 24
"""Pictures that a finding names; a group may have hundreds."""

_DIRECTIONS = 64
_SAMPLE = 4000
"""Thumbnails from which the directions are computed."""
_BLOCK, _ACROSS = 1024, 8192
_LOOKED_AT = 4096
"""Pairs whose pixels are compared at a time."""
_TEXT = "Looking for copies"


# --- groups of copies ----------------------------------------------------------------------------
def copy_groups(pack: Pack, progress: Report = silent, cancel: Cancel = never) -> Groups:
    """Returns (N,) the group of near-copies of each picture; most groups have one.

    `pack` has the size that its set was stored at. Looked for once: they depend on the pixels
    alone, so all versions of one import share them. Raises Cancelled, ResourceError.
    """
    found = kept_copies(pack)
    if found is None:
        found = find_copies(pack, progress, cancel)
        file = _file(pack)
        with writing(file):
            file.parent.mkdir(parents=True, exist_ok=True)
        write_array(file, found)
    return found


def kept_copies(pack: Pack) -> Groups | None:
    """Returns what `copy_groups` found earlier, also for a pack at another size; else None."""
    if not pack.meta.images_hash:
        return None
    try:
        groups = read_array(_file(pack))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, EOFError) as error:
        logger.warning("%s cannot be read (%s); copies are looked for again", _file(pack), error)
        return None
    return np.asarray(groups, dtype=np.int64) if groups.shape == (len(pack),) else None


def copies_are_known(images_hash: str) -> bool:
    """Whether `copy_groups` has looked at the pictures with this hash."""
    return bool(images_hash) and _file_of(images_hash).exists()


def checked_sets() -> int:
    """Returns how many data sets `copy_groups` has looked at."""
    return len(list(home_folder("quality").glob(f"*/copies-{METHOD}.npy")))


def independent_groups(pack: Pack) -> Groups | None:
    """Returns (N,) which images are no independent witnesses: the pack's own groups joined with
    near-copies that were found; None where neither is known."""
    return joined(pack.groups, kept_copies(pack))


def _file(pack: Pack) -> Path:
    return _file_of(pack.meta.images_hash)


def _file_of(images_hash: str) -> Path:
    return home_folder("quality") / images_hash / f"copies-{METHOD}.npy"


def find_copies(pack: Pack, progress: Report = silent, cancel: Cancel = never) -> Groups:
    """As `copy_groups`, looking anew and keeping nothing."""
    report = throttled(progress)
    thumbnails, same = _read(pack, report, cancel)
    return _copies_among(thumbnails, same, pack.meta.channels, report, cancel)


def copies_among(images: npt.NDArray[np.uint8]) -> Groups:
    """Returns (N,) the groups of near-copies among pictures (N, H, W, C) that are in no pack."""
    same: dict[bytes, int] = {}
    rows = [same.setdefault(image_digest(image), row) for row, image in enumerate(images)]
    thumbnails = _thumbnails(images, SIDE)
    return _copies_among(thumbnails, np.array(rows, np.int64), images.shape[-1], silent, never)


def _copies_among(
    thumbnails: Tensor, same: Groups, channels: int, report: Report, cancel: Cancel
) -> Groups:
    """Groups of (N, C * side * side) thumbnails; `same` (N,): the first row of equal pixels."""
    firsts, which = np.unique(same, return_inverse=True)  # one of each set of equal pictures
    vectors = _Vectors(thumbnails[torch.from_numpy(firsts)], channels)
    groups = np.arange(len(firsts), dtype=np.int64)
    for one, other, mirrored in _candidates(vectors, report, cancel):
        apart = groups[one] != groups[other]  # what is joined already needs no second look
        one, other = one[apart], other[apart]
        alike = vectors.correlation(one, other, mirrored=mirrored) >= LIMIT
        if alike.any():
            pairs = np.stack([one[alike], other[alike]])
            grown = np.stack([np.arange(len(groups)), groups])
            groups = connected(len(groups), *np.concatenate([grown, pairs], axis=1))
    return np.asarray(firsts[groups][which], dtype=np.int64)


def _candidates(
    vectors: _Vectors, progress: Report, cancel: Cancel
) -> Iterator[tuple[Groups, Groups, bool]]:
    """Yields pairs of rows that may reach LIMIT, each pair once upright and once mirrored."""
    rows = vectors.structured
    upright = vectors.projected(rows)
    for mirrored in (False, True):
        others = vectors.projected(rows, mirrored=True) if mirrored else upright
        text = "Comparing the pictures" + (", mirrored" if mirrored else "")
        for start in range(0, len(rows), _BLOCK):
            for across in range(start, len(rows), _ACROSS):
                check_cancel(cancel, _TEXT)
                bound = upright[start : start + _BLOCK] @ others[across : across + _ACROSS].T
                one, other = torch.nonzero(bound >= LIMIT - 1e-4, as_tuple=True)
                one, other = one + start, other + across
                once = other > one
                yield rows[one[once]].numpy(), rows[other[once]].numpy(), mirrored
            progress(Progress(min(start + _BLOCK, len(rows)), len(rows), text, "pictures"))


def _read(pack: Pack, progress: Report, cancel: Cancel) -> tuple[Tensor, Groups]:
    """Returns (N, C * side * side) uint8 thumbnails, and (N,) the first row of equal pixels."""
    count, side = len(pack), pack.meta.image_size
    side = SIDE if side > SMALL else side
    thumbnails = torch.empty((count, pack.meta.channels * side * side), dtype=torch.uint8)
    seen: dict[bytes, int] = {}
    same = np.empty(count, dtype=np.int64)
    step = max(16, (16 << 20) // max(1, pack.images[0].nbytes)) if count else 1
    for start in range(0, count, step):
        check_cancel(cancel, _TEXT)
        rows = np.arange(start, min(start + step, count))
        images = pack.take(rows)
        for row, image in zip(rows.tolist(), images, strict=True):
            same[row] = seen.setdefault(image_digest(image), row)
        thumbnails[start : start + step] = _thumbnails(images, side)
        progress(Progress(int(rows[-1]) + 1, count, "Reading the pictures", "pictures"))
    return thumbnails, same


def _thumbnails(images: npt.NDArray[np.uint8], side: int) -> Tensor:
    """(N, H, W, C) uint8 -> (N, C * side * side) uint8."""
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float()
    small = torch.nn.functional.adaptive_avg_pool2d(pixels, side)
    return small.flatten(1).round().to(torch.uint8)


class _Vectors:
    """Thumbnails as unit vectors with mean 0, and their projections."""

    def __init__(self, thumbnails: Tensor, channels: int) -> None:
        self._thumbnails, self._channels = thumbnails, channels
        pieces = [thumbnails[i : i + _LOOKED_AT] for i in range(0, len(thumbnails), _LOOKED_AT)]
        self._mean = torch.cat([piece.float().mean(dim=1, keepdim=True) for piece in pieces])
        deviation = torch.cat([piece.float().std(dim=1, correction=0) for piece in pieces])
        self._length = (deviation * thumbnails.shape[1] ** 0.5).clamp_min(1e-6)[:, None]
        self.structured = torch.nonzero(deviation >= PLAIN).flatten()
        self._directions = self._principal_directions()

    def unit(self, rows: Tensor, *, mirrored: bool = False) -> Tensor:
        """(n, D) float32 of these rows."""
        vectors: Tensor = (self._thumbnails[rows].float() - self._mean[rows]) / self._length[rows]
        if mirrored:
            side = round((vectors.shape[1] / self._channels) ** 0.5)
            vectors = vectors.view(len(rows), self._channels, side, side).flip(-1).flatten(1)
        return vectors

    def projected(self, rows: Tensor, *, mirrored: bool = False) -> Tensor:
        """(n, directions + 1): coordinates and the length of what they leave out, so that the
        product of two rows is never below the product of the whole vectors."""
        pieces = []
        for start in range(0, len(rows), _LOOKED_AT):
            piece = rows[start : start + _LOOKED_AT]
            inside = self.unit(piece, mirrored=mirrored) @ self._directions
            rest = (1 - inside.square().sum(dim=1, keepdim=True)).clamp_min(0).sqrt()
            pieces.append(torch.cat([inside, rest], dim=1))
        return torch.cat(pieces) if pieces else torch.empty(0, self._directions.shape[1] + 1)

    def correlation(
        self,
        one: npt.NDArray[np.int64],
        other: npt.NDArray[np.int64],
        *,
        mirrored: bool = False,
    ) -> npt.NDArray[np.float32]:
        """(n,) of pairs of rows."""
        out = np.empty(len(one), dtype=np.float32)
        for start in range(0, len(one), _LOOKED_AT):
            part = slice(start, start + _LOOKED_AT)
            a = self.unit(torch.from_numpy(one[part]))
            b = self.unit(torch.from_numpy(other[part]), mirrored=mirrored)
            out[part] = (a * b).sum(dim=1).numpy()
        return out

    def _principal_directions(self) -> Tensor:
        """(D, k) orthonormal: those in which a sample of the thumbnails varies most, nearly. Any
        would give right answers, these the fewest second looks."""
        size = self._thumbnails.shape[1]
        chance = torch.Generator().manual_seed(0)
        step = max(1, len(self.structured) // _SAMPLE)
        sample = self.unit(self.structured[::step])
        basis: Tensor = torch.randn(size, min(_DIRECTIONS, size), generator=chance)
        for _ in range(4):
            basis, _ = torch.linalg.qr(sample.T @ (sample @ basis) if len(sample) else basis)
        return basis


# --- the check -----------------------------------------------------------------------------------
def _run(pack: Pack, progress: Report, cancel: Cancel) -> CheckResult:
    groups = copy_groups(pack, progress, cancel)
    used = rows_in_use(pack)
    _, which = np.unique(groups[used], return_inverse=True)
    order = used[np.argsort(which, kind="stable")]
    starts = np.flatnonzero(np.diff(np.sort(which), prepend=-1))
    members = np.split(order, starts[1:])
    copied = [rows for rows in members if len(rows) > 1]
    findings = [_finding(pack, rows) for rows in copied]
    findings.sort(key=lambda finding: -finding.score)
    figures = _figures(pack, groups, copied, len(members))
    return CheckResult(
        findings=tuple(findings),
        figures=figures,
        notes=_notes(pack, figures),
        seconds=0.0,
        arrays={"groups": groups},
    )


def _finding(pack: Pack, rows: npt.NDArray[np.int64]) -> Finding:
    """The finding of one group of copies; the more serious of what is wrong with it."""
    labels, splits = pack.labels[rows], pack.split[rows]
    classes = np.bincount(labels)
    if (classes > 0).sum() > 1:
        most = int(classes.argmax())
        clear = int((classes == classes[most]).sum()) == 1
        odd = rows[labels != most] if clear else rows
        suggestion = pack.meta.class_names[most] if clear else None
        return _named("conflict", int(odd[0]), rows, suggestion)
    if len(set(splits.tolist())) > 1:
        # The one that is measured with first, beside those that are learned from.
        return _named("across", int(rows[np.argmax(splits)]), rows[np.argsort(splits)], None)
    return _named("within", int(rows[0]), rows, None)


def _named(kind: str, row: int, rows: npt.NDArray[np.int64], suggestion: str | None) -> Finding:
    others = tuple(other for other in rows.tolist() if other != row)[: SHOWN - 1]
    return Finding(kind, row, others, float(len(rows)), suggestion)


def _figures(
    pack: Pack, groups: Groups, copied: list[npt.NDArray[np.int64]], independent: int
) -> dict[str, Figure]:
    figures: dict[str, Figure] = {
        "images": len(rows_in_use(pack)),
        "independent": independent,
        "groups": len(copied),
        "copies": sum(len(rows) for rows in copied),
        "largest_group": max((len(rows) for rows in copied), default=1),
        "conflicting_groups": sum(len(set(pack.labels[rows].tolist())) > 1 for rows in copied),
    }
    trained = np.isin(groups, groups[pack.indices("train")])
    for split in ("val", "test"):
        rows = pack.indices(split)
        figures[f"{split}_images"] = len(rows)
        figures[f"{split}_with_copy_in_training"] = int(trained[rows].sum())
    train = pack.indices("train")
    figures["train_images"] = len(train)
    figures["train_with_copy_in_training"] = int((group_sizes(groups[train]) > 1).sum())
    return figures


def _notes(pack: Pack, figures: dict[str, Figure]) -> tuple[str, ...]:
    images, copies, groups = (int(figures[name]) for name in ("images", "copies", "groups"))
    if not groups:
        return (f"None of the {images:,} pictures is a copy or near-copy of another.", *_LIMITS)
    said = [
        f"{copies:,} of {images:,} pictures have a copy or near-copy, in {groups:,} groups: the "
        f"set has {int(figures['independent']):,} independent pictures."
    ]
    for split in ("val", "test"):
        total, leaky = (int(figures[f"{split}_{n}"]) for n in ("images", "with_copy_in_training"))
        if total:
            share = f"{leaky:,} of {total:,} {SPLIT_WORDS[split]} pictures ({leaky / total:.1%})"
            said.append(f"{share} have one among the training pictures.")
    train, within = int(figures["train_images"]), int(figures["train_with_copy_in_training"])
    notes = [" ".join(said)]
    if within >= FLATTERING * train and not figures["val_images"]:
        notes.append(
            f"{within / train:.1%} of the training pictures have a near-copy among them: a "
            "validation part that is drawn picture by picture then holds what was trained on, and "
            "flatters. Set “Validation cut by” on the Train page to “Group of copies”."
        )
    if figures["conflicting_groups"]:
        notes.append(
            f"In {int(figures['conflicting_groups']):,} groups the same picture stands in more "
            "than one class: at least one of those labels is wrong."
        )
    return (*notes, *_LIMITS)


FLATTERING = 0.02
"""Share of training images with a near-copy among them from which on the cut should go by group."""

_LIMITS = (
    f"Copies are pictures whose thumbnails ({SIDE} pixels, colours kept) correlate by {LIMIT:g} or "
    "more, upright or mirrored. Light, contrast, size, compression and a little noise do not "
    "matter; cropped by a twentieth, turned by some degrees or made grey, a copy is not found.",
)

CHECKS.add(
    "duplicates",
    Check(
        name="duplicates",
        title="Copies and near-copies",
        explain="A copy in training makes a test or validation picture easy, so that the accuracy "
        "flatters; copies within a split count one photograph several times.",
        kinds={
            "conflict": "In several classes",
            "across": "In several splits",
            "within": "Within one split",
        },
        run=_run,
        version=METHOD,
    ),
)
