# SPDX-License-Identifier: Apache-2.0
"""Tables of points as text: one column a coordinate, one line a point, DeepLabCut's, and TRC."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from solver_core.problems.inverse_kinematics.files.points import UNITS, Points, rate_of, unnamed_points
from solver_core.reading import check_count

MAX_CELLS = 200_000_000  # of a table: 200,000 frames of 300 points; 1.6 GB
SEPARATORS = "\t;,|"
# How a column says its point and its axis: hip_x, hip.x, hip X; x_hip; hipX.
COLUMNS = (
    re.compile(r"(?P<name>.+?)[_.:/\s-]+(?P<axis>[xyz])", re.IGNORECASE),
    re.compile(r"(?P<axis>[xyz])[_.:/\s-]+(?P<name>.+)", re.IGNORECASE),
    re.compile(r"(?P<name>.+?)(?P<axis>[XYZ])"),
)
NO_POINT = re.compile(r"(?:^|[_.:/\s-])(?:rot|rotation|quat|quaternion|vel|velocity|acc|angle)$", re.IGNORECASE)
QUATERNIONS = re.compile(r"(?P<name>.+?)[_.:/\s-]+q(?P<part>[wxyz])", re.IGNORECASE)
POINT_WORDS = re.compile(r"[_.:/\s-]+(pos|position|loc|location|translation|world|coord|coords)$", re.IGNORECASE)
TIMES = {"time", "times", "timestamp", "timestamps", "t", "seconds", "sec", "timems", "timestampms", "milliseconds"}
FRAMES = {"frame", "frames", "framenumber", "frameid", "frameindex", "index", "frameno", "sample", ""}
NAMES = {"name", "joint", "keypoint", "marker", "bodypart", "landmark", "point", "label", "node", "id"}
NAMES |= {f"{word}{what}" for word in NAMES for what in ("name", "id", "index")}
MISSING = {"", "nan", "na", "n/a", "null", "none", "-"}


def read_table(path: Path) -> Points:
    """Points of a table with any separator, a point and an axis a column or a point a line.  Raises ValueError."""
    with path.open(newline="", encoding="utf-8-sig") as file:  # spreadsheets write a byte order mark
        lines = _cells(file)
        header = next(lines, None)
        if header is None:
            raise ValueError("it is empty")
        if header[0].lower() == "scorer":
            return _of_deeplabcut(lines)
        if all(_is_number(cell) for cell in header):
            every = range(len(header))
            return _without_header(np.array([_values(header, every, 1), *_rows(lines, len(header), every)]))
        plain = [_plain(cell) for cell in header]
        if {"x", "y", "z"} <= set(plain) and NAMES & set(plain) and (FRAMES | TIMES) & set(plain):
            return _of_long_table(plain, lines)
        return _of_wide_table(header, plain, lines)


def read_quaternions(path: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    """(F, 4) wxyz of those names that have the columns name_qw, name_qx, name_qy and name_qz.

    Raises ValueError, also for a name that lacks some of these columns, or of its position's.
    """
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = _cells(file)
        header = next(lines, [])
        places, turned = _places(header), {}
        for column, title in enumerate(header):
            if match := QUATERNIONS.fullmatch(title.strip()):
                turned.setdefault(match["name"], {})[match["part"].lower()] = column
        for name in {**places, **turned}:
            missing = [f"{name}_{axis}" for axis in "xyz" if name not in names and axis not in places.get(name, {})]
            missing += [f"{name}_q{part}" for part in "wxyz" if name in turned and part not in turned[name]]
            if missing:
                raise ValueError(f"{name!r} lacks {', '.join(missing)}; where a value is not known leave the cell empty")
        if not turned:
            return {}
        wanted = [columns[part] for columns in turned.values() for part in "wxyz"]
        values = np.array(list(_rows(lines, len(header), wanted))).reshape(-1, len(turned), 4)
    return {name: values[:, number] for number, name in enumerate(turned)}


def read_trc(path: Path) -> Points:
    """Points of a TRC file, as OpenSim, Pose2Sim and motion capture systems write them.  Raises ValueError."""
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        lines = (line.rstrip("\r\n") for line in file)
        if not next(lines, "").startswith("PathFileType"):
            raise ValueError("it does not begin with PathFileType, as TRC files do")
        head = dict(zip(next(lines, "").split("\t"), next(lines, "").split("\t"), strict=False))
        names = tuple(name.strip() for name in next(lines, "").split("\t")[2:] if name.strip())
        next(lines, "")
        check_count(len(names), MAX_CELLS, "points")
        frames = []
        for number, line in enumerate(lines, start=6):
            cells = [cell.strip() for cell in (line.split("\t") if "\t" in line else line.split())]
            if any(cells):
                check_count((len(frames) + 1) * 3 * len(names), MAX_CELLS, "cells")
                cells += [""] * (2 + 3 * len(names) - len(cells))
                frames.append(_values(cells, range(2, 2 + 3 * len(names)), number))
    if not names or not frames:
        raise ValueError("it holds no points")
    rate, unit = _number(head.get("DataRate", "")), UNITS.get(head.get("Units", "").strip().lower())
    positions = np.array(frames).reshape(len(frames), len(names), 3)
    return Points(names, positions, 1 / rate if rate > 0 else None, unit)


def _cells(lines: Iterator[str]) -> Iterator[list[str]]:
    """The cells of each line that has any, in whatever way they are separated."""
    separator = ""
    for line in lines:
        if not line.strip():
            continue
        separator = separator or max(SEPARATORS, key=line.count)
        if separator not in line and not frozenset(SEPARATORS) & set(line):
            yield line.split()
            continue
        cells = [cell.strip() for cell in next(csv.reader([line], delimiter=separator))]
        yield [cell.replace(",", ".") for cell in cells] if separator in ";\t|" else cells


def _of_wide_table(header: Sequence[str], plain: Sequence[str], lines: Iterator[list[str]]) -> Points:
    """A line a frame, a column a coordinate."""
    places = _places(header)
    names = tuple(name for name, axes in places.items() if set(axes) == set("xyz"))
    if not names:
        flat = any({"x", "y"} <= set(axes) for axes in places.values())
        raise ValueError(
            "its points have x and y only; targets need three dimensions"
            if flat
            else "it needs the columns name_x, name_y and name_z for every joint"
        )
    wanted = [places[name][axis] for name in names for axis in "xyz"]
    time = next((column for column, name in enumerate(plain) if name in TIMES), None)
    values = np.array(list(_rows(lines, len(header), wanted if time is None else [*wanted, time])))
    if len(values) == 0:
        raise ValueError("the motion is empty: it holds no frames")
    positions = values[:, : len(wanted)].reshape(len(values), -1, 3)
    return Points(names, positions, None if time is None else rate_of(values[:, -1]))


def _places(header: Sequence[str]) -> dict[str, dict[str, int]]:
    """Names of points -> axis -> column, by the way of naming that finds most."""
    best: dict[str, dict[str, int]] = {}
    for pattern in COLUMNS:
        found: dict[str, dict[str, int]] = {}
        for column, title in enumerate(header):
            match = pattern.fullmatch(title.strip())
            if match is None:
                continue
            axis, name = match["axis"], POINT_WORDS.sub("", match["name"].strip())
            if not NO_POINT.search(name):
                found.setdefault(name, {}).setdefault(axis.lower(), column)
        best = max(best, found, key=len)
    return best


def _of_long_table(plain: Sequence[str], lines: Iterator[list[str]]) -> Points:
    """A line for every point of every frame."""
    column = {name: plain.index(name) for name in plain}
    of_name = next(column[name] for name in plain if name in NAMES)
    of_time = next((column[name] for name in plain if name in TIMES), None)
    of_frame = next((column[name] for name in plain if name in FRAMES), of_time)
    if of_frame is None:
        raise ValueError("it has neither a column of frames nor one of times")
    frames: dict[str, int] = {}
    names: dict[str, int] = {}
    rows, times = [], {}
    for number, cells in enumerate(lines, start=2):
        if len(cells) != len(plain):
            raise ValueError(f"line {number} does not have the {len(plain)} values of the header")
        check_count((len(rows) + 1) * 5, MAX_CELLS, "cells")
        frame = frames.setdefault(cells[of_frame], len(frames))
        point = names.setdefault(cells[of_name], len(names))
        rows.append((frame, point, *(_number(cells[column[axis]], number) for axis in "xyz")))
        if of_time is not None:
            times.setdefault(frame, _number(cells[of_time], number))
    if not rows:
        raise ValueError("the motion is empty: it holds no frames")
    table = np.array(rows)
    check_count(len(frames) * len(names) * 3, MAX_CELLS, "cells")
    positions = np.full((len(frames), len(names), 3), np.nan)
    positions[table[:, 0].astype(int), table[:, 1].astype(int)] = table[:, 2:]
    frame_time = rate_of(np.array([times[frame] for frame in sorted(times)])) if times else None
    if all(name.isdigit() for name in names):
        order = sorted(names, key=int)
        return unnamed_points(positions[:, [names[name] for name in order]], frame_time)
    return Points(tuple(names), positions, frame_time)


def _of_deeplabcut(lines: Iterator[list[str]]) -> Points:
    """A table under several lines of titles; of several animals the first."""
    titles = {}
    for cells in lines:
        titles[cells[0].lower()] = cells
        if cells[0].lower() == "coords":
            break
    if not {"bodyparts", "coords"} <= titles.keys():
        raise ValueError("it begins as DeepLabCut's tables do, and lacks their lines bodyparts and coords")
    parts, coords = titles["bodyparts"], titles["coords"]
    who = titles.get("individuals", [""] * len(parts))
    first = next((one for one in who[1:] if one), "")
    header = [f"{part}_{axis}" if one in (first, "") else "" for part, axis, one in zip(parts, coords, who, strict=True)]
    points = _of_wide_table(header, [""] * len(header), lines)
    others = sorted({one for one in who[1:] if one} - {first})
    return points._replace(notices=(f"{first} is read, {', '.join(others)} left out",) if others else ())


def _without_header(values: np.ndarray) -> Points:
    """Numbers alone: three columns a point, after a column of frames or times or not."""
    for skipped in (0, 1, 2):
        if (values.shape[1] - skipped) % 3 == 0:
            try:
                return unnamed_points(values[:, skipped:].reshape(len(values), -1, 3))
            except ValueError:
                continue
    raise ValueError(f"it has no header, and no pose estimator or body model that is known has {values.shape[1]} columns")


def _rows(lines: Iterator[list[str]], count: int, columns: Sequence[int]) -> Iterator[np.ndarray]:
    """Values of some of the columns, line by line."""
    for number, cells in enumerate(lines, start=2):
        if len(cells) != count:
            raise ValueError(f"line {number} does not have the {count} values of the header")
        check_count(number * count, MAX_CELLS, "cells")
        yield _values(cells, columns, number)


def _values(cells: Sequence[str], columns: Sequence[int], number: int) -> np.ndarray:
    """(C,) numbers in some cells of a line, nan where there is nothing."""
    return np.array([_number(cells[column], number) for column in columns])


def _number(cell: str, line: int = 0) -> float:
    if cell.lower() in MISSING:
        return np.nan
    try:
        return float(cell)
    except ValueError as error:
        raise ValueError(f"line {line}: {error}") from error


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _plain(cell: str) -> str:
    return re.sub(r"[^a-z]", "", cell.lower())
