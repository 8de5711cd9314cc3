"""Finds labels that are probably wrong, by confident learning (Northcutt et al. 2021, JAIR 70).

    features ── a linear head, 5 folds ──> each picture judged by a head that has not seen it
    probabilities (n, K) ── thresholds, confident joint ──> how many labels are wrong
                         └─ margin: given - most probable other ──> which ones, the surest first

A picture counts as class k in the joint when its probability of k is at least the mean probability
of k among the pictures labelled k: so a class that the head is never sure of is not suspected as a
whole. Pictures of one group, and those that were entered a few times, share a fold; otherwise a
wrong label would be confirmed by its own copy. Where each photograph has many copies, these may be
in other folds: by photographs alone the head is so much worse that it raises mostly false alarms
(Sign-MNIST, 20 copies a photograph: 1,164 suspects instead of 17). A wrong label that all those
copies share is then missed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from lab.data.pack import Pack
from lab.data.quality import check
from lab.data.quality.confirmed import confirmed
from lab.data.quality.features import Features, Floats, place_shares, set_features, similar
from lab.data.quality.findings import CHECKS, Check, CheckResult, Figure, Finding, rows_in_use
from lab.data.splits import Indices, Stream, random_keys
from lab.progress import Cancel, Progress, Report, check_cancel, never, silent
from lab.words import percent, probability

FOLDS = 5
FEW_COPIES = 5
"""Pictures of a group of copies up to which they share a fold."""
NEAREST = 4
"""Nearest training pictures that are shown beside a suspected one."""
LEAST_LISTED, MOST_LISTED = 24, 2000
"""Of the pictures on whose label the head disagrees: a lone wrong label may reach no threshold."""
LIKELY, PERHAPS = "likely", "perhaps"
POOR = 0.8
"""Below this share of labels that the head agrees with, the list says more about the features."""

_RIDGES = (1e-5, 1e-4, 1e-3)
_TEXT = "Looking for label errors"

Probabilities = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Suspects:
    """What confident learning makes of probabilities and labels."""

    order: Indices
    """(m,) places of the pictures whose label is not the most probable class, the surest first."""
    suggested: Indices
    """(n,) the most probable class other than the label, of every picture."""
    margin: Probabilities
    """(n,) probability of the label minus that of `suggested`: below 0 where they disagree."""
    joint: Indices
    """(K, K) the confident joint: how many pictures labelled i count as j."""
    wrong: int
    """How many labels are wrong by the joint, scaled to the count of each class."""


def find_suspects(probabilities: Probabilities, labels: Indices) -> Suspects:
    """Returns whose label is probably wrong.

    probabilities (n, K) are out of sample: of a network or head that did not learn from the picture
    itself. labels (n,) are those given.
    """
    count, classes = probabilities.shape
    places = np.arange(count)
    given = probabilities[places, labels]
    others = probabilities.copy()
    others[places, labels] = -1
    suggested = others.argmax(axis=1)
    margin = given - probabilities[places, suggested]

    sizes = np.bincount(labels, minlength=classes)
    sums = np.bincount(labels, weights=given, minlength=classes)
    # A class without pictures has no threshold that anything could reach.
    thresholds = np.divide(sums, sizes, out=np.full(classes, np.inf), where=sizes > 0)
    reached = np.where(probabilities >= thresholds - 1e-6, probabilities, -1)
    counted = reached.max(axis=1) >= 0
    joint = np.zeros((classes, classes), dtype=np.int64)
    np.add.at(joint, (labels[counted], reached.argmax(axis=1)[counted]), 1)
    # Each row is scaled to the pictures of its class, also those that reached no threshold.
    totals = joint.sum(axis=1)
    right = np.divide(joint.diagonal(), totals, out=np.ones(classes), where=totals > 0)
    wrong = int(np.floor((sizes * (1 - right)).sum() + 0.5))

    disagree = np.flatnonzero(margin < 0)
    order = disagree[np.argsort(margin[disagree], kind="stable")]
    return Suspects(order, suggested, margin, joint, min(wrong, len(order)))


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """Linear heads that were each fitted without one fold, and what they say of it."""

    probabilities: Probabilities
    """(n, K)"""
    heads: Floats
    """(FOLDS, D, K): their weights."""


def out_of_fold(
    rows: Floats, labels: Indices, folds: Indices, classes: int, cancel: Cancel
) -> OutOfFold:
    """Returns what is said of each picture by a linear head fitted without its fold.

    The head is fitted by least squares with a ridge, which is solved and not trained: a second for
    10,000 pictures. The ridge, and the temperature that makes probabilities of its scores, are
    those with the smallest loss out of fold.
    """
    count, size = rows.shape
    x = np.concatenate([rows, np.ones((count, 1), np.float32)], axis=1)
    targets = np.zeros((count, classes), dtype=np.float32)
    targets[np.arange(count), labels] = 1
    gram, moments = x.T @ x, x.T @ targets
    scores = {ridge: np.empty((count, classes)) for ridge in _RIDGES}
    heads = {ridge: np.zeros((FOLDS, size, classes), np.float32) for ridge in _RIDGES}
    for fold in np.unique(folds):
        check_cancel(cancel, _TEXT)
        held = folds == fold
        held_x = x[held]
        inner = (gram - held_x.T @ held_x).astype(np.float64)
        right = (moments - held_x.T @ targets[held]).astype(np.float64)
        for ridge in _RIDGES:
            penalised = inner.copy()
            penalised[np.diag_indices(size)] += ridge * count  # not the offset
            penalised[size, size] += 1e-6 * count
            head = np.linalg.solve(penalised, right)
            scores[ridge][held] = held_x @ head
            heads[ridge][fold] = head[:size]
    best = min(
        (_loss(scores[ridge] * scale, labels), ridge, scale)
        for ridge in _RIDGES
        for scale in np.geomspace(1, 100, 30)
    )
    _, ridge, scale = best
    return OutOfFold(np.exp(_log_softmax(scores[ridge] * scale)), heads[ridge])


def make_folds(labels: Indices, groups: Indices) -> Indices:
    """Returns the fold (n,) of each picture: groups stay whole, each class is spread evenly."""
    _, first, members = np.unique(groups, return_index=True, return_inverse=True)
    keys = random_keys(len(first), 0, Stream.VALIDATION)
    order = np.lexsort((keys, labels[first]))
    fold_of_group = np.empty(len(first), dtype=np.int64)
    fold_of_group[order] = np.arange(len(first)) % FOLDS
    return np.asarray(fold_of_group[members], dtype=np.int64)


def label_errors(
    pack: Pack, progress: Report, cancel: Cancel, *, extractor: str = "auto"
) -> CheckResult:
    """Returns the pictures of `pack` whose label is probably wrong, the surest first.

    Arrays: "given" (N,) the probability of each picture's own label, "suggested" (N,) that of its
    most probable other class, both NaN for pictures that were not judged; "weights" (n, D): with
    these the features of each finding add up to what its head scores for the suggested class over
    the average picture; from them `suspect_maps` draws.
    """
    used = rows_in_use(pack)
    names = pack.meta.class_names
    groups = _groups(pack)
    # Copies share a fold, so a class of copies alone has nothing left to be learnt from.
    _, first = np.unique(np.stack([groups[used], pack.labels[used]]), axis=1, return_index=True)
    sizes = np.bincount(pack.labels[used[first]], minlength=len(names))
    judged = used[sizes[pack.labels[used]] >= FOLDS]
    small = [names[i] for i in np.flatnonzero((sizes > 0) & (sizes < FOLDS))]
    classes, labels = np.unique(pack.labels[judged], return_inverse=True)
    if len(classes) < 2:
        note = f"Labels are judged from {FOLDS} independent pictures of each of two classes on."
        return CheckResult((), {"wrong": 0}, (note,), 0.0)
    features = set_features(pack, extractor=extractor, progress=progress, cancel=cancel)
    progress(Progress(0, 0, _TEXT))
    folds = make_folds(labels, groups[judged])
    answers = out_of_fold(features.rows[judged], labels, folds, len(classes), cancel)
    probabilities = answers.probabilities
    suspects = find_suspects(probabilities, labels)

    known = confirmed(pack)
    order = suspects.order[: min(MOST_LISTED, max(LEAST_LISTED, 2 * suspects.wrong))]
    shown = [place for place in order.tolist() if int(judged[place]) not in known]
    train = judged[pack.split[judged] == 0]
    near, _ = similar(features.rows[train], features.rows[judged[shown]], NEAREST + 1)
    rank = {place: number for number, place in enumerate(order.tolist())}
    findings = tuple(
        Finding(
            kind=LIKELY if rank[place] < suspects.wrong else PERHAPS,
            row=int(judged[place]),
            others=tuple(int(r) for r in train[neighbours] if r != judged[place])[:NEAREST],
            score=round(float(-suspects.margin[place]), 6),
            suggestion=names[classes[suspects.suggested[place]]],
        )
        for place, neighbours in zip(shown, near, strict=True)
    )
    weights = answers.heads[folds[shown], :, suspects.suggested[shown]]
    # Over what the average picture scores: `weights x mean` taken from what the picture itself has.
    average = weights @ features.rows[judged].mean(axis=0)
    weights -= average[:, None] * features.rows[judged[shown]]
    weights /= np.abs(weights).max(axis=1, keepdims=True, initial=1e-12)
    agreed = float((suspects.margin >= 0).mean())
    figures: dict[str, Figure] = {
        "wrong": suspects.wrong,
        "share": suspects.wrong / len(judged),
        "agreed": agreed,
        "judged": len(judged),
        "confirmed": len(order) - len(shown),
        "features": features.title,
        "extractor": features.extractor,
    }
    places = np.arange(len(judged))
    return CheckResult(
        findings,
        figures,
        _notes(suspects, len(judged), agreed, features, small, len(order) - len(shown)),
        0.0,
        arrays={
            "given": _spread(pack, judged, probabilities[places, labels]),
            "suggested": _spread(pack, judged, probabilities[places, suspects.suggested]),
            "weights": weights.astype(np.float16),
        },
    )


def judged_by(extractor: str, key: str) -> Check:
    """Returns this check by the features of `extractor`; `key` names all that these depend on."""
    return dataclasses.replace(
        CHECKS.get("label_errors"),
        name=f"label_errors-{key.replace(':', '-')}",
        run=partial(label_errors, extractor=extractor),
    )


def suspect_maps(
    pack: Pack,
    found: CheckResult,
    rows: Sequence[int],
    progress: Report = silent,
    cancel: Cancel = never,
) -> dict[int, Floats]:
    """Returns row -> map (h, w): where suspects `rows` look like the suggested class.

    The class activation map of the head that suspects them, raw and never negative. A row is
    missing where there is no such place, or the features have no places. Raises as `set_features`.
    """
    at = {finding.row: place for place, finding in enumerate(found.findings)}
    weights = found.arrays["weights"][[at[row] for row in rows]].astype(np.float32)
    extractor = str(found.figures["extractor"])
    shares = place_shares(
        pack, rows, weights, extractor=extractor, progress=progress, cancel=cancel
    ).clip(min=0)
    return {row: one for row, one in zip(rows, shares, strict=True) if one.any()}


def _notes(
    suspects: Suspects,
    judged: int,
    agreed: float,
    features: Features,
    small: list[str],
    right: int,
) -> tuple[str, ...]:
    if suspects.wrong:
        share = probability(suspects.wrong / judged)
        first = f"{suspects.wrong:,} of {judged:,} labels are suspected of being wrong ({share})."
    else:
        first = f"None of {judged:,} labels is suspected of being wrong."
    notes = [
        first,
        f"Judged by {features.title}: a linear head that never saw the picture agrees with "
        f"{percent(agreed)} of the labels.",
    ]
    if features.extractor.startswith("run:"):
        notes.append(
            "This run learned from the training pictures with these very labels: a wrong label "
            "that it has learned by heart is not suspected."
        )
    if agreed < POOR:
        notes.append(
            "That is little: these features hardly tell the classes apart, so most suggestions "
            "will be right labels. A run's checkpoint, or pretrained weights on this machine, "
            "would judge better."
        )
    if small:
        notes.append(
            f"Not judged, as they have fewer than {FOLDS} independent pictures (a group of copies "
            f"counts once): {', '.join(small[:20])}{' and more' if len(small) > 20 else ''}."
        )
    if right:
        notes.append(f"{right:,} that you have looked at and called right are not shown again.")
    return tuple(notes)


def _groups(pack: Pack) -> Indices:
    """(N,) the pack's groups joined with small groups of copies, where those are known."""
    groups = np.arange(len(pack)) if pack.groups is None else np.asarray(pack.groups)
    found = check.result(pack, "duplicates") if "duplicates" in CHECKS else None
    copies = None if found is None else found.arrays.get("groups")
    if copies is None or len(copies) != len(pack):
        return groups
    from scipy.sparse import coo_array  # the only use; its import takes a third of a second
    from scipy.sparse.csgraph import connected_components

    _, a = np.unique(groups, return_inverse=True)
    _, b, sizes = np.unique(copies, return_inverse=True, return_counts=True)
    b = np.where(sizes[b] <= FEW_COPIES, b, len(sizes) + np.arange(len(b)))
    size = int(a.max()) + int(b.max()) + 2
    links = coo_array((np.ones(len(a), np.int8), (a, b + a.max() + 1)), shape=(size, size))
    _, joined = connected_components(links, directed=False)
    return np.asarray(joined[a], dtype=np.int64)


def _spread(pack: Pack, rows: Indices, values: Probabilities) -> npt.NDArray[np.float32]:
    whole = np.full(len(pack), np.nan, dtype=np.float32)
    whole[rows] = values
    return whole


def _log_softmax(scores: Probabilities) -> Probabilities:
    shifted = scores - scores.max(axis=1, keepdims=True)
    result: Probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    return result


def _loss(scores: Probabilities, labels: Indices) -> float:
    return float(-_log_softmax(scores)[np.arange(len(labels)), labels].mean())


CHECKS.add(
    "label_errors",
    Check(
        name="label_errors",
        title="Label errors",
        explain="Each picture is judged by a linear head that did not learn from it (confident "
        "learning, 5 folds). The confident joint says how many labels to suspect, the margin "
        "between the given and another class says which. Look before you change: where labels are "
        "clean, most suspects are strange pictures of the right class. Of cats and dogs with 3% "
        "of the labels flipped, 19 of 20 flipped ones were found; without, one of the first 36 "
        "was wrong.",
        kinds={LIKELY: "Suspected", PERHAPS: "Less so"},
        run=label_errors,
        version=2,
    ),
)
