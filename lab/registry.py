"""Registry: a collection of named entries that refuses duplicates and suggests close names."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from typing import Generic, TypeVar

from lab.errors import LabError, NotFoundError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):  # 3.11 has no `class Registry[T]` yet
    """Entries by name, in the order of registration.

    Entries are added while modules are imported. Where those are other modules than the registry's
    own, `filled_by` names them in the order of registration: the first reader imports them, and a
    reader in another thread waits until that is done. Otherwise that thread would see half a
    registry, because Python returns a module that is imported even while its package is still
    importing the next one.

    Names that contain a mark such as "timm:" may have an entry without being listed: it is made
    when it is first asked for (see `make_names_with`).
    """

    def __init__(self, kind: str, *, filled_by: Sequence[str] = ()) -> None:
        self.kind = kind
        self._filled_by = tuple(filled_by)
        self._entries: dict[str, T] = {}
        self._makers: dict[str, Callable[[str], T]] = {}
        self._made: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; raises ValueError when the name is taken (a programming error)."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def make_names_with(self, mark: str, make: Callable[[str], T]) -> None:
        """Let `make(name)` make the entry of each name that contains `mark`. It raises LabError for
        a name of which there is none."""
        self._makers[mark] = make

    def get(self, name: str) -> T:
        """The entry called `name`; raises NotFoundError with the close names."""
        entries = self._filled()
        if name in entries:
            return entries[name]
        if name in self._made:
            return self._made[name]
        for mark, make in self._makers.items():
            if mark in name:
                return self._made.setdefault(name, make(name))
        raise NotFoundError(unknown_name(self.kind, name, entries))

    def names(self) -> tuple[str, ...]:
        return tuple(self._filled())

    def __contains__(self, name: object) -> bool:
        try:
            self.get(name)  # type: ignore[arg-type]  # anything else is not there
        except (LabError, TypeError):
            return False
        return True

    def __iter__(self) -> Iterator[T]:
        return iter(self._filled().values())

    def __len__(self) -> int:
        return len(self._filled())

    def _filled(self) -> dict[str, T]:
        for module in self._filled_by:
            importlib.import_module(module)  # waits while another thread imports it
        self._filled_by = ()
        return self._entries
