"""The command line.  It parses and calls; what a problem's `solve` takes and does is in the problem's command.py."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import solver_core
from solver_core.command import console, evaluation
from solver_core.command.arguments import add_options
from solver_core.command.parser import Parser, run_command
from solver_core.errors import ConfigError, WeightsError
from solver_core.optional import needed_for
from solver_core.problems import ALIASES, PROBLEMS, problem_module
from solver_core.reading import reading


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code."""
    return run_command(command_parser, arguments)


def command_parser() -> Parser:
    parser = Parser(
        prog="solver_core",
        description=(
            "Recovers what is hidden from what is seen, by a few learned steps.\n\n"
            "Every command takes --no-limits, to read files however much they hold,\nand --debug, to show where an error arose."
        ),
        example="solver_core solve pose --help",
    )
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
        parser = _add_problem(problems, name, command.HELP, command.HELP, command.EXAMPLE)
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
        parser = _add_problem(problems, name, f"train the networks of {name}", description, example.format(name, name))
        source = parser.add_mutually_exclusive_group(required=True)
        source.add_argument("--config", type=Path, metavar="TOML", help="the recipe, such as training/configs/pose.toml")
        parser.add_argument(
            "--data", type=Path, default=Path(), metavar="DIR", help="meshes or motions to train on (default: this folder)"
        )
        parser.add_argument(
            "--out", type=Path, metavar="DIR", help=f"folder for weights, log, curve and checkpoint (default: runs/{name})"
        )
        parser.add_argument("--device", default="cpu", help="where torch computes, such as cuda (default: cpu)")
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
        command = problem_module(name, "command")
        if hasattr(command, "add_train_arguments"):
            command.add_train_arguments(parser, source)
        parser.set_defaults(run=_train, problem=name)


def _add_problem(problems: Any, name: str, help_line: str, description: str, example: str) -> Parser:
    """The parser of a problem, under its name and the shorter ones."""
    return problems.add_parser(name, aliases=ALIASES.get(name, []), help=help_line, description=description, example=example)


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
    description = (
        "Measures weights and options on a folder of cases whose answers are known, and prints how far the answers are off.\n"
        "Exit code 0: all cases were measured.  1: some could not be, which stderr names."
    )
    example = "solver_core evaluate {} DATA --weights mine.safetensors --json report.json"
    evaluate = commands.add_parser(
        "evaluate", help="measure weights on your own data", description=description, example=example.format("pose")
    )
    problems = evaluate.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name in PROBLEMS:
        module = problem_module(name, "evaluate")
        parser = _add_problem(problems, name, f"measure {name}", description, example.format(name))
        parser.add_argument("data", type=Path, metavar="DATA", help=module.DATA)
        parser.add_argument("--json", action=console.Output, metavar="JSON", help="also write the report here, case by case")
        add_options(parser, module.OPTIONS)
        parser.set_defaults(run=lambda args, module=module: evaluation.run(args, module.cases, module.OPTIONS), problem=name)


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
