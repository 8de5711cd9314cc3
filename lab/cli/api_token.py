"""`api-token`: the token that programs send to change something over HTTP."""

from __future__ import annotations

import argparse
import json

from lab.api.guard import api_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="one JSON object")
    parser.set_defaults(perform=print_token)


def print_token(options: argparse.Namespace) -> int:
    print(json.dumps({"token": api_token()}) if options.json else api_token())
    return 0
