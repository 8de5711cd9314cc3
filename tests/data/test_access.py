"""Paths of the server's disk are the admin's, below folders that were allowed; a data set is whose
it is."""

from pathlib import Path

import pytest

from lab.data import catalog, probes, versions
from lab.data.access import may_change_dataset, may_type_paths, owner_of, require_path
from lab.data.quality import confirmed
from lab.data.versions import Edits
from lab.errors import NotAllowedError, NotFoundError
from lab.people import OPERATOR, Person, acting_as
from tests.data.pictures import pets, write_folder

MINA = Person("p-mina", "미나", "member")
TOM = Person("p-tom", "Tom", "member")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "pets", pets(2))


def test_a_lab_for_one_reads_any_path(tmp_path: Path) -> None:
    require_path(tmp_path)
    assert may_type_paths()


@pytest.mark.parametrize("shared", ["class", "open"])
def test_a_shared_lab_gives_one_answer_to_every_path(
    shared: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_SHARED", shared)
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "way-out").symlink_to(folder)
    monkeypatch.setenv("LAB_FOLDERS", str(tmp_path / "allowed"))
    answers = set()
    for path in (
        "/sys/kernel", "/root", "/not/there", str(folder), str(tmp_path / "allowed/../pets"),
        str(tmp_path / "allowed/way-out"), str(tmp_path / "allowed-too"), "~root",
    ):  # fmt: skip
        with pytest.raises(NotAllowedError) as refused:
            catalog.look(path)
        answers.add(str(refused.value))
    assert len(answers) == 1
    require_path(tmp_path / "allowed" / "pets.zip")
    with acting_as(MINA), pytest.raises(NotAllowedError):
        require_path(tmp_path / "allowed" / "pets.zip")
    monkeypatch.delenv("LAB_FOLDERS")
    assert not may_type_paths()
    with pytest.raises(NotAllowedError):
        require_path(tmp_path)


def test_an_upload_is_read_by_who_knows_it(lab_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_SHARED", "class")
    with acting_as(MINA):
        require_path(lab_home / "downloads" / "upload-0.zip")
        with pytest.raises(NotAllowedError):
            require_path(lab_home / "downloads" / ".." / "lab.sqlite")


def test_a_data_set_is_changed_by_who_added_it(folder: Path) -> None:
    with acting_as(MINA):
        catalog.add_dataset("pets", folder)
    assert owner_of("pets") == ("p-mina", "미나")
    with acting_as(TOM):
        for change in (
            lambda: catalog.remove_dataset("pets"),
            lambda: catalog.add_dataset("pets", folder, replace=True),
            lambda: versions.apply("pets", Edits()),
            lambda: versions.restore("pets", "x"),
            lambda: versions.remove("pets", [1]),
        ):
            with pytest.raises(NotAllowedError, match="data set 'pets' belongs to '미나'"):
                change()
    catalog.remove_dataset("pets")
    assert owner_of("pets") == ("", "")


def test_the_teachers_sets_are_for_all_to_use_and_nobody_elses_to_change(folder: Path) -> None:
    catalog.add_dataset("pets", folder)
    with acting_as(MINA):
        assert catalog.describe("pets").usable
        with pytest.raises(NotAllowedError, match="belongs to the teacher"):
            catalog.remove_dataset("pets")


def test_where_others_are_hidden_a_member_sees_no_other_members_set(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = Person("p-head", "Head", "admin")  # an account, which has an id of its own
    catalog.add_dataset("of-the-teacher", folder)
    with acting_as(head):
        catalog.add_dataset("of-the-head", folder)
    with acting_as(MINA):
        catalog.add_dataset("pets", folder)

    def own_sets() -> list[str]:
        return [info.name for info in catalog.list_datasets() if info.own]

    with acting_as(TOM):
        assert own_sets() == ["of-the-head", "of-the-teacher", "pets"]
    monkeypatch.setenv("LAB_OTHERS", "hidden")
    everything = ["of-the-head", "of-the-teacher", "pets"]
    for person in (MINA, head, OPERATOR):
        with acting_as(person):
            assert own_sets() == everything
            assert len(catalog.open_pack("pets")) == 4
    with acting_as(TOM):
        assert own_sets() == everything[:2]
        for look in (catalog.describe, catalog.open_pack, catalog.remove_dataset):
            with pytest.raises(NotFoundError) as refused:
                look("pets")
            assert str(refused.value).startswith("Unknown data set 'pets'. There are: ")
            assert "미나" not in str(refused.value)
        with pytest.raises(catalog.DatasetExistsError, match="name 'pets' is taken here;"):
            catalog.add_dataset("pets", folder)
        with pytest.raises(NotAllowedError, match="name 'pets' is taken here;"):
            catalog.add_dataset("pets", folder, replace=True)
        assert "drawn-signs" in {info.name for info in catalog.list_datasets()}


def test_pins_and_labels_called_right_are_the_owners(folder: Path) -> None:
    with acting_as(MINA):
        catalog.add_dataset("pets", folder)
        pack = catalog.open_pack("pets")
        probes.pin("pets", 1)
        confirmed.confirm(pack, 1)
    with acting_as(TOM):
        assert not may_change_dataset("pets")
        for change in (
            lambda: probes.pin("pets", 0),
            lambda: probes.unpin("pets", 1),
            lambda: confirmed.confirm(pack, 0),
            lambda: confirmed.take_back(pack, 1),
        ):
            with pytest.raises(NotAllowedError, match="data set 'pets' belongs to '미나'"):
                change()
    assert probes.probes("pets") == (1,)
    assert confirmed.confirmed(pack) == {1}
    with acting_as(MINA):
        probes.unpin("pets", 1)
    confirmed.take_back(pack, 1)  # the operator may
    assert (probes.probes("pets"), confirmed.confirmed(pack)) == ((), frozenset())
