# SPDX-License-Identifier: Apache-2.0
"""`solver_core evaluate`: how well weights and options do on a folder of cases whose answers are known.

A problem's evaluate.py lists the cases of a folder and measures one; reading a list of cases, counting and the table are here.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

import numpy as np

from solver_core.command import console
from solver_core.command.arguments import options_from, places_of
from solver_core.command.parser import Parser
from solver_core.errors import ConfigError, OverwritingError, SolverError
from solver_core.options import Options
from solver_core.reading import outputs_not_read, read_json
from solver_core.solution import Verdict
from solver_core.workers import results
from solver_core.writing import write_text

CASES = "cases.json"  # lists the cases of a folder
COLUMNS = ("mean", "median", "p95", "worst")


class Measured(NamedTuple):
    """One solve against the truth.  errors: by name with unit.  verdict: of the solve on its own answer.  seconds it took."""

    errors: dict[str, float]
    verdict: Verdict
    seconds: float


class Case(NamedTuple):
    """measure: solves the case; raises SolverError if its files cannot be used."""

    name: str
    measure: Callable[[], Measured]


def run(args: argparse.Namespace, cases: Callable[[Path, Any], list[Case]], kind: type[Options]) -> int:
    """Measures the cases of a folder, prints a table and writes the report; 1 if some case could not be measured.

    cases: lists those of a folder for options of the given kind.
    Raises ConfigError if there are none, or the report would overwrite one of the folder's files.
    """
    options = options_from(args, kind)
    if args.json is not None:
        _check_report(args.json, args.data)
    listed = cases(args.data, options)
    found: dict[int, Measured | str] = {}
    manner = (args.debug, args.quiet, args.verbose)
    with console.progress_bars() as show:
        show("cases", 0, len(listed))
        for number, result in results(_measure, listed, places_of(args), "give fewer --jobs", console.prepare, manner):
            found[number] = result
            if isinstance(result, str):
                console.print_note(f"{listed[number].name} is left out: {result}")
            show("cases", len(found), len(listed))
    by_name = {case.name: found[number] for number, case in enumerate(listed)}
    measured = {name: result for name, result in by_name.items() if isinstance(result, Measured)}
    refused = {name: result for name, result in by_name.items() if isinstance(result, str)}
    report = _report(args.problem, options, measured, refused)
    if args.json is not None:
        write_text(args.json, json.dumps(report, indent=2, allow_nan=False) + "\n", "report")
    console.print_out(_table(report))
    return 1 if refused else 0


def _measure(case: Case) -> Measured | str:
    """What a case gives, or why it cannot be measured."""
    try:
        return case.measure()
    except OverwritingError:
        raise
    except SolverError as error:
        return str(error)


def _check_report(path: Path, folder: Path) -> None:
    """Raises OverwritingError if the report would overwrite a file in the folder of cases that is no earlier report."""
    if not path.resolve().is_relative_to(folder.resolve()) or not path.exists():
        return
    with outputs_not_read({}):
        try:
            before = read_json(path, "report", ConfigError)
        except ConfigError:
            before = None
    if not isinstance(before, dict) or not {"problem", "cases"} <= before.keys():
        raise OverwritingError(f"--json would overwrite {path}, a file of the data that is no report; give another file")


def listed_cases(
    folder: Path, add_inputs: Callable[[argparse.ArgumentParser], Any], observation: str, answer: str
) -> list[tuple[str, argparse.Namespace, Any]]:
    """The name, the parsed inputs and the true answer of each case that a folder's cases.json lists.

    Args:
        folder: the paths in the list start there.
        add_inputs: adds the flags that say what `solve` reads; the keys of a case are these, without their dashes.
        observation: the key of the file that is solved; a case without the key "name" is called by it.
        answer: the key of the true answer.

    Raises:
        ConfigError: if there is no such list, or a case holds what is not known.
    """
    path = folder / CASES
    if not path.is_file():
        raise ConfigError(f"{folder} holds no {CASES}, a list of cases such as [{{'{observation}': FILE, '{answer}': [...]}}]")
    content = read_json(path, "list of cases", ConfigError)
    if not isinstance(content, list) or not content or not all(isinstance(case, dict) for case in content):
        raise ConfigError(f"{path} must hold a list of cases, each an object with the keys '{observation}' and '{answer}'")
    found, names = [], Counter[str]()
    for number, case in enumerate(content):
        name = str(case.get("name", case.get(observation, number)))
        names[name] += 1
        name = name if names[name] == 1 else f"{name} ({names[name]})"
        if answer not in case:
            raise ConfigError(f"{path}, {name}: the true answer '{answer}' is missing")
        parser = _CaseParser(f"{path}, {name}")
        add_inputs(parser)
        inputs = parser.parse_args(_flags({key: value for key, value in case.items() if key not in ("name", answer)}))
        for key, value in vars(inputs).items():
            setattr(inputs, key, _below(folder, value))
        found.append((name, inputs, case[answer]))
    return found


class _CaseParser(Parser):
    """Raises ConfigError instead of ending the process."""

    def __init__(self, where: str) -> None:
        super().__init__(prog=where, allow_abbrev=False)

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{self.prog}: {message}")


def _flags(case: dict[str, Any]) -> list[str]:
    """The command line that says the same."""
    flags = []
    for key, value in case.items():
        flag = f"--{key.replace('_', '-')}"
        if value is True:
            flags.append(flag)
        elif isinstance(value, list):
            flags += [flag, *map(str, value)]
        elif value is not False and value is not None:
            flags.append(f"{flag}={value}")
    return flags


def _below(folder: Path, value: Any) -> Any:
    """Paths as they are named from the folder; everything else as it is."""
    if isinstance(value, list):
        return [_below(folder, one) for one in value]
    return folder / value if isinstance(value, Path) else value


def _report(problem: str, options: Options, measured: dict[str, Measured], refused: dict[str, str]) -> dict[str, Any]:
    """What --json writes; errors over all cases, and over those of each verdict."""
    groups = {"all": measured} | {
        verdict.value: {name: one for name, one in measured.items() if one.verdict is verdict} for verdict in Verdict
    }
    return {
        "problem": problem,
        "options": {
            key: str(value) if isinstance(value, Path) else value for key, value in dataclasses.asdict(options).items()
        },
        "median_seconds": float(np.median([one.seconds for one in measured.values()])) if measured else None,
        "count": {group: len(members) for group, members in groups.items()},
        "errors": {group: _statistics(members) for group, members in groups.items() if members},
        "cases": {
            name: {**one.errors, "verdict": one.verdict.value, "seconds": round(one.seconds, 4)}
            for name, one in measured.items()
        },
        "refused": refused,
    }


def _statistics(measured: dict[str, Measured]) -> dict[str, dict[str, Any]]:
    """Mean, median, 95th percentile and worst case of each error."""
    names, found = list(measured), {}
    for error in next(iter(measured.values())).errors:
        values = np.array([one.errors[error] for one in measured.values()])
        found[error] = {
            "mean": float(values.mean()),
            "median": float(np.median(values)),
            "p95": float(np.percentile(values, 95)),
            "worst": float(values.max()),
            "worst_case": names[int(values.argmax())],
        }
    return found


def _table(report: dict[str, Any]) -> str:
    """The report for a terminal: a line for each error over all cases and, where the verdicts differ, over those of each."""
    count, refused = report["count"], len(report["refused"])
    verdicts = ", ".join(f"{count[verdict.value]} {verdict.value}" for verdict in Verdict)
    lines = [f"{count['all']} of {count['all'] + refused} cases measured: {verdicts}"]
    if count["all"]:
        lines[0] += f"; median {report['median_seconds']:.3g} s a solve"
        lines.append(f"{'error':18}{'verdict':>10}{'cases':>7}" + "".join(f"{key:>10}" for key in COLUMNS) + "  worst case")
    groups = [group for group in report["errors"] if group == "all" or count[group] < count["all"]]
    for error in report["errors"].get("all", ()):
        for group in groups:
            found = report["errors"][group][error]
            numbers = "".join(f"{found[key]:>10.4g}" for key in COLUMNS)
            name = error if group == "all" else ""
            lines.append(f"{name:18}{group:>10}{count[group]:>7}{numbers}  {found['worst_case']}")
    return "\n".join(lines) + "\n"
