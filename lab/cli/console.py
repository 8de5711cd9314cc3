"""Where commands print what people read."""

from __future__ import annotations

import rich.console


class Console(rich.console.Console):
    """Rich's console, but a reader that has gone (`| head`) is no failed run: the error comes
    through to `main`, as that of a plain print does."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError
