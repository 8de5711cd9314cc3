"""Labels that a person has looked at and called right, so that they are not suspected again.

LAB_HOME/quality/<images hash>/confirmed.json: row -> class name. They hold for these very pixels
and that class: once the picture gets another label, it can be suspected again.
"""

from __future__ import annotations

import json

from filelock import FileLock

from lab.data.access import require_dataset
from lab.data.pack import Pack
from lab.errors import DataError
from lab.home import atomic_file, home_folder
from lab.seal import read_sealed, seal


def confirmed(pack: Pack) -> frozenset[int]:
    """Returns the rows whose present label a person has called right. Raises DataError where the
    file with them cannot be read."""
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
            sealed = seal({str(row): name for row, name in right.items()})
            temporary.write_text(json.dumps(sealed, ensure_ascii=False), encoding="utf-8")


def _folder_of(pack: Pack) -> str:
    return pack.meta.images_hash or pack.meta.content_hash


def _read(pack: Pack) -> dict[int, str]:
    file = home_folder("quality") / _folder_of(pack) / "confirmed.json"
    try:
        values = read_sealed(file)
        return {int(row): str(name) for row, name in values.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise DataError(
            f"The labels that people called right are in {file}, which cannot be read: {error}. "
            "Put its copy of a backup there, or delete it to begin anew."
        ) from error
