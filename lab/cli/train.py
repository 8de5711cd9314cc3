"""`train`: one run, its knobs from a file and from options."""

from __future__ import annotations

import argparse
from pathlib import Path

from lab.cli.reporter import run_reported
from lab.config import KNOBS, RunConfig, assignments
from lab.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--name", help="a name for the run")
    parser.add_argument("--json", action="store_true", help="one JSON object a line, an event each")
    add_knobs(parser)
    parser.set_defaults(perform=train)


def train(options: argparse.Namespace) -> int:
    from lab.training.plan import resolve

    config = resolve(config_from(options))
    return run_reported(config, name=options.name, as_json=options.json)


def add_knobs(parser: argparse.ArgumentParser) -> None:
    """Add the options that set knobs: one a knob, --config and --set; also for `find-rate`."""
    parser.add_argument(
        "--config", metavar="FILE", help="a YAML file of knobs, as a run exports it"
    )
    parser.add_argument(
        "--recipe",
        metavar="NAME",
        help="the knobs of a preset: documents (as in the source documents) or modern",
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KNOB=VALUE", help="set any knob; repeatable"
    )
    knobs = parser.add_argument_group(
        "knobs (the last word wins: --config, --recipe, then these, then --set)"
    )
    for knob in KNOBS.values():
        knobs.add_argument(
            "--" + knob.name.replace("_", "-"),
            dest=f"knob_{knob.name}",
            metavar="VALUE",
            help=knob.summary.replace("%", "%%"),
        )


def config_from(options: argparse.Namespace) -> RunConfig:
    """Returns the config from --config, --recipe, the knobs' own options and --set, in this order.

    Raises ConfigError; NotFoundError for a recipe or a data set that there is none of."""
    base = RunConfig()
    if options.config:
        try:
            base = RunConfig.from_yaml(Path(options.config).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or "it is not a text file"
            raise ConfigError(f"--config {options.config} cannot be read: {reason}.") from None
    texts = {name: text for name in KNOBS if (text := getattr(options, f"knob_{name}")) is not None}
    texts |= assignments(options.set)
    config = RunConfig.from_texts(texts, base)
    if options.recipe is None:
        return config
    from lab.experiments.starts import preset_knobs

    # What a recipe sets depends on the data set, the architecture and what is frozen.
    return RunConfig.from_texts(texts, config.changed(**preset_knobs(options.recipe, config)))
