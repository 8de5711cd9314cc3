"""Labels that a person has looked at and called right, so that they are not suspected again.

LAB_HOME/quality/<images hash>/confirmed.json: row -> class name. They hold for these very pixels
and that class: once the picture gets another label, it can be suspected again.
"""

from __future__ import annotations

import json

from filelock import FileLock

from lab.data.access import require_dataset
from lab.data.pack import Pack
from lab.home import atomic_file, home_folder


def confirmed(pack: Pack) -> frozenset[int]:
    """Returns the rows whose present label a person has called right."""
    names = pack.meta.class_names
    return frozenset(
        row
        for row, class_name in _read(pack).items()
        if row < len(pack) and names[pack.labels[row]] == class_name
    )


def confirm(pack: Pack, row: int) -> None:
    """Remembers that the label of this picture is right. Raises NotAllowedError when the set is
    somebody else's: what is remembered holds for all who look at it."""
    _change(pack, row, pack.meta.class_names[pack.labels[row]])


def take_back(pack: Pack, row: int) -> None:
    """Forgets that somebody called the label of this picture right. Raises NotAllowedError."""
    _change(pack, row, None)


def _change(pack: Pack, row: int, class_name: str | None) -> None:
    require_dataset(pack.meta.dataset)
    file = home_folder("quality", _folder_of(pack)) / "confirmed.json"
    with FileLock(home_folder("locks") / f"{_folder_of(pack)}-confirmed.lock"):
        right = _read(pack)
        right.pop(row, None)
        if class_name is not None:
            right[row] = class_name
        with atomic_file(file) as temporary:
            temporary.write_text(json.dumps(right, ensure_ascii=False), encoding="utf-8")


def _folder_of(pack: Pack) -> str:
    return pack.meta.images_hash or pack.meta.content_hash


def _read(pack: Pack) -> dict[int, str]:
    file = home_folder("quality") / _folder_of(pack) / "confirmed.json"
    try:
        return {int(row): str(name) for row, name in json.loads(file.read_text("utf-8")).items()}
    except (OSError, ValueError, AttributeError):
        return {}  # none yet; one that is damaged is written anew
