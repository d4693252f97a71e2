# SPDX-License-Identifier: Apache-2.0
"""The command line.  It parses and calls; what a problem's `solve` takes and does is in the problem's command.py."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import solver_core
from solver_core.command import completion, console, evaluation, mask_command, registered
from solver_core.command.arguments import add_options, add_places
from solver_core.command.parser import Parser, run_command
from solver_core.errors import ConfigError, WeightsError
from solver_core.optional import needed_for
from solver_core.problem_kind import ProblemKind
from solver_core.problems import ALIASES, find_problem, own_part, problem_names
from solver_core.reading import reading
from solver_core.recipes import sentence_of, shipped_recipe, shipped_recipes
from solver_core.training import read_settings
from solver_core.writing import make_folder, write_bytes


def main(arguments: list[str] | None = None) -> int:
    """Runs a command line (default: the process's own) and returns the exit code."""
    return run_command(command_parser, arguments)


def command_parser() -> Parser:
    parser = Parser(
        prog="solver_core",
        description=(
            "Recovers what is hidden from what is seen, by a few learned steps.\n\n"
            "Every command takes --quiet, to say nothing but results and errors,\n"
            "--verbose, to show every step on a line of its own,\n"
            "--no-limits, to read files however much they hold,\nand --debug, to show where an error arose."
        ),
        example="solver_core solve pose --help",
    )
    parser.add_argument("--version", action="version", version=solver_core.__version__)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    found = dict(_problems())
    _add_solve(commands, found)
    _add_mask(commands)
    _add_train(commands, found)
    _add_evaluate(commands, found)
    _add_recipes(commands)
    _add_info(commands)
    _add_completion(commands, parser)
    return parser


def _add_solve(commands: Any, found: dict[str, ProblemKind]) -> None:
    solve = commands.add_parser(
        "solve",
        help="solve a problem",
        description="Solves a problem and prints the result as JSON.",
        example="solver_core solve pose --help",
    )
    problems = solve.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name, problem in found.items():
        command = own_part(problem, "command") or registered
        words = command.HELP.format(name)
        parser = _add_problem(problems, name, words, words, command.EXAMPLE.format(name))
        command.add_arguments(parser)
        parser.set_defaults(run=command.run, problem=name)


def _add_mask(commands: Any) -> None:
    parser = commands.add_parser(
        "mask",
        help="find an object's mask in a photograph",
        description=(
            "Finds which pixels of a photograph show an object, from a box, a lasso, strokes or its mesh.  Prints share, of\n"
            "the photograph that the object covers, and alike, share of its outline along which object and surroundings\n"
            "have the same colours: there the photograph does not tell where it ends.  Both from 0 to 1."
        ),
        example=mask_command.EXAMPLE,
    )
    mask_command.add_arguments(parser)
    parser.set_defaults(run=mask_command.run)


def _problems() -> Iterator[tuple[str, ProblemKind]]:
    """All problems by name; one that cannot be loaded is told of, and left out."""
    for name in problem_names():
        try:
            yield name, find_problem(name)
        except ConfigError as error:
            console.print_remark(str(error))


def _add_train(commands: Any, found: dict[str, ProblemKind]) -> None:
    description = "Trains the networks of a problem, stage by stage.  Needs the extra solver_core[train]."
    example = "solver_core train {} --data DIR"
    train = commands.add_parser(
        "train", help="train the networks of a problem", description=description, example=example.format("pose")
    )
    problems = train.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name, problem in found.items():
        parser = _add_problem(problems, name, f"train the networks of {name}", description, example.format(name))
        source = parser.add_mutually_exclusive_group()
        source.add_argument(
            "--config",
            type=console.Suggesting(shipped_recipes()),
            metavar="RECIPE",
            help="a TOML file, or the name of a recipe that ships (default: the problem's own)",
        )
        parser.add_argument(
            "--set",
            action="append",
            default=[],
            metavar="KEY=VALUE",
            help="change the recipe: iterations=[300,200], init=shipped, licence=MIT, sampling.up=y; can be given again",
        )
        parser.add_argument(
            "--data", type=Path, default=Path(), metavar="DIR", help="meshes or motions to train on (default: this folder)"
        )
        parser.add_argument(
            "--out", type=Path, metavar="DIR", help=f"folder for weights, log, curve and checkpoint (default: runs/{name})"
        )
        parser.add_argument(
            "--device",
            type=console.Suggesting(("cpu", "cuda")),
            default="cpu",
            help="where torch computes, such as cuda (default: cpu)",
        )
        parser.add_argument("--resume", action="store_true", help="go on from the checkpoint in the output folder")
        parser.add_argument(
            "--dry-run", action="store_true", help="train nothing: draw what the network would see into samples.png"
        )
        command = own_part(problem, "command")
        if command is not None and hasattr(command, "add_train_arguments"):
            command.add_train_arguments(parser, source)
        parser.set_defaults(run=_train, problem=name)


def _add_problem(problems: Any, name: str, help_line: str, description: str, example: str) -> Parser:
    """The parser of a problem, under its name and the shorter ones."""
    return problems.add_parser(name, aliases=ALIASES.get(name, []), help=help_line, description=description, example=example)


def _train(args: argparse.Namespace) -> int:
    problem = find_problem(args.problem)
    out = args.out or Path("runs", args.problem)
    command, recipe = own_part(problem, "command"), args.config
    if command is not None and hasattr(command, "prepare_training"):
        recipe = command.prepare_training(args, out)
    settings = read_settings(problem, recipe, args.set)
    with needed_for("training", extra="train"):
        from solver_core.training.preview import preview
        from solver_core.training.trainer import Watch, train_problem
    if args.dry_run:
        console.print_result(preview(problem, settings, args.data, out))
        return 0
    with console.progress_bars() if console.is_watched() else nullcontext() as show:
        weights = train_problem(problem, settings, args.data, out, args.device, args.resume, Watch(on_iteration=show))
    console.print_result({"weights": str(weights)})
    return 0


def _add_evaluate(commands: Any, found: dict[str, ProblemKind]) -> None:
    description = (
        "Measures weights and options on a folder of cases whose answers are known, and prints how far the answers are off.\n"
        "Exit code 0: all cases were measured.  1: some could not be, which stderr names."
    )
    example = "solver_core evaluate {} DATA --weights mine.safetensors --json report.json"
    evaluate = commands.add_parser(
        "evaluate", help="measure weights on your own data", description=description, example=example.format("pose")
    )
    problems = evaluate.add_subparsers(title="problems", required=True, metavar="PROBLEM")
    for name, problem in found.items():
        module = own_part(problem, "evaluate") or registered.Evaluation(problem)
        parser = _add_problem(problems, name, f"measure {name}", description, example.format(name))
        parser.add_argument("data", type=Path, metavar="DATA", help=module.DATA)
        parser.add_argument("--json", action=console.Output, metavar="JSON", help="also write the report here, case by case")
        add_places(parser, "cases measured")
        add_options(parser, module.OPTIONS)
        parser.set_defaults(run=lambda args, module=module: evaluation.run(args, module.cases, module.OPTIONS), problem=name)


def _add_recipes(commands: Any) -> None:
    parser = commands.add_parser(
        "recipes",
        help="list or copy the recipes that ship",
        description="Prints the recipes that the shipped weights were trained with, or copies some of them into a folder.",
        example="solver_core recipes pose --out my-recipes",
    )
    parser.add_argument(
        "names", type=console.Suggesting(shipped_recipes()), nargs="*", metavar="NAME", help="which (default: all)"
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="copy them here, to edit")
    parser.set_defaults(run=_recipes)


def _recipes(args: argparse.Namespace) -> int:
    recipes = {name: shipped_recipe(name) for name in args.names} or shipped_recipes()
    if args.out is None:
        console.print_result({name: sentence_of(path) for name, path in recipes.items()})
        return 0
    make_folder(args.out)
    copies = {name: args.out / path.name for name, path in recipes.items()}
    for name, copy in copies.items():
        if copy.exists():
            raise ConfigError(f"{copy} exists; give another folder with --out")
        write_bytes(copy, recipes[name].read_bytes(), "recipe")
    console.print_result({name: str(copy) for name, copy in copies.items()})
    return 0


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


def _add_completion(commands: Any, parser: Parser) -> None:
    completing = commands.add_parser(
        "completion",
        help="let your shell complete commands and options",
        description="Prints a script that lets a shell complete command lines: put it into ~/.bashrc or the like.",
        example="solver_core completion bash",
    )
    completing.add_argument("shell", choices=completion.SHELLS)
    completing.set_defaults(run=lambda args: console.print_out(completion.script(parser, args.shell)) or 0)


def _metadata(path: Path) -> dict[str, str]:
    """What a weights file says about itself, all but the list of layers."""
    from safetensors import safe_open

    with reading(path, "weights file", WeightsError), safe_open(path, framework="numpy") as file:
        return {key: value for key, value in (file.metadata() or {}).items() if key != "spec"}
