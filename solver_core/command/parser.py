# SPDX-License-Identifier: Apache-2.0
"""Parsing a command line and running it.

Exit code 0: solved.  1: solved but poor, the reason is on stderr.  2: wrong input, one sentence on stderr.  3: the machine
lacks something, such as room on the disk, or the fault is ours.  130: interrupted.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

from solver_core.command import console
from solver_core.reading import without_limits

COMMON_FLAGS = ("--debug", "--no-limits", "--quiet", "--verbose")


class Parser(argparse.ArgumentParser):
    """Takes an example for the end of the help, and complains in one sentence."""

    def __init__(self, *, example: str = "", **options: Any) -> None:
        epilog = f"example:\n  {example}" if example else None
        super().__init__(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        for flag in COMMON_FLAGS:  # anywhere on the line
            self.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def format_help(self) -> str:
        """The help, whose first line names what must be given; what may be is below."""
        either = [action for group in self._mutually_exclusive_groups if group.required for action in group._group_actions]
        needed = [action for action in self._actions if action.required or not action.option_strings or action in either]
        formatter = self._get_formatter()
        formatter.add_usage(None, needed, self._mutually_exclusive_groups)
        usage = formatter.format_help().strip().removeprefix("usage: ")
        may_be_given = any(action not in needed and action.help != argparse.SUPPRESS for action in self._actions[1:])
        self.usage = usage.replace("%", "%%") + (" [options]" if may_be_given else "")
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        self.exit(console.WRONG_INPUT, f"{message}; try {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            console.print_note(message)
        sys.exit(status)

    def _print_message(self, message: str, file: object = None) -> None:
        console.print_out(message)


def run_command(make_parser: Callable[[], Parser], arguments: list[str] | None = None) -> int:
    """Exit code of a command line (default: the process's own), whose parser gives the function to call as `run`."""
    is_debugging = False
    try:
        parser = make_parser()
        parser.set_defaults(debug=False, no_limits=False, quiet=False, verbose=False)
        args = parser.parse_args(arguments)
        is_debugging = args.debug
        console.prepare(is_debugging, args.quiet, args.verbose)
        console.require_memory()
        with console.checked_outputs(args), without_limits() if args.no_limits else nullcontext():
            return args.run(args)
    except KeyboardInterrupt:
        console.print_note("interrupted")
        return console.INTERRUPTED
    except Exception as error:
        if is_debugging:
            raise
        sentence, code = console.fault(error)
        console.print_note(sentence)
        return code
