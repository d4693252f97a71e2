# SPDX-License-Identifier: Apache-2.0
"""Reading files: whatever goes wrong, the user gets one sentence with the file and the reason.

A reader checks how much a file claims to hold before it makes room for it.  The limits are far above real work, and
`without_limits` lifts them for files that are trusted.
"""

from __future__ import annotations

import itertools
import json
import pickle
import re
import stat
import tomllib
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import IO, Any

import numpy as np

from solver_core.errors import (
    MissingDependency,
    OverwritingError,
    ResourceError,
    SetupError,
    SolverError,
    plain_line,
    system_error,
)
from solver_core.optional import needed_for
from solver_core.writing import file_identity

MAX_TEXT_BYTES = 64 * 2**20  # of JSON: a job of ten thousand tasks has 10 MB
MAX_RECIPE_BYTES = 2**20  # of TOML: a recipe with the paths of ten thousand clips
MAX_YAML_BYTES = 2**18  # a calibration with all of its views; the parser takes a second for ten thousand words
MAX_NESTING = 32  # levels of JSON and TOML; our own files have up to 6
MAX_ARCHIVE_BYTES = 4 * 2**30  # of the arrays of an npz, unpacked: 200,000 frames of 500 points take 2.4 GB
LONGEST_REASON = 300  # characters of what a library says

# What takes tomllib a time that grows with the square of its length: a.b.c.d and so on.
_CHAIN = re.compile(rf"""(?<![\w-])(?:(?:[\w-]++|"[^"\n]*+"|'[^'\n]*+')[ \t]*+\.[ \t]*+){{{MAX_NESTING}}}""")

# What JSON may say of half a letter, which no file's name and no other file can hold.
_HALF_LETTER, _HALF = re.compile(r"\\u[dD][89a-fA-F]"), re.compile("[\ud800-\udfff]")

_has_limits: ContextVar[bool] = ContextVar("has_limits", default=True)


@contextmanager
def without_limits() -> Iterator[None]:
    """While active, files are read however much they hold, as long as the memory lasts."""
    token = _has_limits.set(False)
    try:
        yield
    finally:
        _has_limits.reset(token)


_outputs: ContextVar[Mapping[object, str] | None] = ContextVar("outputs", default=None)  # what files are called, by identity


@contextmanager
def outputs_not_read(outputs: Mapping[str, Path]) -> Iterator[None]:
    """While active, `reading` refuses the files that will be written, so that none is an input that nobody named.

    outputs: paths by what the user calls them, such as an option.
    """
    token = _outputs.set({file_identity(path): name for name, path in outputs.items()})
    try:
        yield
    finally:
        _outputs.reset(token)


def check_no_output(path: Path) -> None:
    """Raises OverwritingError if a file that is an input will be written, as `outputs_not_read` says."""
    outputs = _outputs.get()
    name = outputs.get(file_identity(path)) if outputs else None
    if name is not None:
        raise OverwritingError(f"{name} would overwrite {path}, which is an input; give another file")


def check_count(count: int, limit: int, what: str) -> None:
    """Refuses what a file claims to hold, unless `without_limits` is active.

    Args:
        count: what it claims.
        limit: the most that is read.
        what: that is counted, for the sentence.

    Raises:
        ValueError: which `reading` turns into an error that names the file.
    """
    if count > limit and _has_limits.get():
        raise ValueError(f"it has {count:,} {what}, more than the {limit:,} that are read; --no-limits lifts this limit")


@contextmanager
def reading(path: str | Path, what: str, error: type[SolverError] = SetupError) -> Iterator[None]:
    """While active, whatever goes wrong becomes an error that names the file.

    A SolverError stays what it is, and gets the file's name where it lacks it.  What the machine lacks is a ResourceError.

    Args:
        path: of the file.
        what: kind of thing that it should be, for the sentence.
        error: the kind of SolverError that is raised.
    """
    try:
        check_regular(Path(path))
        check_no_output(Path(path))
        yield
    except (MissingDependency, ResourceError):
        raise
    except SolverError as known:
        sentence = plain_line(str(known) if str(path) in str(known) else f"cannot use the {what} {path}: {known}")
        if sentence == str(known):
            raise
        raise type(known)(sentence) from known
    except (MemoryError, OSError) as known:
        raise system_error(known, f"cannot read the {what} {path}", error) from known
    except RecursionError as known:
        raise error(f"cannot read the {what} {path}: it is nested too deeply") from known
    except UnicodeDecodeError as known:
        raise error(f"cannot read the {what} {path}: it is no text in UTF-8") from known
    except Exception as unknown:  # the parsers of meshes and images let through whatever hits them
        raise error(f"cannot read the {what} {path}: {_reason(unknown)}") from unknown


