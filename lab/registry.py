"""Registry: a collection of named entries that refuses duplicates and suggests close names."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from typing import Generic, TypeVar

from lab.errors import NotFoundError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):  # 3.11 has no `class Registry[T]` yet
    """Entries by name, in the order of registration.

    Entries are added while modules are imported. Where those are other modules than the registry's
    own, `filled_by` names them in the order of registration: the first reader imports them, and a
    reader in another thread waits until that is done. Otherwise that thread would see half a
    registry, because Python returns a module that is imported even while its package is still
    importing the next one.
    """

    def __init__(self, kind: str, *, filled_by: Sequence[str] = ()) -> None:
        self.kind = kind
        self._filled_by = tuple(filled_by)
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; raises ValueError when the name is taken (a programming error)."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry called `name`; raises NotFoundError with the close names."""
        entries = self._filled()
        try:
            return entries[name]
        except KeyError:
            raise NotFoundError(unknown_name(self.kind, name, entries)) from None

    def names(self) -> tuple[str, ...]:
        return tuple(self._filled())

    def __contains__(self, name: object) -> bool:
        return name in self._filled()

    def __iter__(self) -> Iterator[T]:
        return iter(self._filled().values())

    def __len__(self) -> int:
        return len(self._filled())

    def _filled(self) -> dict[str, T]:
        for module in self._filled_by:
            importlib.import_module(module)  # waits while another thread imports it
        self._filled_by = ()
        return self._entries
