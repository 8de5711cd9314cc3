"""What an endpoint of the HTTP API is: one piece of data.

Endpoint ──┬── serving.py    its route: limits, checks of what it is called with, errors as JSON
           ├── openapi.py    its entry in the OpenAPI document
           └── docs_page.py  its paragraph with examples on /api/docs
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from starlette.requests import Request

from lab.errors import ConfigError

Schema = Mapping[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 has it."""


@dataclass(frozen=True)
class Parameter:
    """A value in the path, the query or a header."""

    name: str
    about: str
    kind: Literal["string", "integer", "boolean"] = "string"
    where: Literal["query", "path", "header"] = "query"
    default: Any = None
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    many: bool = False
    """Whether it may come several times; its value is a tuple."""

    def read(self, texts: Sequence[str]) -> Any:
        """Returns the value of what a request brings. Raises ConfigError."""
        if self.many:
            return tuple(self._value(text) for text in texts)
        if len(texts) > 1:
            raise ConfigError(f"{self.name} is there {len(texts)} times; once is allowed.")
        return self._value(texts[0]) if texts else self.default

    def _value(self, text: str) -> Any:
        if self.kind == "boolean":
            if text not in ("true", "false"):
                raise ConfigError(f"{self.name} is {text!r:.80}; allowed are true and false.")
            return text == "true"
        if self.kind == "integer":
            low, high = self.minimum, self.maximum
            # Fifteen digits: what JSON's numbers and the database hold.
            number = int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1
            if number < (low or 0) or (high is not None and number > high):
                most = "" if high is None else f" to {high:,}"
                raise ConfigError(
                    f"{self.name} is {text!r:.80}; allowed are whole numbers from {low or 0}{most}."
                )
            return number
        if self.choices and text not in self.choices:
            choices = ", ".join(self.choices)
            raise ConfigError(f"{self.name} is {text!r:.80}; allowed are: {choices}.")
        return text

    def schema(self) -> dict[str, Any]:
        """Returns what it may be."""
        schema: dict[str, Any] = {"type": self.kind}
        if self.kind == "integer":
            schema["minimum"] = self.minimum or 0
        if self.maximum is not None:
            schema["maximum"] = self.maximum
        if self.choices:
            schema["enum"] = list(self.choices)
        if self.many:
            schema = {"type": "array", "items": schema}
        elif self.default is not None:
            schema["default"] = self.default
        return schema


@dataclass(frozen=True)
class Call:
    """One request that has passed the checks: `call["run"]` is the value of a parameter."""

    request: Request
    values: Mapping[str, Any]
    body: Mapping[str, Any] = field(default_factory=dict)
    """The JSON object that was sent, for an endpoint with a `body`."""

    def __getitem__(self, name: str) -> Any:
        return self.values[name]


@dataclass(frozen=True)
class Answer:
    """What comes back when all went well."""

    about: str
    schema: Schema = field(default_factory=dict)
    status: int = 200
    media_type: str = "application/json"


@dataclass(frozen=True)
class Body:
    """What has to be sent along."""

    about: str
    schema: Schema
    media_type: str = "application/json"
    """Of another type than JSON, `Endpoint.work` reads it from the request itself."""


@dataclass(frozen=True)
class Example:
    """How it is called: values of parameters by name, and the body."""

    values: Mapping[str, Any] = field(default_factory=dict)
    body: Any = None
    file: str = ""
    """The name of a file whose content is the body."""


@dataclass(frozen=True)
class Endpoint:
    """One thing that can be asked of the lab over HTTP."""

    method: Literal["GET", "POST"]
    path: str
    """Below /api, such as "/runs/{run}"."""
    summary: str
    description: str
    work: Callable[[Call], Any]
    """Returns plain JSON values or a Response; runs in a thread unless it is `async`. Raises
    LabError."""
    answer: Answer
    parameters: tuple[Parameter, ...] = ()
    body: Body | None = None
    example: Example = field(default_factory=Example)
    errors: tuple[int, ...] = ()
    """The statuses of refusals besides those that any request may meet."""
    group: str = "Runs"

    @property
    def operation(self) -> str:
        """A name for programs, such as "get-runs-history"."""
        words = [word for word in self.path.split("/") if word and "{" not in word]
        if self.path.endswith("}"):
            words.append("one")
        return "-".join([self.method.lower(), *words])

    @property
    def writes(self) -> bool:
        """Whether it changes something, and so needs the token."""
        return self.method != "GET"
