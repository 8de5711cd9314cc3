"""Finds pictures that lie far from all others, and far from those of their own class.

The distance is 1 - the cosine between features, averaged over the K_NEAREST nearest. Far is beyond
the outer fence of a box plot (Tukey 1977): three quartile ranges above the upper quartile, of the
whole set or of the class; of a set that is mostly copies that would be many, so at most MOST_SHARE
of the pictures are far. At most REFERENCES pictures, always the same ones, are compared with, so
100,000 pictures take ten times as long as 10,000 and not a hundred times.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lab.data.pack import Pack
from lab.data.quality.features import Floats, set_features, similar
from lab.data.quality.findings import CHECKS, Check, CheckResult, Finding, rows_in_use
from lab.data.splits import Indices, Stream, random_keys
from lab.progress import Cancel, Progress, Report, check_cancel

K_NEAREST = 5
REFERENCES = 8000
SMALLEST_CLASS = 20
"""Pictures of a class from which on its quartiles mean something."""
SHOWN_NEAREST = 3
MOST_LISTED = 1000
MOST_SHARE = 0.01
ALONE, IN_CLASS = "alone", "in_class"
_TEXT = "Looking for outliers"
_PIECE = 2000


def distances(
    rows: Floats, queries: Indices, references: Indices, cancel: Cancel
) -> tuple[Floats, Indices]:
    """Returns the mean distance (n,) of `queries` to their nearest `references`, and these (n, k).

    A picture is never compared with itself. Both are places in `rows` (N, D) of unit length.
    """
    mean = np.empty(len(queries), dtype=np.float32)
    count = min(K_NEAREST, len(references) - 1)
    nearest = np.empty((len(queries), count), dtype=np.int64)
    for start in range(0, len(queries), _PIECE):
        check_cancel(cancel, _TEXT)
        part = queries[start : start + _PIECE]
        places, cosines = similar(rows[references], rows[part], count + 1)
        found = references[places]
        cosines = np.where(found == part[:, None], -np.inf, cosines)
        order = np.argsort(-cosines, axis=1, kind="stable")[:, :count]
        nearest[start : start + _PIECE] = np.take_along_axis(found, order, axis=1)
        mean[start : start + _PIECE] = 1 - np.take_along_axis(cosines, order, axis=1).mean(axis=1)
    return mean, nearest


def outer_fence(values: npt.NDArray[np.floating]) -> float:
    """Returns the value above which one is far out by Tukey."""
    lower, upper = np.quantile(values, [0.25, 0.75])
    return float(upper + 3 * (upper - lower))


def _run(pack: Pack, progress: Report, cancel: Cancel) -> CheckResult:
    used, names = rows_in_use(pack), pack.meta.class_names
    features = set_features(pack, progress=progress, cancel=cancel)
    progress(Progress(0, 0, _TEXT))
    findings: list[Finding] = []
    alone: set[int] = set()
    if len(used) >= SMALLEST_CLASS:
        found = _far_out(features.rows, used, ALONE, cancel)
        alone = {finding.row for finding in found}
        findings += found
    in_class: list[Finding] = []
    for label in range(len(names)):
        members = used[pack.labels[used] == label]
        if len(members) >= SMALLEST_CLASS:
            in_class += _far_out(features.rows, members, IN_CLASS, cancel)
    # What is alone in the whole set is so in its class as well: said once.
    in_class = [finding for finding in in_class if finding.row not in alone]
    findings += sorted(in_class, key=lambda finding: -finding.score)[:MOST_LISTED]
    return CheckResult(
        tuple(findings),
        {"alone": len(alone), "in_class": len(in_class), "features": features.title},
        (
            _first_note(len(alone), len(in_class)),
            f"By {features.title}. Beside each picture are those nearest to it. Rare is not wrong: "
            "a rare view of a class is worth keeping, a picture of something else is not.",
        ),
        0.0,
    )


def _first_note(alone: int, in_class: int) -> str:
    if not alone and not in_class:
        return "No picture lies far from the others."
    return (
        f"{alone:,} picture{'s lie' if alone != 1 else ' lies'} far from all others, "
        f"{in_class:,} far from those of {'their' if in_class != 1 else 'its'} class."
    )


def _far_out(rows: Floats, members: Indices, kind: str, cancel: Cancel) -> list[Finding]:
    """The members beyond the outer fence, farthest first; the score is in multiples of it."""
    mean, nearest = distances(rows, members, _sample(members), cancel)
    fence = max(outer_fence(mean), float(np.quantile(mean, 1 - MOST_SHARE)))
    far = np.flatnonzero(mean > max(fence, 1e-3))  # rounding alone is no distance
    far = far[np.argsort(-mean[far], kind="stable")][:MOST_LISTED]
    return [
        Finding(
            kind=kind,
            row=int(members[place]),
            others=tuple(nearest[place, :SHOWN_NEAREST].tolist()),
            score=round(float(mean[place]) / max(fence, 1e-3), 4),
        )
        for place in far
    ]


def _sample(members: Indices) -> Indices:
    if len(members) <= REFERENCES:
        return members
    keys = random_keys(len(members), 0, Stream.SUBSET)
    return np.sort(members[np.argsort(keys, kind="stable")[:REFERENCES]])


CHECKS.add(
    "outliers",
    Check(
        name="outliers",
        title="Outliers",
        explain="Distance to the five nearest pictures in feature space, against what is usual in "
        "the set and in each class.",
        kinds={ALONE: "Far from all others", IN_CLASS: "Far from its class"},
        run=_run,
    ),
)
