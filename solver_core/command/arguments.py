# SPDX-License-Identifier: Apache-2.0
"""Flags of the command line for the options of a problem."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from solver_core.command.console import Suggesting, positive_number
from solver_core.errors import ConfigError
from solver_core.options import Option, Options, options_of
from solver_core.shards import Shard
from solver_core.workers import Places

OptionsT = TypeVar("OptionsT", bound=Options)


def add_options(parser: argparse.ArgumentParser, cls: type[Options]) -> None:
    """Adds a flag for each option: --restarts N, or --refine and --no-refine for what is on or off."""
    group = parser.add_argument_group("options")
    for one in options_of(cls):
        flag, words = f"--{one.name.replace('_', '-')}", one.sentence.replace("%", "%%")
        if one.kind is bool:
            group.add_argument(flag, dest=one.name, action=argparse.BooleanOptionalAction, default=one.default, help=words)
        else:
            metavar = "|".join(one.words.choices) or {int: "N", float: "X", str: "TEXT", Path: "FILE"}[one.kind]
            group.add_argument(
                flag,
                dest=one.name,
                type=Suggesting([*one.words.choices, *one.words.named], _reader(one)),
                default=one.default,
                metavar=metavar,
                help=words,
            )


def options_from(args: argparse.Namespace, cls: type[OptionsT]) -> OptionsT:
    """The options that the flags say."""
    return cls(**{one.name: getattr(args, one.name) for one in options_of(cls)})


def add_places(group: Any, things: str) -> None:
    """Adds the flags that say where things, such as masks or cases, are worked on."""
    group.add_argument("--jobs", type=positive_number, default=1, metavar="N", help=f"{things} at a time (default: 1)")
    group.add_argument(
        "--cluster",
        metavar="ADDRESS",
        help="of a Dask scheduler, or its file: its workers do it, and see the same files",
    )


def add_shard(group: Any) -> None:
    """Adds the flag for commands that solve a folder together."""
    group.add_argument(
        "--shard", type=Shard.parse, metavar="I/N", help="every Nth from the Ith on; N commands solve a folder together"
    )


def places_of(args: argparse.Namespace) -> Places:
    """Where the flags say.  Raises ConfigError if they contradict each other."""
    if args.cluster is not None and args.jobs > 1:
        raise ConfigError("--jobs is for this machine, and --cluster for others; give one of them")
    return Places(args.jobs, args.cluster)


def _reader(one: Option) -> Callable[[str], Any]:
    """Turns a flag's text into the option's value, or complains in the words of the option."""

    def read(text: str) -> Any:
        try:
            value = one.kind(text)
        except (ValueError, OverflowError):
            value = text  # checked below, which says what was needed
        try:
            return one.checked(value)
        except ConfigError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return read
