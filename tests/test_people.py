"""Who acts, and what they may change."""

import threading

import pytest

from lab import jobs
from lab.errors import ConfigError, NotAllowedError
from lab.people import (
    OPERATOR,
    Person,
    acting_as,
    current_person,
    may_see,
    require_admin,
    require_owner,
    sharing,
)

MINA = Person("p-mina", "미나", "member")
TOM = Person("p-tom", "Tom", "member")


def test_whoever_is_in_no_block_is_the_operator_also_in_a_thread_of_somebodys() -> None:
    seen = []
    with acting_as(MINA):
        assert current_person() is MINA
        thread = threading.Thread(target=lambda: seen.append(current_person()))
        thread.start()
        thread.join()
    assert [*seen, current_person()] == [OPERATOR, OPERATOR]


def test_a_job_acts_as_who_started_it() -> None:
    with acting_as(MINA):
        job = jobs.start("test", "Test", lambda report, cancel: current_person())
    with acting_as(TOM), pytest.raises(NotAllowedError, match="“Test” belongs to '미나'"):
        jobs.cancel(job.id)
    ended = jobs.wait(job.id, timeout=60)
    assert ended is not None
    assert ended.result is MINA


def test_a_member_changes_what_is_theirs_and_the_admin_everything() -> None:
    require_owner("p-mina", "미나", "Run r-1")
    require_admin("This")
    with acting_as(MINA):
        require_owner("p-mina", "미나", "Run r-1")
        with pytest.raises(NotAllowedError, match="Run r-2 belongs to 'Tom'"):
            require_owner("p-tom", "Tom", "Run r-2")
        with pytest.raises(NotAllowedError, match="belongs to the teacher"):
            require_owner("", "", "Run r-3")
        with pytest.raises(NotAllowedError, match=r"^A folder of the server is for the teacher"):
            require_admin("A folder of the server")


def test_what_others_do_may_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    with acting_as(MINA):
        assert may_see("p-tom")
        monkeypatch.setenv("LAB_OTHERS", "hidden")
        assert (may_see("p-tom"), may_see("p-mina")) == (False, True)
        monkeypatch.setenv("LAB_OTHERS", "no")
        with pytest.raises(ConfigError, match="LAB_OTHERS is 'no'; allowed are shown and hidden"):
            may_see("p-tom")


def test_jobs_of_others_are_listed_unless_others_are_hidden(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kind = "test of whose"
    with acting_as(MINA):
        job = jobs.start(kind, "Mina's pictures", lambda report, cancel: 1)
    jobs.wait(job.id, timeout=60)

    def listed(person: Person) -> int:
        with acting_as(person):
            return len(jobs.jobs(kind))

    assert [listed(person) for person in (MINA, TOM, OPERATOR)] == [1, 1, 1]
    monkeypatch.setenv("LAB_OTHERS", "hidden")
    assert [listed(person) for person in (MINA, TOM, OPERATOR)] == [1, 0, 1]


def test_a_mistyped_setting_does_not_open_the_lab(monkeypatch: pytest.MonkeyPatch) -> None:
    assert sharing() == ""
    monkeypatch.setenv("LAB_SHARED", "Class")
    with pytest.raises(ConfigError, match="LAB_SHARED is 'Class'; allowed are class"):
        sharing()
