"""The commands, their options and what they exit with.

Exit status: 0 done, 1 the run (or one of several files) failed, 2 something asked for is not
possible (the sentence on standard error says why), 130 stopped by Ctrl-C, 141 nobody reads the
output any more.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence

from lab.config import KNOBS
from lab.errors import LabError

EXAMPLES = """examples:
  python -m lab train --dataset drawn-signs --architecture sign-cnn --epochs 3
  python -m lab train --dataset sign-mnist --architecture sign-cnn --set batch_size=256 --json
  python -m lab train --config run.yaml
  python -m lab find-rate --dataset sign-mnist --architecture sign-cnn --set batch_size=256
  python -m lab sweep grid.yaml --json
  python -m lab classify cat.jpg dog.png --run r-20261122-031911-e827
  python -m lab explain cat.jpg --run r-20261122-031911-e827 --layer last_conv --out why.png
  python -m lab datasets add cats-dogs ~/Downloads/cats_and_dogs.zip
  python -m lab recipes run sl-cnn --quick
"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m lab",
        description="Trainscope without a browser.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a network and test it")
    train.add_argument("--name", help="a name for the run")
    train.add_argument("--json", action="store_true", help="one JSON object a line, an event each")
    find_rate = commands.add_parser("find-rate", help="which learning rates move a network")
    find_rate.add_argument("--json", action="store_true", help="one JSON object")
    for action in (train, find_rate):
        _add_knobs(action)

    resume = commands.add_parser("resume", help="go on with a stopped or interrupted run")
    resume.add_argument("run", help="the run's id, as `runs` lists it")
    resume.add_argument("--json", action="store_true", help="one JSON object a line")

    runs = commands.add_parser("runs", help="list the runs")
    runs.add_argument("--json", action="store_true", help="one JSON object a line, a run each")

    sweep = commands.add_parser("sweep", help="train a grid, a random draw or a halving")
    sweep.add_argument(
        "what",
        metavar="FILE.yaml",
        help="a sweep as YAML, a stock sweep's name, or the id of a stopped sweep to go on with",
    )
    sweep.add_argument("--quick", action="store_true", help="a stock sweep in its quick size")
    sweep.add_argument("--json", action="store_true", help="one JSON object a line, a run each")

    classify = commands.add_parser("classify", help="ask a trained network about pictures")
    classify.add_argument("images", nargs="+", metavar="IMAGE", help="a JPEG, PNG or WebP file")
    classify.add_argument("--top", type=int, default=5, help="classes to name; default 5")
    classify.add_argument(
        "--familiarity",
        action="store_true",
        help="measure once what the training pictures look like, to tell what is unlike them",
    )

    explain = commands.add_parser("explain", help="show where a trained network looks")
    explain.add_argument("image", metavar="IMAGE", help="a JPEG, PNG or WebP file")
    explain.add_argument(
        "--layer", metavar="NAME", help="a stage or convolution; default: the architecture's own"
    )
    explain.add_argument(
        "--method", default="grad-cam", help="grad-cam, grad-cam++, layercam, hirescam, eigen-cam"
    )
    explain.add_argument(
        "--target", metavar="CLASS", help="what speaks for this class; default: the predicted one"
    )
    explain.add_argument(
        "--strength", type=float, default=0.6, help="of the colours, from 0 to 1; default 0.6"
    )
    explain.add_argument(
        "--out", required=True, metavar="FILE.png", help="where to write; replaces an older file"
    )
    for action in (classify, explain):
        action.add_argument("--run", required=True, metavar="ID", help="a run's id, or its start")
        action.add_argument(
            "--checkpoint", default="best", help="best (default), last or a kept epoch-0005"
        )
        action.add_argument(
            "--crop", metavar="X,Y,SIDE", help="use a square part: its centre and side as shares"
        )
        action.add_argument("--json", action="store_true", help="one JSON object a line")

    datasets = commands.add_parser("datasets", help="list, show, add, download, remove data sets")
    actions = datasets.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all data sets and whether they are here")
    show = actions.add_parser("show", help="one data set in detail")
    show.add_argument("name")
    add = actions.add_parser("add", help="add a folder or a zip")
    add.add_argument("name", help="sign-mnist, cats-dogs, or a new name for your own images")
    add.add_argument("path", help="a folder or a zip file")
    add.add_argument("--title", help="a title for your own images")
    add.add_argument("--image-size", type=int, help="side of the stored squares, in pixels")
    add.add_argument(
        "--fit",
        choices=("stretch", "crop"),
        default="stretch",
        help="how an image becomes a square",
    )
    download = actions.add_parser("download", help="fetch a public data set over the internet")
    download.add_argument("name", help="sign-mnist, cats-dogs or cats-dogs-filtered")
    remove = actions.add_parser("remove", help="delete a data set from this machine")
    remove.add_argument("name")
    prepare = actions.add_parser("prepare", help="draw the built-in data sets now")
    for action in (listing, show, add, download):
        action.add_argument("--json", action="store_true", help="machine-readable output")
    prepare.set_defaults(json=False)
    remove.set_defaults(json=False)

    _add_recipes(commands)
    return parser


def _add_recipes(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    recipes = commands.add_parser("recipes", help="the documents' experiments: list, run")
    actions = recipes.add_subparsers(dest="action", required=True, metavar="ACTION")
    listing = actions.add_parser("list", help="all recipes, what they take and what is reported")
    running = actions.add_parser("run", help="train all runs of one recipe, one after the other")
    running.add_argument("id", help="as `list` names it, such as sl-cnn")
    running.add_argument("--quick", action="store_true", help="fewer, smaller pictures and epochs")
    running.add_argument(
        "--only", action="append", default=[], metavar="KEY", help="only this run of it; repeatable"
    )
    running.add_argument("--dataset", metavar="NAME", help="another data set than the document's")
    running.add_argument("--network", metavar="NAME", help="which of the recipe's networks")
    measuring = actions.add_parser("measure", help="time the networks here, for time estimates")
    actions.add_parser("report", help="what was run in full size, as a Markdown page")
    for action in (listing, running, measuring):
        action.add_argument("--json", action="store_true", help="one JSON object a line")


def _add_knobs(parser: argparse.ArgumentParser) -> None:
    """Every knob as an option, a file of them, and --set."""
    parser.add_argument(
        "--config", metavar="FILE", help="a YAML file of knobs, as a run exports it"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="KNOB=VALUE", help="set any knob; repeatable"
    )
    knobs = parser.add_argument_group(
        "knobs (the last word wins: --config, then these, then --set)"
    )
    for knob in KNOBS.values():
        knobs.add_argument(
            "--" + knob.name.replace("_", "-"),
            dest=f"knob_{knob.name}",
            metavar="VALUE",
            help=f"{knob.title}: {knob.allowed}; default {knob.default!r}".replace("%", "%%"),
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    options = build_parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    try:
        if options.command == "datasets":
            from lab.cli.datasets import run
        elif options.command == "classify":
            from lab.cli.classify import run
        elif options.command == "explain":
            from lab.cli.explain import run
        elif options.command == "sweep":
            from lab.cli.sweep import run
        elif options.command == "recipes":
            from lab.cli.recipes import run
        elif options.command == "find-rate":
            from lab.cli.find_rate import run
        else:
            from lab.cli.train import run
        status = run(options)
        sys.stdout.flush()  # here, where a reader that has gone is known
        return status
    except LabError as error:
        print(error, file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Stopped.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader has seen enough, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nor complain at the exit
        return 141  # as a shell says of a program that SIGPIPE ended
