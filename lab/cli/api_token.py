"""`api-token`: the token that programs send to change something over HTTP."""

from __future__ import annotations

import argparse

from lab.api.guard import api_token


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(perform=print_token)


def print_token(options: argparse.Namespace) -> int:
    print(api_token())
    return 0
