"""What commands say: results as JSON on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from solver_core.errors import ConfigError
from solver_core.optional import needed_for
from solver_core.reading import MAX_TEXT_BYTES, read_bytes, reading
from solver_core.solution import Verdict
from solver_core.writing import check_place, refuse_overwriting, write_text

if TYPE_CHECKING:
    from rich.progress import TaskID


def print_result(content: dict[str, Any], path: Path | None = None) -> None:
    """Prints a result and, if a path is given, writes the same there.  Raises ConfigError if it cannot be written."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    sys.stdout.write(text)
    if path is not None:
        write_text(path, text, "result")


def conclude(verdict: Verdict, explanation: str) -> int:
    """Exit code of a solve: 0 for a good result, else 1 after a note on why it is not."""
    if verdict is Verdict.GOOD:
        return 0
    print_note(f"{verdict.value}: {explanation}")
    return 1


def read_text(path: Path) -> str:
    """What a file that will be written holds so far; nothing if it is not there.  Raises ConfigError if it is no text."""
    if not path.exists():
        return ""
    with reading(path, "file to add to", ConfigError):
        return read_bytes(path, MAX_TEXT_BYTES).decode()


class Output(argparse.Action):
    """An option that names a file to write.  args.outputs holds those given, so that they are checked before any work."""

    def __call__(self, parser: object, namespace: argparse.Namespace, value: Any, option: str | None = None) -> None:
        path = Path(value)
        setattr(namespace, self.dest, path)
        namespace.outputs = {**getattr(namespace, "outputs", {}), self.option_strings[0]: path}


def check_outputs(args: argparse.Namespace) -> None:
    """Raises ConfigError if a file cannot be written where the command line wants it, or would overwrite an input."""
    outputs = getattr(args, "outputs", {})
    inputs: dict[str, Path] = {}
    for name, value in vars(args).items():
        paths = [path for path in (value if isinstance(value, list) else [value]) if isinstance(path, Path)]
        option = f"--{name.replace('_', '-')}"
        if option not in outputs:
            inputs |= {option if len(paths) == 1 else f"{option} {path}": path for path in paths}
    refuse_overwriting(outputs, inputs)
    for option, path in outputs.items():
        check_place(path, f"file of {option}")


def natural_number(text: str) -> int:
    """A whole number from 0 on, as the type of an option."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"must be a whole number from 0 on, got {text!r}")
    return int(text)


def print_note(sentence: str) -> None:
    """A sentence for the person in front of the screen."""
    sys.stderr.write(f"solver_core: {sentence}\n")


def show_log() -> None:
    """Shows what the library logs, progress of a training run for example."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """A line that moves while the block runs; call what it gives to change the words after the title."""
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
    with Console(stderr=True).status(title) as status:
        yield lambda words: status.update(f"{title}: {words}")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars that fill while the block runs; call what it gives with a label, how much is done, and how much there is."""
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True)) as bars:
        known: dict[str, TaskID] = {}

        def show(label: str, done: int, total: int) -> None:
            if label not in known:
                known[label] = bars.add_task(label, total=total)
            bars.update(known[label], completed=done)

        yield show
