"""What of the server's disk may be read by path, and whose a data set is.

In a lab for one person any path may be typed. In one that several people use only the admin types
paths, and only below the folders that LAB_FOLDERS names. All else gets one answer, whatever is
there: nobody looks around on the server.

Whose a set is stands in LAB_HOME/owners/<name>.json. A set without that file, as those that are
built in, downloaded or added by an admin, is the operator's, for everybody to train on.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from lab.errors import NotAllowedError
from lab.home import atomic_file, home_folder, lab_home
from lab.people import current_person, may_change, may_see, others_hidden, require_owner, sharing

FOLDERS_VARIABLE = "LAB_FOLDERS"


def may_type_paths() -> bool:
    """Whether the current person may give any path of the server's disk."""
    return not sharing() or (current_person().is_admin and bool(_allowed_folders()))


def require_path(path: Path) -> None:
    """Raises NotAllowedError unless the current person may have the lab read this path; what lies
    in the lab's own folder for uploads may be read by who knows it."""
    if not sharing():
        return
    real = Path(os.path.realpath(path))
    if real.is_relative_to(os.path.realpath(lab_home() / "downloads")):
        return
    folders = _allowed_folders() if current_person().is_admin else []
    if not any(real.is_relative_to(folder) for folder in folders):
        raise NotAllowedError(
            "Only the teacher may give a path, and only below the folders that the lab was started "
            f"with ({FOLDERS_VARIABLE}). Upload the pictures instead."
        )


def _allowed_folders() -> list[str]:
    folders = os.environ.get(FOLDERS_VARIABLE, "").split(os.pathsep)
    return [os.path.realpath(os.path.expanduser(each)) for each in folders if each.strip()]


def may_see_dataset(name: str) -> bool:
    """Whether the current person may look at the data set and train on it: the operator's all may,
    a member's as the rule of LAB_OTHERS says."""
    if not others_hidden():  # no file is read for each set of a list
        return True
    owner, _ = owner_of(name)
    return not owner or may_see(owner)


def may_change_dataset(name: str) -> bool:
    """Whether the current person may change it, and what is kept of it for all."""
    owner, _ = owner_of(name)
    return may_change(owner)


def require_dataset(name: str) -> None:
    """Raises NotAllowedError unless the current person may change or delete the data set."""
    if not may_see_dataset(name):
        raise NotAllowedError(f"The name {name!r:.80} is taken here; choose another one.")
    owner, owner_name = owner_of(name)
    require_owner(owner, owner_name, f"The data set {name!r:.80}")


def owner_of(name: str) -> tuple[str, str]:
    """Returns id and name of who added the set; "" for the operator."""
    try:
        values = json.loads(_file(name).read_text(encoding="utf-8"))
        return str(values["person"]), str(values["name"])
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return "", ""


def datasets_of(person_id: str) -> list[str]:
    """Returns the names of the data sets that belong to a member."""
    files = home_folder("owners").glob("[!.]*.json")
    return [file.stem for file in files if owner_of(file.stem)[0] == person_id]


def take_dataset(name: str) -> None:
    """Records the set, just added, as the current member's, unless somebody has it."""
    person = current_person()
    if not person.is_admin and not _file(name).exists():
        with atomic_file(_file(name)) as file:
            values = {"person": person.id, "name": person.name}
            file.write_text(json.dumps(values, ensure_ascii=False), encoding="utf-8")


def release_dataset(name: str) -> None:
    """Forgets whose the set was, which is gone."""
    _file(name).unlink(missing_ok=True)


def _file(name: str) -> Path:
    return home_folder("owners") / f"{name}.json"
