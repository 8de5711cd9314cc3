"""`python -m lab.notebook.reference` prints docs/reference.md, made from docstrings."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from typing import Any

from lab import notebook
from lab.evaluate.bulk import FileAnswer
from lab.evaluate.compare import PairedTest, PairVerdict
from lab.export.exporting import Export

HEAD = """# Reference: the lab from Python

Made from the docstrings by `python -m lab.notebook.reference`; the stable surface of
`lab.notebook`. [tutorial.ipynb](tutorial.ipynb) walks through it. Settings are the knobs of
`RunConfig`: `epochlab train --help` lists them.
"""

RETURNED = (FileAnswer, PairVerdict, PairedTest, Export)
"""What methods return beside the surface's own classes."""


def reference() -> str:
    """Returns the whole page as Markdown."""
    functions = [each for each in _surface() if inspect.isfunction(each)]
    classes = [each for each in _surface() if isinstance(each, type) and _is_own(each)]
    parts = [HEAD, "## Functions\n", *map(_function, functions)]
    parts += ["## Classes\n", *map(_class, classes)]
    parts += ["## What they return\n", *map(_class, RETURNED)]
    return "\n".join(parts)


def _surface() -> Iterator[Any]:
    for name in notebook.__all__:
        yield getattr(notebook, name)


def _is_own(kind: type) -> bool:
    return kind.__module__.startswith("lab.notebook.")


def _function(function: Any, *, heading: str = "###") -> str:
    return f"{heading} `{function.__name__}{_signature(function)}`\n\n{_text(function)}\n"


def _class(kind: type) -> str:
    parts = [f"### `{kind.__name__}`\n\n{_text(kind)}\n"]
    comments = _attribute_comments(kind)
    for each in dataclasses.fields(kind):
        about = f": {comments[each.name]}" if each.name in comments else ""
        parts.append(f"- `{each.name}`{about}")
    for name, value in vars(kind).items():
        if isinstance(value, property) and not name.startswith("_"):
            parts.append(f"- `{name}`: {' '.join(_text(value).split())}")
    parts.append("")
    for name, value in vars(kind).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            parts.append(_function(value, heading="####"))
    return "\n".join(parts)


def _attribute_comments(kind: type) -> dict[str, str]:
    """Returns the texts below a dataclass's fields, on one line each."""
    pattern = r'^    (\w+): [^\n]+\n    """(.*?)"""'
    texts = re.findall(pattern, inspect.getsource(kind), re.MULTILINE | re.DOTALL)
    return {name: " ".join(text.split()) for name, text in texts}


def _signature(function: Any) -> str:
    """Returns the parameters as they are written, without `self` and modules' paths."""
    signature = inspect.signature(function)
    parameters = [
        each.replace(annotation=_Plain(each.annotation))
        for each in signature.parameters.values()
        if each.name != "self"
    ]
    returned = _Plain(signature.return_annotation)
    return str(signature.replace(parameters=parameters, return_annotation=returned))


class _Plain(str):
    """An annotation as it is written."""

    def __repr__(self) -> str:
        return self


def _text(thing: Any) -> str:
    return inspect.getdoc(thing) or ""


if __name__ == "__main__":
    print(reference(), end="")
