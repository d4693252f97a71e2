# SPDX-License-Identifier: Apache-2.0
"""What commands say: results as JSON on stdout, everything else on stderr."""

from __future__ import annotations

import argparse
import errno
import io
import json
import logging
import mmap
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from solver_core.errors import OUT_OF_RESOURCES, ConfigError, ResourceError, SolverError, plain_line, system_error
from solver_core.optional import needed_for
from solver_core.reading import MAX_TEXT_BYTES, outputs_not_read, read_bytes, reading
from solver_core.solution import Verdict
from solver_core.writing import check_place, refuse_overwriting, write_text

if TYPE_CHECKING:
    from rich.progress import TaskID

WRONG_INPUT, OUR_FAULT = 2, 3  # exit codes
# What the system says of a name that cannot be used, such as that of a folder that nobody may look into.
OF_A_NAME = (errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ELOOP, errno.ENAMETOOLONG)
INTERRUPTED = 130  # 128 + SIGINT, as shells have it
FIRST_BYTES = 128 * 2**20  # twice what OpenBLAS and the arrays of a small solve take
BUFFERED_SIDE = 256  # of a matrix whose product needs OpenBLAS's buffer of 32 MB; small ones do without


def print_result(content: dict[str, Any], path: Path | None = None) -> None:
    """Writes a result to the given path, if any, and prints it.  Raises ConfigError or ResourceError if it cannot."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    if path is not None:
        write_text(path, text, "result")
    print_out(text)


def print_out(text: str) -> None:
    """Prints to stdout, all of it now.  Raises ResourceError if stdout is closed, full or has lost its reader."""
    try:
        if sys.stdout is None:  # Python's word for a descriptor that was closed when it started
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        sys.stdout.write(text)
        sys.stdout.flush()
    except (OSError, ValueError) as error:
        _drop_stdout()
        raise ResourceError(f"cannot print to stdout: {getattr(error, 'strerror', None) or error}") from error


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
    with outputs_not_read({}), reading(path, "file to add to", ConfigError):
        return read_bytes(path, MAX_TEXT_BYTES).decode()


# What the names of files may end in, by what their options call them.
ENDINGS = {
    "JSON": (".json",),
    "NPZ": (".npz",),
    "PNG": (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff"),
    "MASK": (".png", ".tif", ".tiff", ".bmp"),
    "GIF": (".gif",),
    "MARKDOWN": (".md",),
    "HDR": (".hdr", ".exr"),
}


class Output(argparse.Action):
    """An option that names a file to write, whose metavar is a key of ENDINGS.

    args.outputs holds those given and args.endings what their names may end in, so that they are checked before any work.
    """

    def __call__(self, parser: object, namespace: argparse.Namespace, value: Any, option: str | None = None) -> None:
        path = Path(value)
        setattr(namespace, self.dest, path)
        name_output(namespace, self.option_strings[0], path, ENDINGS[str(self.metavar)])


def name_output(args: argparse.Namespace, option: str, path: Path, endings: tuple[str, ...] = ()) -> None:
    """Adds a file to write to those that checked_outputs checks.  endings: what its name may end in; none = anything."""
    args.outputs = {**getattr(args, "outputs", {}), option: path}
    args.endings = {**getattr(args, "endings", {}), option: endings}


@contextmanager
def checked_outputs(args: argparse.Namespace) -> Iterator[None]:
    """While active, no file is read that the command line wants written.

    Raises ConfigError if one cannot be written there, would overwrite an input that the command line names, or has a name that
    ends in another kind of file.
    """
    outputs = getattr(args, "outputs", {})
    inputs: dict[str, Path] = {}
    for name, value in vars(args).items():
        paths = _paths_in(value)
        option = f"--{name.replace('_', '-')}"
        if option not in outputs:
            inputs |= {option if len(paths) == 1 else f"{option} {path}": path for path in paths}
    refuse_overwriting(outputs, inputs)
    for option, path in outputs.items():
        check_place(path, f"file of {option}")
        endings = getattr(args, "endings", {}).get(option)
        is_device = path.exists() and not path.is_file()  # such as /dev/null
        if endings and not is_device and path.suffix.lower() not in endings:
            raise ConfigError(f"the name of {option} must end in {', '.join(endings)}, got {path.name!r}")
    with outputs_not_read(outputs):
        yield


def _paths_in(value: Any) -> list[Path]:
    """The paths that an option's value holds, at any depth."""
    if isinstance(value, list | tuple):
        return [path for part in value for path in _paths_in(part)]
    return [value] if isinstance(value, Path) else []


def natural_number(text: str) -> int:
    """A whole number from 0 on, as the type of an option."""
    return _whole_number(text, 0)


def positive_number(text: str) -> int:
    """A whole number from 1 on, as the type of an option."""
    return _whole_number(text, 1)


def _whole_number(text: str, minimum: int) -> int:
    if not text.isdecimal() or int(text) < minimum:
        raise argparse.ArgumentTypeError(f"must be a whole number from {minimum} on, got {text!r}")
    return int(text)


