"""Names: duplicates raise, unknown ones suggest the close ones."""

import pytest

from lab.errors import NotFoundError
from lab.registry import Registry


def test_duplicates_raise_and_unknown_names_suggest() -> None:
    registry: Registry[int] = Registry("architecture")
    registry.add("resnet18", 18)
    registry.add("lenet5", 5)
    assert registry.get("lenet5") == 5
    assert registry.names() == ("resnet18", "lenet5")
    with pytest.raises(ValueError, match="twice"):
        registry.add("lenet5", 6)
    with pytest.raises(NotFoundError, match=r"Unknown architecture 'resnt18'. Did you mean"):
        registry.get("resnt18")
    with pytest.raises(NotFoundError, match="There are: resnet18, lenet5"):
        registry.get("zzz")
