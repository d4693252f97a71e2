# SPDX-License-Identifier: Apache-2.0
"""The sentences a user can act on.  Everything raised for input from outside derives from SolverError."""

import errno
import reprlib

# What the system says when the machine, not the input, is at fault.
OUT_OF_RESOURCES = frozenset(
    getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EIO", "EMFILE", "ENFILE", "ENOMEM", "EROFS") if hasattr(errno, name)
)

LONGEST_SENTENCE = 1000  # characters; a name in a file may have a million


class SolverError(Exception):
    """Something given from outside cannot be used; the message says what was needed, what came and what to do."""


class ObservationError(SolverError):
    """The image, mask or target positions cannot be used."""


class SetupError(SolverError):
    """The mesh, camera, skeleton or start cannot be used."""


class WeightsError(SolverError):
    """A weights file is missing, damaged or made for something else."""


class ConfigError(SolverError):
    """A configuration, an option or a data folder cannot be used."""


class OverwritingError(ConfigError):
    """A file that is to be written is one that is read."""


class ResourceError(SolverError):
    """The machine lacks what the work takes: room on a disk, memory, open files."""


class MissingDependency(SolverError):
    """An optional package is needed for what was asked; the message names the extra that brings it."""


def system_error(error: Exception, what: str, otherwise: type[SolverError]) -> SolverError:
    """What to raise for an error of the system or of a library: a ResourceError, or `otherwise` where the input is at fault.

    what: what could not be done, which begins the sentence.
    """
    is_machine = isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno in OUT_OF_RESOURCES)
    reason = getattr(error, "strerror", None) or str(error) or ("out of memory" if is_machine else type(error).__name__)
    return (ResourceError if is_machine else otherwise)(f"{what}: {reason}")


def plain_line(text: str, longest: int = LONGEST_SENTENCE) -> str:
    """A text as one line without what would move a cursor, cut where nobody would read on."""
    text = text if len(text) <= longest else f"{text[:longest]}..."
    return "".join(letter if letter.isprintable() else " " if letter.isspace() else ascii(letter)[1:-1] for letter in text)


def shown(value: object) -> str:
    """A value from outside as part of a sentence: short, on one line."""
    shape = getattr(value, "shape", ())
    return f"an array of shape {shape}" if shape else plain_line(" ".join(reprlib.repr(value).split()), 100)
