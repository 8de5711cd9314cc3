"""What is sealed is noticed when it is another."""

import json

import pytest

from lab.seal import FILE_FORMAT, seal, unseal

VALUES = {"name": "개", "numbers": [1, 2.5, None], "nested": {"a": "b"}}


def test_what_was_sealed_comes_back_through_json() -> None:
    assert unseal(json.loads(json.dumps(seal(VALUES)))) == VALUES


def test_every_changed_character_is_noticed() -> None:
    text = json.dumps(seal(VALUES))
    for place, character in enumerate(text):
        changed = text[:place] + chr(ord(character) ^ 1) + text[place + 1 :]
        try:
            values = json.loads(changed)
        except ValueError:
            continue
        with pytest.raises(ValueError, match=r"damaged|update the lab"):
            unseal(values)


def test_files_of_older_versions_open_and_of_newer_ones_do_not() -> None:
    assert unseal(VALUES) == VALUES
    with pytest.raises(ValueError, match="newer version of the lab wrote it; update the lab"):
        unseal(seal(VALUES) | {"file_format": str(FILE_FORMAT + 1)})
    for other in (None, [], "text"):
        with pytest.raises(ValueError, match="something else"):
            unseal(other)  # type: ignore[arg-type]
