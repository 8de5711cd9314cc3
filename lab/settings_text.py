"""Settings as text, YAML or JSON, into plain values: what is too long, too deep or nonsense is
refused in one sentence before it costs time or memory."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import yaml

from lab.errors import ConfigError

LONGEST = 40_000
"""Characters; the settings of the largest sweep have a quarter of it."""
DEEPEST = 10


class _Loader(yaml.SafeLoader):
    """Plain values without aliases, of which nine lines can unfold to gigabytes."""

    depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise ConfigError("The settings use a YAML alias (*name); write each value out.")
        self.depth += 1
        if self.depth > DEEPEST:
            raise ConfigError(f"The settings are nested more than {DEEPEST} levels deep.")
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


def read_yaml(text: str) -> dict[str, Any]:
    """Returns the mapping that a YAML text holds. Raises ConfigError."""
    _check_length(text)
    try:
        return _mapping(yaml.load(text, Loader=_Loader))
    # Besides its own errors, YAML lets through those of int(), date() and base64.
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"The settings are not valid YAML: {reason[:300]}") from None


def read_json(text: str) -> dict[str, Any]:
    """Returns the mapping that a JSON text holds. Raises ConfigError."""
    _check_length(text)
    try:
        return _mapping(json.loads(text))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"The settings are not valid JSON: {str(error)[:300]}.") from None


def _check_length(text: str) -> None:
    if len(text) > LONGEST:
        raise ConfigError(
            f"The settings have {len(text):,} characters; at most {LONGEST:,} are read."
        )


def _mapping(values: Any) -> dict[str, Any]:
    if not isinstance(values, Mapping):
        raise ConfigError(
            "The settings must be lines of 'knob: value', for example 'batch_size: 64'."
        )
    return {str(name): value for name, value in values.items()}
