"""The command line.  It parses and calls; what a problem's `solve` takes and does is in the problem's command.py.

Exit code 0: solved.  1: solved but poor, the reason is on stderr.  2: wrong input, one sentence on stderr.  3: the machine
lacks something, such as room on the disk, or the fault is ours.  130: interrupted.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import solver_core
from solver_core.command import console
from solver_core.errors import ConfigError, WeightsError
from solver_core.optional import needed_for
from solver_core.problems import ALIASES, PROBLEMS, problem_module
from solver_core.reading import reading, without_limits
from solver_core.writing import make_folder, write_text

if TYPE_CHECKING:
    from solver_core.training.evaluation import Run

COMMON_FLAGS = ("--debug", "--no-limits")


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code."""
    is_debugging = False
    try:
        args = command_parser().parse_args(arguments)
        is_debugging = args.debug
        console.prepare(is_debugging)
        console.check_outputs(args)
        with without_limits() if args.no_limits else nullcontext():
            return args.run(args)
    except KeyboardInterrupt:
        console.print_note("interrupted")
        return console.INTERRUPTED
    except Exception as error:
        if is_debugging:
            raise
        sentence, code = console.fault(error)
        console.print_note(sentence)
        return code


class _Parser(argparse.ArgumentParser):
    """Takes an example for the end of the help, and complains in one sentence."""

    def __init__(self, *, example: str = "", **options: Any) -> None:
        epilog = f"example:\n  {example}" if example else None
        super().__init__(epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter, **options)
        for flag in COMMON_FLAGS:  # anywhere on the line
            self.add_argument(flag, action="store_true", default=argparse.SUPPRESS, help=argparse.SUPPRESS)

    def error(self, message: str) -> NoReturn:
        self.exit(console.WRONG_INPUT, f"{message}; try {self.prog} --help")

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        if message:
            console.print_note(message)
        sys.exit(status)

    def _print_message(self, message: str, file: object = None) -> None:
        console.print_out(message)


def command_parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="solver_core",
        description=(
            "Recovers what is hidden from what is seen, by a few learned steps.\n\n"
            "Every command takes --no-limits, to read files however much they hold,\nand --debug, to show where an error arose."
        ),
        example="solver_core solve pose --help",
    )
    parser.set_defaults(debug=False, no_limits=False)
    parser.add_argument("--version", action="version", version=solver_core.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    _add_solve(commands)
    _add_train(commands)
    _add_evaluate(commands)
    _add_info(commands)
    return parser


def _add_solve(commands: Any) -> None:
    solve = commands.add_parser(
        "solve",
        help="solve a problem",
        description="Solves a problem and prints the result as JSON.",
        example="solver_core solve pose --help",
    )
    problems = solve.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name in PROBLEMS:
        command = problem_module(name, "command")
        parser = problems.add_parser(
            name, aliases=ALIASES.get(name, []), help=command.HELP, description=command.HELP, example=command.EXAMPLE
        )
        command.add_arguments(parser)
        parser.set_defaults(run=command.run)


def _add_train(commands: Any) -> None:
    description = "Trains the networks of a problem, stage by stage.  Needs the extra solver_core[train]."
    example = "solver_core train {} --config training/configs/{}.toml --data DIR"
    train = commands.add_parser(
        "train", help="train the networks of a problem", description=description, example=example.format("pose", "pose")
    )
    problems = train.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name in PROBLEMS:
        help_line = f"train the networks of {name}"
        parser = problems.add_parser(
            name,
            aliases=ALIASES.get(name, []),
            help=help_line,
            description=description,
            example=example.format(name, name),
        )
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="TOML", help="the recipe")
        parser.add_argument("--data", type=Path, default=Path(), metavar="DIR", help="what to train on (default this folder)")
        parser.add_argument("--out", type=Path, metavar="DIR", help=f"weights, log, curve, checkpoint (default runs/{name})")
        parser.add_argument("--device", default="cpu", help="where torch computes, such as cuda (default cpu)")
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
        command = problem_module(name, "command")
        if hasattr(command, "add_train_arguments"):
            command.add_train_arguments(parser, source)
        parser.set_defaults(run=_train, problem=name)


def _train(args: argparse.Namespace) -> int:
    from solver_core.config import load_train_settings

    with needed_for("training", extra="train"):
        from solver_core.training.trainer import train
    out = args.out or Path("runs", args.problem)
    command = problem_module(args.problem, "command")
    recipe = command.prepare_training(args, out) if hasattr(command, "prepare_training") else args.config
    trained_problem = load_train_settings(recipe).problem
    if trained_problem != args.problem:
        raise ConfigError(f"{recipe} is a recipe for {trained_problem}, not for {args.problem}")
    weights = train(recipe, args.data, out, device=args.device, resume=args.resume)
    console.print_result({"weights": str(weights)})
    return 0


def _add_evaluate(commands: Any) -> None:
    parser = commands.add_parser(
        "evaluate",
        help="measure a table of results",
        description="Measures a table on test data.  Needs the extra solver_core[dev].",
        example="solver_core evaluate table1 --data DIR --json table1.json",
    )
    parser.add_argument("table", metavar="TABLE", help="which table; a wrong name lists them all")
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
        metavar="FILE",
        help="also write the result here; a run that was killed goes on from FILE.parts",
    )
    parser.add_argument(
        "--markdown",
        action=console.Output,
        metavar="FILE",
        help="also write it as a table to read, into a file of results in the place of its last measurement",
    )
    parser.add_argument("--plot", type=Path, metavar="DIR", help="also draw its plots and pictures into this folder")
    parser.set_defaults(run=_evaluate)


def _evaluate(args: argparse.Namespace) -> int:
    from solver_core.training.evaluation import Run, evaluate, table_size

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
    from solver_core.command.pictures import write_picture
    from solver_core.training.plots import draw_plot

    make_folder(folder)
    for plot in run.plots:
        draw_plot(plot, folder / f"{plot.name}.png")
    for name, draw in run.pictures.items():
        write_picture(folder / f"{name}.png", draw())


def _add_info(commands: Any) -> None:
    parser = commands.add_parser(
        "info",
        help="show version, renderer and weights",
        description="Prints the version, the renderer in use and the weights that come with this installation.",
        example="solver_core info",
    )
    parser.set_defaults(run=_info)


def _info(args: argparse.Namespace) -> int:
    from solver_core import render
    from solver_core.network.weights import SHIPPED

    weights = {path.name: _metadata(path) for path in sorted(SHIPPED.glob("*.safetensors"))}
    console.print_result({"version": solver_core.__version__, "renderer": render.kernel_name(), "weights": weights})
    return 0


def _metadata(path: Path) -> dict[str, str]:
    """What a weights file says about itself, all but the list of layers."""
    from safetensors import safe_open

    with reading(path, "weights file", WeightsError), safe_open(path, framework="numpy") as file:
        return {key: value for key, value in (file.metadata() or {}).items() if key != "spec"}
