# SPDX-License-Identifier: Apache-2.0
"""Scripts that let a shell complete command lines, written from the parsers themselves."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

SHELLS = ("bash", "zsh", "fish")


class Words(NamedTuple):
    """What may follow some words.

    path: commands given so far.  commands: those, or values, that may come next.  options: with their dashes, and the values
    of each, of which there are none where it takes a file or a number; None where nothing follows it.
    """

    path: tuple[str, ...]
    commands: list[str]
    options: dict[str, list[str] | None]


def script(parser: argparse.ArgumentParser, shell: str) -> str:
    """A script for one of SHELLS, which completes commands, options and their choices, and file names elsewhere."""
    tree = list(_walk(parser, ()))
    return _fish(tree, parser.prog) if shell == "fish" else _bash(tree, parser.prog, shell == "zsh")


def _walk(parser: argparse.ArgumentParser, path: tuple[str, ...]) -> Iterator[Words]:
    commands: dict[str, argparse.ArgumentParser] = {}
    values: list[str] = []
    options: dict[str, list[str] | None] = {}
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            commands |= action.choices
        elif action.option_strings:
            options |= dict.fromkeys(action.option_strings, None if action.nargs == 0 else _values(action))
        else:
            values += _values(action)
    yield Words(path, [*commands, *values], options)
    for name, below in commands.items():
        yield from _walk(below, (*path, name))


def _values(action: argparse.Action) -> list[str]:
    return list(map(str, action.choices or getattr(action.type, "values", ())))


def _bash(tree: list[Words], program: str, is_zsh: bool) -> str:
    function = f"_{program}"
    known = "|".join(f'"{" ".join(("", *words.path))}"' for words in tree if words.path)
    chosen = [
        f'    "{" ".join(("", *words.path))} {option}") COMPREPLY=($(compgen -W "{" ".join(values)}" -- "$current")); return ;;'
        for words in tree
        for option, values in words.options.items()
        if values is not None
    ]
    listed = [
        f'    "{" ".join(("", *words.path))}") commands="{" ".join(words.commands)}" options="{" ".join(words.options)}" ;;'
        for words in tree
    ]
    lines = [
        *(["autoload -U +X bashcompinit && bashcompinit"] if is_zsh else []),
        f"{function}() {{",
        '  local current="${COMP_WORDS[COMP_CWORD]}" last="${COMP_WORDS[COMP_CWORD-1]}"',
        '  local word="" path="" commands="" options=""',
        '  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do',
        f'    case "$path $word" in {known}) path="$path $word" ;; esac',
        "  done",
        '  case "$path $last" in',
        *chosen,
        "  esac",
        '  case "$path" in',
        *listed,
        "  esac",
        '  if [[ "$current" == -* ]]; then commands="$options"; fi',
        '  COMPREPLY=($(compgen -W "$commands" -- "$current"))',
        "}",
        f"complete -o default -F {function} {program}",
    ]
    return "\n".join(lines) + "\n"


def _fish(tree: list[Words], program: str) -> str:
    lines = []
    for words in tree:
        seen = [f"__fish_seen_subcommand_from {name}" for name in words.path]
        if words.commands:
            unseen = [f"not __fish_seen_subcommand_from {' '.join(words.commands)}"]
            lines.append(f'complete -c {program} -f -n "{"; and ".join(seen + unseen)}" -a "{" ".join(words.commands)}"')
        where = f' -n "{"; and ".join(seen)}"' if seen else ""
        for option, values in words.options.items():
            flag = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            follows = "" if values is None else f' -x -a "{" ".join(values)}"' if values else " -r"
            lines.append(f"complete -c {program}{where} {flag}{follows}")
    return "\n".join(lines) + "\n"
