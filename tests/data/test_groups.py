"""Groups of images: connected, joined and counted as a slow union of sets would."""

import numpy as np
import pytest

from lab.data.groups import connected, group_sizes, joined


def slowly(count: int, pairs: list[tuple[int, int]]) -> list[int]:
    sets = [{i} for i in range(count)]
    for one, other in pairs:
        union = sets[one] | sets[other]
        for member in union:
            sets[member] = union
    return [min(s) for s in sets]


@pytest.mark.parametrize("seed", range(20))
def test_connected_as_sets(seed: int) -> None:
    rng = np.random.Generator(np.random.Philox(seed))
    count = int(rng.integers(1, 60))
    pairs = rng.integers(0, count, size=(int(rng.integers(0, 50)), 2))
    want = slowly(count, [(int(a), int(b)) for a, b in pairs])
    assert connected(count, pairs[:, 0], pairs[:, 1]).tolist() == want


def test_a_long_chain_is_one_group() -> None:
    order = np.random.Generator(np.random.Philox(0)).permutation(5000)
    assert not connected(5000, order[:-1], order[1:]).any()


def test_joined() -> None:
    one = np.array([7, 7, 3, 4, 5, 5])
    other = np.array([0, 1, 2, 1, 4, 5])
    both = joined(one, other)
    assert both is not None
    assert both.tolist() == [0, 0, 2, 0, 4, 4]
    alone = joined(None, one)
    assert alone is not None
    assert alone.tolist() == [0, 0, 2, 3, 4, 4]
    assert joined(None, None) is None


def test_sizes() -> None:
    assert group_sizes(np.array([5, 5, 9, 5])).tolist() == [3, 3, 1, 3]
