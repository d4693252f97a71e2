# SPDX-License-Identifier: Apache-2.0
"""`solver_core evaluate`: lists of cases, the table and the report; the problems' own measures are tested beside them."""

import argparse
import json
from pathlib import Path

import pytest

from solver_core.command import evaluation
from solver_core.command.cli import main
from solver_core.command.evaluation import Case, Measured, listed_cases
from solver_core.errors import ConfigError, ObservationError
from solver_core.problems.pose.solve import PoseOptions
from solver_core.solution import Verdict


def add_inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--mask", type=Path, required=True)
    parser.add_argument("--mesh", type=Path, nargs="+")
    parser.add_argument("--label", type=int)
    parser.add_argument("--is-white", action="store_true")


def listed(folder: Path, content: object) -> list:
    (folder / "cases.json").write_text(json.dumps(content))
    return listed_cases(folder, add_inputs, "mask", "angle")


def test_a_case_is_what_solve_takes_with_paths_from_its_folder(tmp_path):
    one = {"mask": "1.png", "mesh": ["a.obj", "b.obj"], "label": 3, "is_white": True, "angle": 5}
    other = {"mask": "/elsewhere/2.png", "is_white": False, "label": None, "name": "second", "angle": [1]}

    (first, inputs, answer), (second, others, _) = listed(tmp_path, [one, other])

    assert (first, second, answer) == ("1.png", "second", 5)
    assert (inputs.mask, inputs.mesh) == (tmp_path / "1.png", [tmp_path / "a.obj", tmp_path / "b.obj"])
    assert (inputs.label, inputs.is_white) == (3, True)
    assert (others.mask, others.is_white, others.label) == (Path("/elsewhere/2.png"), False, None)


def test_cases_of_one_file_are_told_apart(tmp_path):
    names = [name for name, *_ in listed(tmp_path, [{"mask": "1.png", "label": label, "angle": 0} for label in (1, 2)])]

    assert names == ["1.png", "1.png (2)"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([{"mask": "1.png", "mush": "a.obj", "angle": 0}], "--mush"),
        ([{"mask": "1.png", "mas": "2.png", "angle": 0}], "--mas"),
        ([{"mask": "1.png"}], "true answer 'angle' is missing"),
        ([{"mesh": "a.obj", "angle": 0}], "required: --mask"),
        ([{"mask": "1.png", "label": "one", "angle": 0}], "label"),
        ([], "must hold a list of cases"),
        ({"mask": "1.png"}, "must hold a list of cases"),
    ],
)
def test_cases_that_say_what_is_not_known_are_refused(content, sentence, tmp_path):
    with pytest.raises(ConfigError, match=sentence):
        listed(tmp_path, content)


def test_a_folder_without_a_list_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"holds no cases.json"):
        listed_cases(tmp_path, add_inputs, "mask", "angle")


def run(tmp_path, cases: list[Case], **given) -> tuple[int, dict]:
    args = argparse.Namespace(problem="pose", data=tmp_path, json=tmp_path / "report.json", jobs=1, cluster=None)
    args.debug = args.quiet = args.verbose = False
    for name, value in {**PoseOptions().__dict__, **given}.items():
        setattr(args, name, value)
    code = evaluation.run(args, lambda folder, options: cases, PoseOptions)
    return code, json.loads((tmp_path / "report.json").read_text())


def measured(error: float, verdict: Verdict):
    return lambda: Measured({"angle_deg": error}, verdict, 0.5)


def test_errors_are_counted_by_verdict(tmp_path, capsys):
    cases = [
        Case("a", measured(1.0, Verdict.GOOD)),
        Case("b", measured(3.0, Verdict.GOOD)),
        Case("c", measured(50.0, Verdict.BAD)),
    ]

    code, report = run(tmp_path, cases, steps=2)

    assert code == 0
    assert report["options"]["steps"] == 2
    assert report["count"] == {"all": 3, "good": 2, "doubtful": 0, "bad": 1}
    assert report["errors"]["all"]["angle_deg"]["mean"] == pytest.approx(18)
    assert report["errors"]["all"]["angle_deg"]["worst_case"] == "c"
    assert report["errors"]["good"]["angle_deg"]["median"] == pytest.approx(2)
    assert report["cases"]["b"] == {"angle_deg": 3.0, "verdict": "good", "seconds": 0.5}
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("3 of 3 cases measured: 2 good, 0 doubtful, 1 bad")
    assert [line.split()[:3] for line in lines[2:]] == [["angle_deg", "all", "3"], ["good", "2", "2"], ["bad", "1", "50"]]


def test_a_case_that_cannot_be_read_is_named_and_left_out(tmp_path, capsys):
    def refuse() -> Measured:
        raise ObservationError("there is no mask")

    code, report = run(tmp_path, [Case("a", measured(1.0, Verdict.GOOD)), Case("b", refuse)])

    assert code == 1
    assert (list(report["cases"]), report["refused"]) == (["a"], {"b": "there is no mask"})
    captured = capsys.readouterr()
    assert "b is left out: there is no mask" in captured.err
    assert captured.out.startswith("1 of 2 cases measured")


def test_nothing_that_can_be_measured_leaves_a_table_without_numbers(tmp_path, capsys):
    def refuse() -> Measured:
        raise ObservationError("there is no mask")

    assert run(tmp_path, [Case("a", refuse)])[0] == 1
    assert capsys.readouterr().out == "0 of 1 cases measured: 0 good, 0 doubtful, 0 bad\n"


def test_motions_are_measured_on_their_own_joints(demo_dir, tmp_path, capsys):
    (tmp_path / "clip.bvh").write_bytes((demo_dir / "ik_truth.bvh").read_bytes())

    code = main(["evaluate", "ik", str(tmp_path), f"--json={tmp_path / 'report.json'}"])

    assert code == 0
    errors = json.loads((tmp_path / "report.json").read_text())["cases"]["clip.bvh"]
    assert errors["position_cm"] < 0.01
    assert 0 < errors["rotation_deg"] < 15  # positions do not show twist


def test_a_folder_without_clips_is_refused(tmp_path, capsys):
    assert main(["evaluate", "ik", str(tmp_path)]) == 2
    assert "holds no clips" in capsys.readouterr().err
