# SPDX-License-Identifier: Apache-2.0
"""What every case of a fuzzer is held to: a time, a memory, one sentence."""

from __future__ import annotations

import contextlib
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

from solver_core.errors import ResourceError, SolverError

LONGEST_SENTENCE = 1500
SECONDS = 20  # of work that a case of a few hundred bytes may take
WAITING = 300  # seconds from its start to its end, for what waits without working, on however busy a machine
ROOM = 2**30  # bytes that it may take beside what the process has


class Hang(BaseException):
    """A case took too long; no Exception, which readers turn into sentences."""


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Ends what takes too long or too much memory with an error; to be used in the main thread."""

    def give_up(number: int, frame: object) -> None:
        raise Hang(f"it took more than {SECONDS} seconds of work, or {WAITING} seconds")

    handlers = {number: signal.signal(number, give_up) for number in (signal.SIGPROF, signal.SIGALRM)}
    limits = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (now + ROOM, limits[1]))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    signal.setitimer(signal.ITIMER_REAL, WAITING)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_REAL, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def one_sentence(error: SolverError, path: Path | None = None) -> None:
    """Asserts that an error is one sentence that names the file and does not blame the machine."""
    said = str(error)
    assert not isinstance(error, ResourceError), said
    assert 0 < len(said) <= LONGEST_SENTENCE, said[:LONGEST_SENTENCE]
    assert "\n" not in said, said
    assert path is None or path.name in said, said
