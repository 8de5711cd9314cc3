"""A named collection that refuses duplicates and helps with misspelled names."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from lab.errors import NotFoundError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):  # 3.11 has no `class Registry[T]` yet
    """Names to entries, in the order of registration.

    Filled at import time by one thread; read by all threads afterwards.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register `entry`; raises ValueError when the name is taken (a programming error)."""
        if name in self._entries:
            raise ValueError(f"{self.kind} {name!r} is registered twice")
        self._entries[name] = entry
        return entry

    def get(self, name: str) -> T:
        """The entry; raises NotFoundError with the close names."""
        try:
            return self._entries[name]
        except KeyError:
            raise NotFoundError(unknown_name(self.kind, name, self._entries)) from None

    def names(self) -> tuple[str, ...]:
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __iter__(self) -> Iterator[T]:
        return iter(self._entries.values())

    def __len__(self) -> int:
        return len(self._entries)
