# SPDX-License-Identifier: Apache-2.0
"""Tables: from the command to rows, JSON and Markdown."""

import json
import sys
from types import ModuleType

import numpy as np
import pytest

pytest.importorskip("trimesh")

from solver_core.errors import ConfigError
from training.paper import evaluation
from training.paper.__main__ import main
from training.paper.evaluation import Errors, Row, Run, Table, evaluate
from training.paper.plots import Plot

TABLE = Table(
    "table9", "A table", [{"method": "ours", "error_deg": 0.123456, "steps": 5}], "the command", 10, 3, "a machine", 1, "abc"
)


def test_markdown_holds_numbers_and_what_repeats_them():
    text = TABLE.to_markdown()

    assert "| method | error deg | steps |" in text
    assert "| ours | 0.1235 | 5 |" in text
    assert "`the command`" in text
    assert "N = 10, seed 3, commit abc, a machine, 1 thread(s)" in text


def test_markdown_leaves_the_cell_empty_where_a_row_has_no_such_number():
    rows: list[Row] = [{"method": "a", "ms": 1.5}, {"method": "b", "steps": 7}]

    text = Table("table9", "A table", rows, "", 1, 0, "", 1, "").to_markdown()

    assert "| method | ms | steps |" in text
    assert "| a | 1.5 |  |" in text
    assert "| b |  | 7 |" in text


def test_table_takes_the_place_of_its_last_measurement():
    before = TABLE.to_markdown().replace("0.1235", "0.9")
    text = f"# Results\n\nWords.\n\n{before}\nMore words.\n\n| a table | of others |\n| --- | --- |\n"

    assert TABLE.put_into(text) == text.replace("0.9", "0.1235")


@pytest.mark.parametrize("text", ["", "# Results\n"], ids=["nothing", "another text"])
def test_table_measured_for_the_first_time_comes_last(text):
    after = TABLE.put_into(text)

    assert after.startswith(text)
    assert after.endswith(TABLE.to_markdown())
    assert TABLE.put_into(after) == after


class SquareTable(ModuleType):
    """A table that squares the numbers of its samples.  calls: chunks measured; killed_in: the chunk that a kill ends."""

    TITLE, NUM_SAMPLES, QUICK_SAMPLES = "Table 9: squares", 100, 10

    def __init__(self) -> None:
        super().__init__("square_table")
        self.calls: list[list[int]] = []
        self.killed_in = -1

    def rows(self, run: Run) -> list[Row]:
        squares = run.measure("squares", run.num_samples, self.square, chunk_size=4)["square"]
        run.plots.append(Plot("squares", "number", "square", {"squares": (list(range(len(squares))), squares.tolist())}))
        run.pictures["black"] = lambda: np.zeros((4, 6, 3), np.uint8)
        return [{"method": "squares", "mean": float(squares.mean())}]

    def square(self, rows: np.ndarray) -> Errors:
        if len(self.calls) == self.killed_in:
            raise KeyboardInterrupt
        self.calls.append(rows.tolist())
        return {"square": rows.astype(float) ** 2}


@pytest.fixture
def square_table(monkeypatch) -> SquareTable:
    table = SquareTable()
    monkeypatch.setitem(sys.modules, "square_table", table)
    monkeypatch.setattr(evaluation, "TABLES", {"table9": "square_table"})
    return table


def test_chunks_of_a_killed_run_are_not_measured_again(square_table, tmp_path):
    square_table.killed_in = 2
    with pytest.raises(KeyboardInterrupt):
        evaluate(Run("table9", tmp_path, 10, parts=tmp_path / "parts"))
    square_table.killed_in = -1

    resumed = evaluate(Run("table9", tmp_path, 10, parts=tmp_path / "parts"))

    assert square_table.calls == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert resumed == evaluate(Run("table9", tmp_path, 10))


@pytest.mark.parametrize("changes", [{"seed": 1}, {"num_samples": 9}], ids=str)
def test_chunks_of_another_measurement_are_not_used(changes, square_table, tmp_path):
    run = {"table": "table9", "data": tmp_path, "num_samples": 10, "parts": tmp_path / "parts"}
    evaluate(Run(**run))
    square_table.calls.clear()

    evaluate(Run(**(run | changes)))

    assert len(square_table.calls) == 3


def test_method_with_other_settings_is_measured_anew(tmp_path):
    run = Run("table9", tmp_path, 4, parts=tmp_path / "parts")
    ones, twos = (lambda rows, value=value: {"value": np.full(len(rows), value)} for value in (1, 2))

    run.measure("method", 4, ones, settings=1)

    assert run.measure("method", 4, twos, settings=1)["value"].tolist() == [1] * 4
    assert run.measure("method", 4, twos, settings=2)["value"].tolist() == [2] * 4


def test_table_names_every_revision_that_measured_it(square_table, tmp_path, monkeypatch):
    monkeypatch.setattr(evaluation, "_revision", lambda: "old")
    square_table.killed_in = 1
    with pytest.raises(KeyboardInterrupt):
        evaluate(Run("table9", tmp_path, 10, parts=tmp_path / "parts"))
    monkeypatch.setattr(evaluation, "_revision", lambda: "new")
    square_table.killed_in = -1

    assert evaluate(Run("table9", tmp_path, 10, parts=tmp_path / "parts")).commit == "new, old"


def test_command_writes_table_plots_and_pictures_and_clears_its_parts(square_table, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out.json"
    options = ["--json", str(out), "--markdown", str(tmp_path / "out.md"), "--plot", str(tmp_path / "plots")]

    code = main(["table9", "--data", str(tmp_path), "--quick", *options])

    written = json.loads(out.read_text())
    assert code == 0
    assert json.loads(capsys.readouterr().out) == written
    assert (written["num_samples"], written["rows"][0]["mean"]) == (10, 28.5)
    assert written["plots"][0]["curves"]["squares"][1][:3] == [0, 1, 4]
    assert "| squares | 28.5 |" in (tmp_path / "out.md").read_text()
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["black.png", "squares.png"]
    assert not (tmp_path / "out.json.parts").exists()


def test_file_that_is_no_text_is_not_overwritten(square_table, tmp_path, capsys):
    (tmp_path / "table.md").write_bytes(b"\x89PNG\xff")

    code = main(["table9", "--data", str(tmp_path), "--quick", "--markdown", str(tmp_path / "table.md")])

    assert code != 0
    assert "it is no text in UTF-8" in capsys.readouterr().err
    assert (tmp_path / "table.md").read_bytes() == b"\x89PNG\xff"
    assert not square_table.calls


def test_unknown_table_is_refused_with_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"known: .*table1"):
        evaluate(Run("table99", tmp_path, 1))


def test_every_table_has_a_title_and_a_size():
    import importlib

    for module in map(importlib.import_module, evaluation.TABLES.values()):
        assert module.TITLE
        assert module.NUM_SAMPLES > 0


def test_the_command_writes_tables_to_files_of_their_kinds(tmp_path):
    from training.paper.__main__ import command_parser

    words = ["table1", "--data", ".", "--json", str(tmp_path / "t.json"), "--markdown", str(tmp_path / "t.md")]
    args = command_parser().parse_args(words)

    assert (args.json, args.markdown) == (tmp_path / "t.json", tmp_path / "t.md")
