"""How much of the disk one person may take: their runs, data sets, uploads and photographs.

Who keeps files that belong to somebody registers here how to count them. The quota is for members;
who owns the machine has `lab.home.require_quota` alone.
"""

from __future__ import annotations

from collections.abc import Callable

from lab.errors import ResourceError
from lab.home import counted, quota_bytes
from lab.people import current_person

QUOTA = ("LAB_QUOTA_PERSON_GB", 5)

Count = Callable[[str], int]
"""Id of a person -> the bytes of what is theirs."""
_COUNTS: dict[str, Count] = {}


def count_use(title: str, count: Count) -> None:
    """Registers what is to be counted under `title`."""
    _COUNTS[title] = count


def use_of(person_id: str) -> dict[str, int]:
    """Returns the bytes of each kind that are the person's. Walks their folders."""
    return {title: count(person_id) for title, count in sorted(_COUNTS.items())}


def require_person_quota(needed_bytes: int = 0) -> None:
    """Raises ResourceError when the current person, if a member, would hold more than their quota;
    counted once a minute."""
    person, quota = current_person(), quota_bytes(QUOTA)
    if person.is_admin or not quota:
        return
    used = counted(f"of {person.id}", lambda: sum(use_of(person.id).values()))
    if used + needed_bytes > quota:
        more = f", and this needs {needed_bytes / 1e9:,.2f} GB more" if needed_bytes else ""
        raise ResourceError(
            f"What is yours here takes {used / 1e9:.2f} GB of the {quota / 1e9:g} GB that one "
            f"person may ({QUOTA[0]}){more}. Delete runs, data sets or pictures; the Storage page "
            "shows what takes how much."
        )
