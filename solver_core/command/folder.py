# SPDX-License-Identifier: Apache-2.0
"""Solves all files of a folder: one record each, on several cores, going on where a killed run was."""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from solver_core.command import console
from solver_core.command.arguments import places_of
from solver_core.errors import ConfigError, SolverError
from solver_core.reading import reading, without_limits
from solver_core.shards import writing_to
from solver_core.solution import Verdict
from solver_core.workers import results
from solver_core.writing import check_place, make_folder, refuse_overwriting, remove_unfinished, write_text

STATUS = {Verdict.GOOD: "done", Verdict.DOUBTFUL: "doubtful", Verdict.BAD: "failed"}


class Words(NamedTuple):
    """What the files are called, in records and sentences: "clip" and, where another file comes of each, "motion"."""

    source: str
    product: str = ""


@dataclass(frozen=True)
class Task:
    """A file to solve, the record of what came out, and what else is written.

    follows: the record of the task before, where the result depends on that.
    """

    source: Path
    record: Path
    product: Path | None = None
    follows: Path | None = None


Solve = Callable[[Task], dict[str, Any]]


def require_for_many(args: argparse.Namespace, words: Words, sources: Path, of_one: Sequence[str]) -> None:
    """Raises ConfigError if a flag is given that belongs to one source, or if the folder for what is written is not."""
    given = [name for name in of_one if getattr(args, name) is not None]
    if given:
        raise ConfigError(f"--{given[0].replace('_', '-')} belongs to one {words.source}, and {sources} is several")
    if args.out is None:
        raise ConfigError(f"{sources} is several {words.source}s; give --out, a folder for their results")


def tasks_of(
    sources: Sequence[Path], out: Path, words: Words, inputs: Mapping[str, Path], kind: str = "", is_series: bool = False
) -> list[Task]:
    """The tasks of files whose records, and products of a kind such as ".bvh", go to a folder `out`.

    inputs: other files, by their options.  is_series: whether each follows the one before.
    Raises ConfigError if something would be overwritten.
    """
    written = _written(out, words)
    sources = [path for path in sources if path.name not in written or not _is_in(path, out)]
    if not sources:
        raise ConfigError(f"all that is in {out} was written by an earlier run; give another --out")
    stems = [path.stem for path in sources]
    names = [path.stem if stems.count(path.stem) == 1 else path.name for path in sources]
    records = [out / f"{name}.json" for name in names]
    products = [out / f"{name}{kind}" if words.product else None for name in names]
    before = [None, *records[:-1]] if is_series else [None] * len(records)
    tasks = [Task(*files) for files in zip(sources, records, products, before, strict=True)]
    make_folder(out)
    outputs = {f"the record of {task.source.name}": task.record for task in tasks}
    outputs |= {f"the {words.product} of {task.source.name}": task.product for task in tasks if task.product is not None}
    for what, place in outputs.items():
        check_place(place, what.removeprefix("the "))
    refuse_overwriting(outputs, {**inputs, **{f"the {words.source} {path.name}": path for path in sources}})
    for task in tasks:
        others = [task.record] if task.record.exists() and not _is_begun(task, words) else []
        product = task.product
        if product is not None and product.exists() and product.name not in written and not _is_begun(task, words):
            others.append(product)
        if others:
            raise ConfigError(f"{others[0]} is there, and no run has written it; give another folder as --out")
    return tasks


def _is_begun(task: Task, words: Words) -> bool:
    """Whether there is a record, which is written before the product; another shard may have begun since they were listed."""
    return _read_record(task.record, words) is not None


def _written(out: Path, words: Words) -> set[str]:
    """Names of the files in a folder that an earlier run wrote."""
    records = {path: record for path in out.glob("*.json") if (record := _read_record(path, words)) is not None}
    return {path.name for path in records} | {str(record.get(words.product)) for record in records.values()}


def _is_in(path: Path, folder: Path) -> bool:
    return path.parent.resolve() == folder.resolve()


