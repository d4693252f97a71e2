# SPDX-License-Identifier: Apache-2.0
"""The one way files are written: beside their place first, down to the disk, then into their place at once.

Whatever happens on the way, a full disk, Ctrl-C or a kill, the file that was there before stays as it was.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from solver_core.errors import ConfigError, system_error

UNFINISHED = ".solver_core-"  # how the name of a file begins that is being written, or goes with its process; a kill leaves it


def write_bytes(path: str | Path, content: bytes, what: str = "file") -> None:
    """Writes a file, or leaves what was there.

    path: a name in a folder that exists; a link is followed, and devices such as /dev/null are written to.
    what: what the error calls it.
    Raises ConfigError if it cannot be written there, ResourceError if the disk is full or fails.
    """
    with whole_file(path, what) as part:
        part.write_bytes(content)


def write_text(path: str | Path, text: str, what: str = "file") -> None:
    """write_bytes of a text in UTF-8."""
    write_bytes(path, text.encode(), what)


def append_line(path: str | Path, line: str, what: str = "log") -> None:
    """Adds a line to a file of lines, below what a kill or a full disk broke off.  Raises as write_bytes does."""
    with _told(path, what), Path(path).open("ab+") as file:
        if file.seek(0, os.SEEK_END) > 0:
            file.seek(-1, os.SEEK_END)
            line = line if file.read(1) == b"\n" else f"\n{line}"
        file.write(f"{line}\n".encode())


def make_folder(path: str | Path) -> None:
    """Makes a folder and those above it, unless it is there.  Raises as write_bytes does."""
    try:
        Path(path).mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise system_error(error, f"cannot make the folder {path}", ConfigError) from error


@contextmanager
def whole_file(path: str | Path, what: str = "file", check: Callable[[Path], None] | None = None) -> Iterator[Path]:
    """A path to write to, whose file takes the place of `path` when the block has ended without an error.

    It lies in the same folder and its name ends in the same way.  check: raises an error if the file is not whole, for
    writers that do not tell.  Raises as write_bytes does.
    """
    with _told(path, what):
        if Path(path).exists() and not (Path(path).is_file() or Path(path).is_dir()):
            yield Path(path)  # a device or a pipe: there is nothing to lose
            return
        place = Path(os.path.realpath(path))
        check_place(place, what)
        part = place.with_name(f"{UNFINISHED}{secrets.token_hex(4)}{place.suffix}")
        try:
            part.touch(exist_ok=False)
            if place.exists():
                part.chmod(place.stat().st_mode)
            yield part
            _to_disk(part)
            if check is not None:
                check(part)
            os.replace(part, place)
        finally:
            with suppress(OSError):  # it is gone where all went well
                part.unlink()
        if os.name == "posix":  # elsewhere a folder cannot be opened
            _to_disk(place.parent)


def remove_unfinished(folder: Path) -> None:
    """Removes unfinished files that a killed process left in a folder, which no process may be writing to now."""
    for part in folder.glob(f"{UNFINISHED}*"):
        part.unlink(missing_ok=True)


def check_place(path: Path, what: str = "file") -> None:
    """Raises ConfigError if a file cannot be written there, as far as that shows before it is."""
    with _told(path, what):
        place = Path(os.path.realpath(path))
        if place.is_dir():
            raise _failure(errno.EISDIR)
        if not place.parent.is_dir():
            raise _failure(errno.ENOENT)
        if not all(os.access(needed, os.W_OK) for needed in (place, place.parent) if needed.exists()):
            raise _failure(errno.EACCES)


def refuse_overwriting(outputs: Mapping[str, Path], inputs: Mapping[str, Path]) -> None:
    """Raises ConfigError if an output is the same file as an input or another output, whatever names and links it has.

    outputs, inputs: paths by what the user calls them, such as an option.
    """
    known = {file_identity(path): name for name, path in inputs.items()}
    for name, path in outputs.items():
        other = known.setdefault(file_identity(path), name)
        if other != name:
            raise ConfigError(f"{name} would overwrite {other}, as both are the file {path}; give another one")


def file_identity(path: Path) -> object:
    """The same for two paths exactly if they lead to the same file, which need not exist yet."""
    try:
        found = path.stat()
    except OSError:
        return os.path.normcase(os.path.realpath(path))
    return found.st_dev, found.st_ino


@contextmanager
def _told(path: str | Path, what: str) -> Iterator[None]:
    """Turns what the system says of a file that cannot be written into a sentence."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a name no file can have, a kind of picture nobody knows
        raise system_error(error, f"cannot write the {what} {path}", ConfigError) from error


def _failure(number: int) -> OSError:
    return OSError(number, os.strerror(number))


def _to_disk(path: Path) -> None:
    """Waits until a file, or the names in a folder, would outlast a loss of power.  Raises OSError if it got lost."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
