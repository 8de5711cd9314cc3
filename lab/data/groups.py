"""Groups of images that belong together: bursts of a camera, a photograph with its copies.

A grouping is an array (N,) int64, a number an image; images with the same number are one group.
Here the number is the row of the group's first image, so the same grouping is the same array.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Groups = npt.NDArray[np.int64]


def connected(count: int, first: npt.ArrayLike, second: npt.ArrayLike) -> Groups:
    """Returns (count,) the groups of images that pairs (first[i], second[i]) connect."""
    one, other = np.asarray(first, dtype=np.int64), np.asarray(second, dtype=np.int64)
    groups = np.arange(count, dtype=np.int64)
    while True:
        lower = np.minimum(groups[one], groups[other])
        before = groups.copy()
        for ends in (one, other):
            np.minimum.at(groups, before[ends], lower)  # of the whole group seen so far
            np.minimum.at(groups, ends, lower)
        groups = groups[groups]
        if np.array_equal(groups, before):
            return groups


def joined(first: Groups | None, second: Groups | None) -> Groups | None:
    """Returns the groups of images that either grouping puts together; None without both."""
    known = [grouping for grouping in (first, second) if grouping is not None]
    if not known:
        return None
    count = len(known[0])
    rows = np.arange(count, dtype=np.int64)
    firsts = [_first_of_group(grouping) for grouping in known]
    return connected(count, np.tile(rows, len(firsts)), np.concatenate(firsts))


def group_sizes(groups: Groups) -> npt.NDArray[np.int64]:
    """Returns (N,) how many images the group of each image has."""
    _, which, counts = np.unique(groups, return_inverse=True, return_counts=True)
    return np.asarray(counts[which], dtype=np.int64)


def _first_of_group(groups: Groups) -> Groups:
    _, first, which = np.unique(groups, return_index=True, return_inverse=True)
    return np.asarray(first[which], dtype=np.int64)