def run_tasks(
    tasks: Sequence[Task], solve: Solve, words: Words, args: argparse.Namespace, inputs: Sequence[Path], settings: str
) -> int:
    """Prints a line of JSON a task as it ends; 0 if all of them are good, else 1.

    solve: gives the result of a task, with its "verdict", after it has written the product.  args: of the command, with out,
    jobs and shard.  inputs: other files, settings: what else the results depend on.  A task whose record is of the same files
    and settings, and whose product is there as it was, is skipped; its record says so.  Raises ConfigError for a missing input.
    """
    worst = 0
    fingerprint = _digest(inputs, settings)
    if args.shard is not None:
        tasks = args.shard.of(tasks)
    with writing_to(args.out, args.shard), console.progress_bars() as show:
        if args.shard is None:  # others may be writing there; what a kill left, a whole run removes
            remove_unfinished(args.out)
        for number, record in enumerate(_records(tasks, solve, words, args, fingerprint)):
            show(f"{words.source}s", number + 1, len(tasks))
            console.print_out(json.dumps(record) + "\n")
            if record.get("verdict") != Verdict.GOOD.value:
                why = record.get("error") or record.get("explanation", "")
                console.print_note(f"{record[words.source]}: {record['status']}. {why}")
                worst = 1
    return worst


def _records(
    tasks: Sequence[Task], solve: Solve, words: Words, args: argparse.Namespace, fingerprint: str
) -> Iterator[dict[str, Any]]:
    """The record of each task as it ends, some at a time in processes of their own, which say and read as this one does."""
    work = partial(_record_without_limits if args.no_limits else _record, solve=solve, words=words, shared=fingerprint)
    manner = (args.debug, args.quiet, args.verbose)
    for _, record in results(work, tasks, places_of(args), "give fewer --jobs", console.prepare, manner):
        yield record


def _record_without_limits(task: Task, **shared: Any) -> dict[str, Any]:
    with without_limits():
        return _record(task, **shared)


def _record(task: Task, solve: Solve, words: Words, shared: str) -> dict[str, Any]:
    """shared: fingerprint of what all tasks depend on."""
    record: dict[str, Any] = {words.source: task.source.name}
    if task.product is not None:
        record[words.product] = task.product.name
    try:
        before = {} if task.follows is None else {**(_read_record(task.follows, words) or {}), "seconds": None}
        fingerprint = _digest([task.source], shared + json.dumps(before))
        finished = _finished(task, words, fingerprint)
        if finished is not None:
            kept = {key: finished[key] for key in ("verdict", "explanation") if key in finished}
            return record | {"status": "skipped", **kept}
        if task.product is not None and not task.record.exists():  # so that a killed run's product is known as its own
            write_text(task.record, json.dumps(record | {"status": "unfinished"}) + "\n", "record")
        with console.about(task.source.name):
            result = solve(task)
        record |= {"status": STATUS[Verdict(result["verdict"])], **result, "fingerprint": fingerprint}
        if task.product is not None:
            record["sha256"] = _digest([task.product])
    except SolverError as error:
        record |= {"status": "failed", "error": str(error)}
    write_text(task.record, json.dumps(record, indent=2) + "\n", "record")
    return record


def _finished(task: Task, words: Words, fingerprint: str) -> dict[str, Any] | None:
    """The record of an earlier run of the same task, if that did not fail and its product is there as it was."""
    record = _read_record(task.record, words)
    if record is None or record.get("fingerprint") != fingerprint or record["status"] == "failed":
        return None
    is_there = task.product is None or (task.product.is_file() and record.get("sha256") == _digest([task.product]))
    return record if is_there and isinstance(record.get("verdict"), str) else None


def _read_record(path: Path, words: Words) -> dict[str, Any] | None:
    """A record that an earlier run wrote; None if there is none, or it is another file."""
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and {words.source, "status"} <= set(record) else None


def _digest(files: Sequence[Path], text: str = "") -> str:
    """Changes with the content of the files, or of the files in folders, and with the text.  Raises ConfigError."""
    digest = hashlib.sha256(text.encode())
    for path in files:
        for file in _parts(path):
            with reading(file, "file", ConfigError), file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _parts(path: Path) -> list[Path]:
    """The files of a folder, or a file with those that it may consist of."""
    if path.is_dir():
        return [file for file in sorted(path.iterdir()) if not file.is_dir()]
    return [path, *sorted(path.parent.glob("*.bin"))] if path.suffix.lower() == ".gltf" else [path]
