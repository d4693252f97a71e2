# SPDX-License-Identifier: Apache-2.0
"""What farms run: the job type of Flamenco and the template of Open Job Description call the extension as it is."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from addon import batch

FARMS = Path(__file__).resolve().parents[2] / "assets" / "farms"
# Runs a job type as Flamenco's manager does, with its names for tasks and commands.
MANAGER = """
const tasks = [];
const author = {
    Task: (name, type) => ({ name, type, commands: [], addCommand(command) { this.commands.push(command); } }),
    Command: (name, parameters) => ({ name, parameters }),
};
const fs = require("fs"), vm = require("vm");
const context = vm.createContext({ author });
vm.runInContext(fs.readFileSync(process.argv[2], "utf8") + "; this.settings = JOB_TYPE.settings", context);
context.job = { settings: JSON.parse(process.argv[3]), addTask: (task) => tasks.push(task) };
vm.runInContext("compileJob(job)", context);
console.log(JSON.stringify({ keys: context.settings.map((setting) => setting.key), tasks }));
"""


def assert_all_is_solved(commands: list[list[str]]) -> None:
    """The commands are known to the extension, and together solve a whole job."""
    parsed = []
    for command in commands:
        assert command[:3] == ["-b", "-c", batch.COMMAND]
        parsed.append(batch._parser().parse_args(command[3:]))
    assert [(args.shard.number, args.shard.count) for args in parsed] == [(1, 3), (2, 3), (3, 3)]
    assert {(str(args.job), str(args.out), args.accept_all) for args in parsed} == {("/farm/job.json", "/farm/out", True)}


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_flamenco_solves_every_shard(tmp_path):
    settings = {"job_file": "/farm/job.json", "output_folder": "/farm/out", "shards": 3}
    (tmp_path / "manager.js").write_text(MANAGER)

    command = ["node", str(tmp_path / "manager.js"), str(FARMS / "deep_feedback_solver.js"), json.dumps(settings)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)

    made = json.loads(run.stdout)
    assert set(made["keys"]) == set(settings)
    commands = [command for task in made["tasks"] for command in task["commands"]]
    assert {(command["name"], command["parameters"]["exe"]) for command in commands} == {("exec", "{blender}")}
    assert_all_is_solved([command["parameters"]["args"] for command in commands])


TEMPLATE = FARMS / "deep_feedback_solver.openjd.yaml"


def test_open_job_description_solves_every_shard():
    template = yaml.safe_load(TEMPLATE.read_text())
    (step,) = template["steps"]
    arguments = step["script"]["actions"]["onRun"]["args"]
    given = {"Param.JobFile": "/farm/job.json", "Param.OutputFolder": "/farm/out", "Param.Shards": "3"}

    (parameter,) = step["parameterSpace"]["taskParameterDefinitions"]
    assert parameter["range"] == "1-{{Param.Shards}}"
    commands = []
    for number in (1, 2, 3):
        values = given | {f"Task.Param.{parameter['name']}": str(number)}
        commands.append([_filled(argument, values) for argument in arguments])

    assert {definition["name"] for definition in template["parameterDefinitions"]} >= {"JobFile", "OutputFolder", "Shards"}
    assert_all_is_solved(commands)


@pytest.mark.skipif(shutil.which("openjd") is None, reason="needs the program openjd, of the package openjd-cli")
def test_open_job_description_is_valid():
    run = subprocess.run(["openjd", "check", str(TEMPLATE)], capture_output=True, text=True, check=False)

    assert run.returncode == 0, run.stdout


def _filled(text: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    assert "{{" not in text
    return text
