# SPDX-License-Identifier: Apache-2.0
"""Fuzzes for a while: python -m tests.hostile.fuzz [--inputs N] [--seconds S] [--seed N] [TARGET ...]

Each batch of inputs runs in a process of its own, so that a crash of a library is found as well.  The smallest input that
does harm is printed or, if it is a file, kept in tests/hostile/crashes, where `make test` tries it again ever after.
"""

from __future__ import annotations

import argparse
import hashlib
import multiprocessing
import os
import random
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, seed, settings

CRASHES = Path(__file__).parent / "crashes"
BATCH = 200
SECONDS_A_BATCH = 3600  # a case has a limit of its own; this one ends what hangs outside of Python


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="what to fuzz, such as mesh.obj or kernel (default: all)")
    parser.add_argument("--inputs", type=int, default=50_000, metavar="N", help="of all targets together (default 50,000)")
    parser.add_argument("--seconds", type=float, default=3600, metavar="S", help="time limit (default an hour)")
    parser.add_argument("--seed", type=int, default=None, metavar="N", help="of the inputs (default: another every time)")
    args = parser.parse_args()
    first_seed = random.SystemRandom().randrange(2**31) if args.seed is None else args.seed
    print(f"seed {first_seed}", flush=True)

    from .targets import TARGETS

    names = [name for name in TARGETS if not args.targets or any(name.startswith(wanted) for wanted in args.targets)]
    share = sum(TARGETS[name].share for name in names)
    wanted = {name: max(1, args.inputs * TARGETS[name].share // share) for name in names}
    tried, faults, started = dict.fromkeys(names, 0), [], time.monotonic()
    batch = 0
    while any(tried[name] < wanted[name] for name in names) and time.monotonic() - started < args.seconds:
        for name in (name for name in names if tried[name] < wanted[name]):
            batch += 1
            count = min(BATCH, wanted[name] - tried[name])
            fault = _run_batch(name, first_seed + batch, count)
            tried[name] += count
            print(f"{time.monotonic() - started:.0f} s: {name} {tried[name]}/{wanted[name]}", flush=True)
            if fault is not None:
                faults.append(fault)
                print(f"fault in {name}, seed {first_seed + batch}: {fault}", flush=True)
            if time.monotonic() - started > args.seconds:
                break
    print(
        f"{sum(tried.values())} inputs, {len(faults)} faults, {time.monotonic() - started:.0f} s: "
        + ", ".join(f"{name} {count}" for name, count in tried.items())
    )
    return int(bool(faults))


def _run_batch(name: str, number: int, count: int) -> str | None:
    """What went wrong in a batch, if anything did; its input is kept."""
    with tempfile.TemporaryDirectory() as folder:
        last = Path(folder, "last")
        process = multiprocessing.get_context("spawn").Process(target=_batch, args=(name, number, count, folder))
        process.start()
        process.join(SECONDS_A_BATCH)
        if process.exitcode is None:
            process.kill()
            process.join()
            what = f"more than {SECONDS_A_BATCH} seconds"
        elif process.exitcode == 0:
            return None
        else:
            said = Path(folder, "fault")
            what = said.read_text() if said.exists() else f"the process ended with code {process.exitcode}"
        content = last.read_bytes() if last.exists() else b""
        is_file = last.exists() and not Path(folder, "repr").exists()
    if not is_file:
        return f"{what}; input {content.decode()}"
    CRASHES.mkdir(exist_ok=True)
    kept = CRASHES / f"{name}-{hashlib.sha256(content).hexdigest()[:8]}"
    kept.write_bytes(content)
    return f"{what}; input in {kept}"


def _batch(name: str, number: int, count: int, folder: str) -> None:
    """Runs in a process: writes down every input before it is tried, and what went wrong last."""
    from .targets import TARGETS

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # what libraries and logs say of thousands of bad files
        os.dup2(nowhere, descriptor)
    target, place = TARGETS[name], Path(folder, "files")
    place.mkdir()

    @seed(number)
    @settings(max_examples=count, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(target.cases())
    def run(case: Any) -> None:
        is_file = isinstance(case, bytes)
        Path(folder, "last").write_bytes(case if is_file else repr(case).encode("utf-8", "backslashreplace"))
        if not is_file:
            Path(folder, "repr").touch()
        target.run(case, place)

    try:
        run()
    except BaseException as error:
        Path(folder, "fault").write_text(f"{type(error).__name__}: {str(error)[:300]}")
        sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
