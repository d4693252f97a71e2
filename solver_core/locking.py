# SPDX-License-Identifier: Apache-2.0
"""Folders that one process at a time writes to."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from solver_core.errors import ConfigError, system_error

LOCK_NAME = ".solver_core.lock"

logger = logging.getLogger(__name__)


@contextmanager
def sole_writer(folder: Path, name: str = LOCK_NAME) -> Iterator[None]:
    """Keeps other processes that ask for it out of a folder while the block runs.

    name: of the lock's file; those who write other files there have another one.

    The system itself holds the lock, so that one whose holder died, in whatever way, is free.
    Raises ConfigError, with who it is, if somebody else writes there, or if nobody can.
    """
    path = folder / name
    file = _locked(path)
    try:
        _sign(file)
        yield
    finally:
        with suppress(OSError):
            if os.name == "posix":  # while it is still ours; elsewhere an open file cannot be removed
                path.unlink()
        file.close()
        with suppress(OSError):
            if os.name != "posix":
                path.unlink()


@contextmanager
def one_of_many_writers(folder: Path) -> Iterator[None]:
    """Keeps a sole writer out of a folder while the block runs, but not others like this one.

    Their file stays, as others may hold it.  Where the system knows no shared locks (Windows), nobody is kept out.
    Raises ConfigError, with who it is, if a sole writer is there, or if nobody can write there.
    """
    if os.name != "posix":
        yield
        return
    file = _locked(folder / LOCK_NAME, is_shared=True)
    try:
        _sign(file)
        yield
    finally:
        file.close()


def _sign(file: BinaryIO) -> None:
    """Writes who holds a lock into its file."""
    with suppress(OSError):  # on a full disk it is locked all the same
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}".encode())
        file.flush()


def _locked(path: Path, is_shared: bool = False) -> BinaryIO:
    """The lock's file, locked.  Raises ConfigError."""
    while True:
        try:
            file = path.open("ab+")
        except OSError as error:
            raise system_error(error, f"cannot write to the folder {path.parent}", ConfigError) from error
        try:
            is_free = _lock(file, is_shared)
        except OSError as error:  # a network's folder that knows no locks
            logger.warning("the folder %s cannot be locked (%s); let no other process write there", path.parent, error.strerror)
            return file
        if not is_free:
            file.seek(0)
            holder = file.read(200).decode("utf-8", "replace") or "another process"
            file.close()
            raise ConfigError(f"{holder} is writing to the folder {path.parent}; wait for its end, or take another folder")
        with suppress(OSError):
            if os.path.samestat(path.stat(), os.fstat(file.fileno())):
                return file
        file.close()  # who had it before removed the file between our two looks at it


def _lock(file: BinaryIO, is_shared: bool) -> bool:
    """Whether the file was free, and now is ours.  Raises OSError where there are no locks."""
    try:
        if os.name == "posix":
            import fcntl

            fcntl.flock(file, (fcntl.LOCK_SH if is_shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        else:
            import msvcrt

            file.seek(1 << 30)  # a byte beyond the name of the holder, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES, errno.EDEADLK):
            return False
        raise
    return True
