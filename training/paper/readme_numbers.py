# SPDX-License-Identifier: Apache-2.0
"""Checks that the numbers in README.md are those of training/RESULTS.md: `make readme-numbers`.

With --write it puts the measured numbers into the README instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from solver_core.command.console import print_note
from solver_core.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
Cells = dict[str, str]


class Claim(NamedTuple):
    """A row of a table in README.md.

    label: its first cell.  table: how its table is called in RESULTS.md, up to the colon.  where: cells of the row there
    that tell it from the others.  say: the other cells in README.md, from the numbers of that row.
    """

    label: str
    table: str
    where: Cells
    say: Callable[[dict[str, float]], str]


def _pose(n: dict[str, float]) -> str:
    return (
        f"{n['rotation_mean_deg']:.2f}° / {n['rotation_median_deg']:.2f}° | "
        f"{n['translation_mean']:.4f} / {n['translation_median']:.4f} | {n['outliers_percent']:.1f} % | {n['median_ms']:.0f} ms"
    )


def _of_pose(view: str, method: str) -> Cells:
    return {"view": view, "categories": "nine", "method": method}


def _joints(n: dict[str, float]) -> str:
    return f"{n['position_mean_cm']:.3f} / {n['position_median_cm']:.3f} cm | {n['rotation_mean_deg']:.2f}°"


def _refined_joints(n: dict[str, float]) -> str:
    return f"{_below(n['position_mean_cm'], '0.0001')} cm | {n['rotation_mean_deg']:.2f}°"


def _of_light(light: str, method: str) -> Cells:
    return {"light": light, "strength": "known", "method": method}


def _light(n: dict[str, float]) -> str:
    return f"{n['squared_mean']:.4f} / {n['squared_median']:.5f} | {n['outliers_percent']:.1f} % | {n['angle_median_deg']:.2f}°"


def _speed_up(n: dict[str, float]) -> str:
    """How many times sooner ours is as accurate as a method ends, to two digits, which is what the clock is worth."""
    speed_up = n["speed_up_at_equal_accuracy"]
    return f"{float(f'{speed_up:.2g}'):g} x" if speed_up else "never"


def _pose_beside(n: dict[str, float]) -> str:
    return f"{n['num_samples']:.0f} | {_pose(n)} | {_speed_up(n)}"


def _joints_beside(n: dict[str, float]) -> str:
    position = f"{_below(n['position_mean_cm'], '0.0001')} / {_below(n['position_median_cm'], '0.0001')}"
    numbers = f"{position} cm | {n['rotation_mean_deg']:.2f}° | {n['ms_per_frame']:.1f} ms | {_speed_up(n)}"
    return f"{n['num_samples']:.0f} | {numbers}"


def _light_beside(n: dict[str, float]) -> str:
    squared = f"{n['squared_mean']:.4f} / {n['squared_median']:.5f}"
    return f"{n['num_samples']:.0f} | {squared} | {n['outliers_percent']:.1f} % | {n['median_ms']:.0f} ms | {_speed_up(n)}"


def _beside_pose(method: str) -> Cells:
    return {"view": "canonical", "categories": "nine, first 100", "method": method}


def _beside_joints(method: str) -> Cells:
    return {"condition": "every 40th frame", "method": method}


def _beside_light(light: str, method: str) -> Cells:
    return {"light": light, "strength": "known, every 5th sample", "method": method}


def _below(number: float, bound: str) -> str:
    """A number that is too small to be said, or the number itself where it is not."""
    return f"below {bound}" if number < float(bound) else f"{number:.2g}"


CLAIMS = [
    Claim("5 steps", "Table 1", _of_pose("canonical", "ours, 5 steps"), _pose),
    Claim("5 steps + refine", "Table 1", _of_pose("canonical", "ours + refine"), _pose),
    Claim("with restarts (the default), any view", "Table 1", _of_pose("any", "ours + refine + restarts"), _pose),
    Claim(
        "any view, no network: alignment, refine, restarts",
        "Table 1",
        _of_pose("any", "alignment + refine + restarts, no network"),
        _pose,
    ),
    Claim("sun, 7 steps", "Table 4", _of_light("sun", "ours, 7 steps"), _light),
    Claim("sun, 7 steps + refine + restarts", "Table 4", _of_light("sun", "ours + refine + restarts"), _light),
    Claim("point light, 7 steps", "Table 4", _of_light("point", "ours, 7 steps"), _light),
    Claim("point light, 7 steps + refine + restarts", "Table 4", _of_light("point", "ours + refine + restarts"), _light),
    Claim("4 steps", "Table 5", {"method": "ours, 4 steps", "condition": "as recorded"}, _joints),
    Claim("4 steps + refine", "Table 5", {"method": "ours + refine", "condition": "as recorded"}, _refined_joints),
    Claim("pose: ours + refine", "Table 1", _beside_pose("ours + refine"), _pose_beside),
    Claim("pose: soft rasteriser + Adam", "Table 1", _beside_pose("soft rasteriser"), _pose_beside),
    Claim("pose: neural mesh renderer + Adam", "Table 1", _beside_pose("neural mesh renderer"), _pose_beside),
    Claim("pose: regression", "Table 1", _beside_pose("regression, no feedback"), _pose_beside),
    Claim("joints: ours + refine", "Table 5", _beside_joints("ours + refine"), _joints_beside),
    Claim("joints: L-BFGS on Euler angles", "Table 5", _beside_joints("L-BFGS"), _joints_beside),
    Claim("joints: Adam on Euler angles", "Table 5", _beside_joints("Adam"), _joints_beside),
    Claim("joints: Deep6D", "Table 5", _beside_joints("Deep6D"), _joints_beside),
    Claim("sun: ours + refine + restarts", "Table 4", _beside_light("sun", "ours + refine + restarts"), _light_beside),
    Claim("sun: Adam, 6 starts", "Table 4", _beside_light("sun", "Adam on Lambert shading, 6 starts"), _light_beside),
    Claim("sun: regression", "Table 4", _beside_light("sun", "regression, no feedback"), _light_beside),
    Claim(
        "point light: ours + refine + restarts", "Table 4", _beside_light("point", "ours + refine + restarts"), _light_beside
    ),
    Claim("point light: Adam, 6 starts", "Table 4", _beside_light("point", "Adam on Lambert shading, 6 starts"), _light_beside),
    Claim("point light: regression", "Table 4", _beside_light("point", "regression, no feedback"), _light_beside),
]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="change README.md where it differs")
    is_writing = parser.parse_args().write
    readme, results = ROOT / "README.md", (ROOT / "training" / "RESULTS.md").read_text(encoding="utf-8")
    before = readme.read_text(encoding="utf-8")
    try:
        after = with_measured_numbers(before, results, CLAIMS)
    except ConfigError as error:
        print_note(str(error))
        return 1
    changes = [(old, new) for old, new in zip(before.splitlines(), after.splitlines(), strict=True) if old != new]
    if is_writing:
        readme.write_text(after, encoding="utf-8")
        return 0
    for old, new in changes:
        print_note(f"README.md says\n  {old}\nand training/RESULTS.md\n  {new}")
    return 1 if changes else 0


def with_measured_numbers(readme: str, results: str, claims: list[Claim]) -> str:
    """The text of the README with the row of every claim as RESULTS.md has it.  Raises ConfigError if one lacks the row."""
    lines = readme.splitlines()
    for label, table, where, say in claims:
        rows = [row for row in table_rows(results, table) if where.items() <= row.items()]
        places = [number for number, line in enumerate(lines) if line.startswith(f"| {label} |")]
        if len(rows) != 1 or len(places) != 1:
            raise ConfigError(
                f"the README's row {label!r} must stand once there and once in {table} of RESULTS.md as "
                f"{', '.join(where.values())}; it stands {len(places)} and {len(rows)} times"
            )
        lines[places[0]] = f"| {label} | {say(_numbers(rows[0]))} |"
    return "\n".join(lines) + "\n"


def table_rows(results: str, table: str) -> list[Cells]:
    """Rows of the table under the heading "### <table>: ...", their keys as in its JSON."""
    _, found, section = results.partition(f"\n### {table}:")
    if not found:
        raise ConfigError(f"RESULTS.md has no {table}")
    lines = iter(section.splitlines())
    header = next((line for line in lines if line.startswith("|")), "")
    keys = [key.replace(" ", "_") for key in _cells(header)]
    next(lines, None)  # the rule under the header
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append(dict(zip(keys, _cells(line), strict=True)))
    return rows


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def _numbers(row: Cells) -> dict[str, float]:
    numbers = {}
    for key, cell in row.items():
        try:
            numbers[key] = float(cell)
        except ValueError:  # a word, such as the method, or nothing
            continue
    return numbers


if __name__ == "__main__":
    raise SystemExit(main())