def read_bytes(path: str | Path, limit: int) -> bytes:
    """Content of a file of at most so many bytes.  To be called inside of `reading`."""
    with Path(path).open("rb") as file:
        check_count(Path(path).stat().st_size, limit, "bytes")
        return file.read()


def read_json(path: str | Path, what: str, error: type[SolverError] = SetupError) -> Any:
    """Content of a JSON file.  Raises an `error` that names the file and what it should have been."""
    with reading(path, f"{what} file", error):
        text = read_bytes(path, MAX_TEXT_BYTES).decode("utf-8-sig")  # some editors of Windows begin with a mark
        content = _parsed(json.loads, text, f"the {what} file {path} is not valid JSON", error)
        if _HALF_LETTER.search(text) and _HALF.search(json.dumps(content, ensure_ascii=False)):
            raise error(f"the {what} file {path} is not valid JSON: \\ud800 to \\udfff stand for halves of letters")
        return content


def read_toml(path: str | Path, what: str, error: type[SolverError] = SetupError) -> dict[str, Any]:
    """Content of a TOML file.  Raises an `error` that names the file and what it should have been."""
    with reading(path, what, error):
        text = read_bytes(path, MAX_RECIPE_BYTES).decode()
        if _CHAIN.search(text):
            raise RecursionError
        return _parsed(tomllib.loads, text, f"the {what} {path} is not valid TOML", error)


