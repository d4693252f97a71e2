# SPDX-License-Identifier: Apache-2.0
"""Measures a table of results: python -m training.paper TABLE --data DIR, from the root of the repository."""

from __future__ import annotations

import argparse
import shutil
from dataclasses import asdict
from pathlib import Path

from solver_core.command import console
from solver_core.command.parser import Parser, run_command
from solver_core.command.pictures import write_picture
from solver_core.writing import make_folder, write_text
from training.paper.evaluation import TABLES, Run, evaluate, table_size
from training.paper.plots import draw_plot


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code."""
    return run_command(command_parser, arguments)


def command_parser() -> Parser:
    parser = Parser(
        prog="python -m training.paper",
        description="Measures a table of training/RESULTS.md on test data.  Needs the extra solver_core[dev].",
        example="python -m training.paper table1 --data DIR --json table1.json",
    )
    parser.add_argument("table", metavar="TABLE", help=", ".join(TABLES))
    parser.add_argument("--data", type=Path, required=True, metavar="DIR", help="folder with the test data")
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--samples", type=console.natural_number, metavar="N", help="how many test samples (default: the table's own number)"
    )
    size.add_argument("--quick", action="store_true", help="few samples: a minute or two instead of hours")
    parser.add_argument("--seed", type=console.natural_number, default=0, metavar="N", help="of the samples (default 0)")
    parser.add_argument(
        "--json",
        action=console.Output,
        metavar="JSON",
        help="also write the result here; a run that was killed goes on from JSON.parts",
    )
    parser.add_argument(
        "--markdown",
        action=console.Output,
        metavar="MARKDOWN",
        help="also write it as a table to read, into a file of results in the place of its last measurement",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="also draw its plots and pictures into this folder")
    parser.set_defaults(run=_measure)
    return parser


def _measure(args: argparse.Namespace) -> int:
    num_samples = table_size(args.table, args.quick) if args.samples is None else args.samples
    parts = None if args.json is None else args.json.with_name(f"{args.json.name}.parts")
    if args.markdown is not None:
        console.read_text(args.markdown)  # one that cannot be used is refused now, not hours later
    with console.progress_bars() as on_progress:
        run = Run(args.table, args.data, num_samples, args.seed, parts, on_progress)
        table = evaluate(run)
    console.print_result(asdict(table), args.json)
    if args.markdown is not None:
        write_text(args.markdown, table.put_into(console.read_text(args.markdown)), "table")
    if args.plot is not None:
        _draw(run, args.plot)
    if parts is not None:
        shutil.rmtree(parts, ignore_errors=True)  # the table is complete; the next run measures anew
    return 0


def _draw(run: Run, folder: Path) -> None:
    """Writes the plots and pictures of a measurement into a folder."""
    make_folder(folder)
    for plot in run.plots:
        draw_plot(plot, folder / f"{plot.name}.png")
    for name, draw in run.pictures.items():
        write_picture(folder / f"{name}.png", draw())


if __name__ == "__main__":
    raise SystemExit(main())
