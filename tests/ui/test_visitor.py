"""Links of pages that hand something out."""

from pathlib import Path

import pytest

from lab.api.sign_in import class_code
from lab.people import Person, acting_as
from lab.ui import visitor


def test_only_a_teachers_links_let_somebody_in(
    lab_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pupil who opens the board for the projector learns no renewed code."""
    monkeypatch.setenv("LAB_SHARED", "class")
    monkeypatch.setattr(visitor, "server_address", lambda: "http://lab.school")
    assert class_code() in visitor.link_for_all("/train?assignment=a-1")
    with acting_as(Person("p-ada", "Ada", "member")):
        assert visitor.link_for_all("/train?assignment=a-1") == (
            "http://lab.school/train?assignment=a-1"
        )