def read_yaml(path: str | Path) -> Any:
    """Content of a YAML file.  To be called inside of `reading`."""
    with needed_for("reading files in YAML", extra="cli"):
        import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):  # a few lines of them stand for billions
                raise ValueError("references, *name, are not read")
            return super().compose_node(parent, index)

    text = read_bytes(path, MAX_YAML_BYTES).decode("utf-8-sig")
    depths = itertools.accumulate(1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", text))
    if max(depths, default=0) > MAX_NESTING:  # the parser would take a time that grows with the square of the depth
        raise RecursionError
    lines = [line for line in text.splitlines() if not line.startswith("%YAML")]  # OpenCV writes 1.0, which YAML has not
    content = yaml.load("\n".join(lines).replace("!!opencv-matrix", ""), Loader)
    _check_nesting(content)
    return content


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """The arrays of an npz file.  To be called inside of `reading`."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        entries = [entry for entry in archive.infolist() if entry.filename.endswith(".npy")]
        check_count(sum(entry.file_size for entry in entries), MAX_ARCHIVE_BYTES, "bytes")
        for entry in entries:
            if entry.compress_size > Path(path).stat().st_size:  # room would be made for it
                raise ValueError(f"the array {entry.filename} is damaged")
            with archive.open(entry) as file:
                arrays[entry.filename.removesuffix(".npy")] = _read_array(file, entry.file_size, entry.filename)
    return arrays


def read_array(path: str | Path) -> np.ndarray | dict[str, np.ndarray]:
    """The array of a npy file, or the arrays of a dictionary that was saved as one.  To be called inside of `reading`.

    Of what is pickled in the file nothing but arrays, numbers and texts comes to be: no code of others runs.
    """
    with Path(path).open("rb") as file:
        size = Path(path).stat().st_size
        check_count(size, MAX_ARCHIVE_BYTES, "bytes")
        if not _is_pickled(file):
            return _read_array(file, size, Path(path).name)
        try:
            content = _ArrayUnpickler(file).load()
        except MemoryError as error:  # room is made for whatever a pickle claims to hold
            raise ValueError("it claims to hold more than the memory can") from error
        content = content.item() if isinstance(content, np.ndarray) and content.shape == () else content
        if not isinstance(content, dict):
            raise ValueError("it holds objects, no array of numbers")
        return {str(key): np.asarray(value) for key, value in content.items() if isinstance(value, (np.ndarray, float, int))}


class _ArrayUnpickler(pickle.Unpickler):
    """Knows what numpy arrays are made of, and refuses everything else."""

    def find_class(self, module: str, name: str) -> Any:
        place = (module.replace("numpy._core", "numpy.core"), name)
        if place in _OF_ARRAYS:
            return _OF_ARRAYS[place]
        raise ValueError(f"it holds a {module}.{name}, which is no array")


_ARRAY = "an array"  # stands for the class, which a file could call to make room for billions of numbers


def _empty(kind: object, shape: tuple[int, ...], code: bytes) -> np.ndarray:
    """What NumPy pickles for an array, before its content: one without room for anything."""
    if kind is not _ARRAY or shape != (0,):
        raise ValueError("an array in it is damaged")
    return np.empty(0, np.int8)


_OF_ARRAYS = {
    ("numpy.core.multiarray", "_reconstruct"): _empty,
    ("numpy.core.multiarray", "scalar"): np.float64(0).__reduce__()[0],  # where it lies depends on the version
    ("numpy", "ndarray"): _ARRAY,
    ("numpy", "dtype"): np.dtype,
}


def _is_pickled(file: IO[bytes]) -> bool:
    """Whether a npy file holds objects; it is then at their beginning, else at its own."""
    _, _, dtype = _read_header(file)
    if not dtype.hasobject:
        file.seek(0)
    return dtype.hasobject


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(file)
    read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    return read_header[version](file)


def _read_array(file: IO[bytes], size: int, name: str) -> np.ndarray:
    """An array of a file of so many bytes, for which room is made only if they can hold it."""
    shape, is_fortran, dtype = _read_header(file)
    count = int(np.prod(shape, dtype=object))
    if dtype.hasobject or count * dtype.itemsize > size or count < 0:
        raise ValueError(f"the array {name} is damaged")
    values = np.frombuffer(bytearray(file.read(count * dtype.itemsize)), dtype, count)
    return values.reshape(shape, order="F" if is_fortran else "C")


def numbers(value: object, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Float64 array of this shape from lists of JSON, in which true and "1" are no numbers.

    Raises ValueError, to be called inside of `reading`.
    """

    def is_fitting(value: object, shape: tuple[int, ...]) -> bool:
        if not shape:
            return isinstance(value, (int, float)) and not isinstance(value, bool)
        return isinstance(value, list) and len(value) == shape[0] and all(is_fitting(part, shape[1:]) for part in value)

    if not is_fitting(value, shape):
        raise ValueError(f"{what} must be {' x '.join(map(str, shape))} numbers")
    return np.array(value, dtype=np.float64)


def check_regular(path: Path) -> None:
    """Raises OSError or ValueError for what cannot be read from start to end: a folder, a device, a pipe, nothing."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(None, "it is a folder")
    if not stat.S_ISREG(mode):
        raise ValueError("it is no file, but a device or a pipe")


def _parsed(parse: Callable[[str], Any], text: str, complaint: str, error: type[SolverError]) -> Any:
    """Content of a text; an `error` with the complaint and the parser's reason if it is not what it should be."""
    try:
        content = parse(text)
    except ValueError as reason:
        raise error(f"{complaint}: {reason}") from reason
    _check_nesting(content)
    return content


def _check_nesting(content: object) -> None:
    """Raises RecursionError for what others could not walk through."""
    level = [content]
    for _ in range(MAX_NESTING):
        level = [
            child
            for parent in level
            if isinstance(parent, (dict, list))
            for child in (parent.values() if isinstance(parent, dict) else parent)
        ]
        if not level:
            return
    raise RecursionError


def _reason(error: Exception) -> str:
    """What a library says, as one line."""
    said = plain_line(" ".join(str(error).split()), LONGEST_REASON)
    if isinstance(error, ValueError) and said:  # the way parsers speak to people
        return said
    return f"it is damaged ({type(error).__name__}{': ' if said else ''}{said})"