def fraction(text: str) -> float:
    """A number from 0 to 1, as the type of an option."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"must be a number from 0 to 1, got {text!r}")
    return number


class Suggesting:
    """The type of an option that takes these values, which shells offer, and others."""

    def __init__(self, values: Iterable[str], read: Callable[[str], Any] = str) -> None:
        self.values, self.read = list(values), read

    def __call__(self, text: str) -> Any:
        return self.read(text)


def print_remark(sentence: str) -> None:
    """A note that --quiet leaves out."""
    if not _manner.is_quiet:
        print_note(sentence)


def print_step(words: str) -> None:
    """What a step came to, which --verbose shows on a line of its own."""
    if _manner.is_verbose:
        print_note(words)


def print_note(sentence: str) -> None:
    """A sentence on stderr, if there is one."""
    with suppress(OSError, ValueError, AttributeError):  # closed, full, or None
        sys.stderr.write(f"solver_core: {plain_line(_manner.about + sentence)}\n")
        sys.stderr.flush()


class _Manner(NamedTuple):
    """How much is said beside results and errors."""

    is_quiet: bool = False
    is_verbose: bool = False
    about: str = ""  # which of several files all sentences are about


_manner = _Manner()


@contextmanager
def about(name: str) -> Iterator[None]:
    """While active, sentences begin with the name of the file that they are about."""
    global _manner
    before = _manner
    _manner = before._replace(about=f"{name}: ")
    try:
        yield
    finally:
        _manner = before


def is_watched() -> bool:
    """Whether somebody at a terminal wants to see bars that fill."""
    return not _manner.is_quiet and sys.stderr is not None and sys.stderr.isatty()


def prepare(is_debugging: bool, is_quiet: bool, is_verbose: bool) -> None:
    """Shows what the library logs, such as progress of a training run, and lets every text be printed everywhere.

    is_quiet: nothing but warnings and errors is said.  is_verbose: every step is, on a line of its own.
    """
    global _manner
    _manner = _Manner(is_quiet, is_verbose)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # what the terminal has no letter for
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(message)s")
    logging.getLogger("solver_core").setLevel(logging.WARNING if is_quiet else logging.DEBUG if is_verbose else logging.INFO)
    logging.raiseExceptions = is_debugging  # a log that cannot be shown stops nobody
    if not is_debugging:
        warnings.simplefilter("ignore")  # they are for developers


def require_memory() -> None:
    """Raises ResourceError if there is no memory to begin with.

    NumPy's linear algebra waits for ever for a buffer that it cannot get; once it has one it keeps it.
    """
    try:
        mmap.mmap(-1, FIRST_BYTES).close()
    except OSError as error:
        raise system_error(error, "there is too little memory", ResourceError) from error
    square = np.ones((BUFFERED_SIDE, BUFFERED_SIDE))
    np.matmul(square, square)


def fault(error: Exception) -> tuple[str, int]:
    """The sentence that an error is told in, and the exit code: WRONG_INPUT, or OUR_FAULT, which is the machine's too."""
    if isinstance(error, ResourceError):
        return str(error), OUR_FAULT
    if isinstance(error, SolverError):
        return str(error), WRONG_INPUT
    is_system = isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES
    if is_system or isinstance(error, MemoryError) or str(error) == "can't start new thread":  # a RuntimeError of Python's
        return str(system_error(error, "the machine lacks what this takes", ResourceError)), OUR_FAULT
    if isinstance(error, OSError) and error.errno in OF_A_NAME and error.filename is not None:
        return str(system_error(error, f"cannot use {error.filename}", ConfigError)), WRONG_INPUT
    said = f"{type(error).__name__}: {error}".removesuffix(": ")
    return f"this is a fault of solver_core itself ({said}); add --debug to see where, and report it", OUR_FAULT


def _drop_stdout() -> None:
    """Nothing is written to stdout any more: Python would try once more at its end, and complain in its own words."""
    with suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


@contextmanager
def progress(title: str) -> Iterator[Callable[[str], None]]:
    """A line that moves while the block runs; call what it gives to change the words after the title.

    --verbose makes lines that stay of it, --quiet none.
    """
    if _manner.is_quiet or _manner.is_verbose:
        yield lambda words: print_remark(f"{title}: {words}")
        return
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
    with Console(stderr=True).status(title) as status:
        yield lambda words: status.update(f"{title}: {words}")


@contextmanager
def progress_bars() -> Iterator[Callable[[str, int, int], None]]:
    """Bars that fill while the block runs; call what it gives with a label, how much is done, and how much there is.

    Where nobody watches, the calls do nothing.
    """
    if not is_watched():
        yield lambda label, done, total: None
        return
    with needed_for("showing progress", extra="cli"):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    # A stdout that is no terminal gets the results: rich would print them beside the bars.
    is_shared = sys.stdout is not None and sys.stdout.isatty()
    with Progress(*columns, console=Console(stderr=True), redirect_stdout=is_shared) as bars:
        known: dict[str, TaskID] = {}

        def show(label: str, done: int, total: int) -> None:
            if label not in known:
                known[label] = bars.add_task(label, total=total)
            bars.update(known[label], completed=done)

        yield show
