# SPDX-License-Identifier: Apache-2.0
"""Pages lead where they say, as files and on the site, and the code that they show works."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import solver_core as sc

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    path
    for pattern in ("*.md", "docs/*.md", "assets/demo/*.md", "training/*.md", "solver_core/weights/*.md")
    for path in sorted(ROOT.glob(pattern))
]
LINK = re.compile(r"\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]*))?\)")


def anchors(page: Path) -> set[str]:
    """Of the headings of a page, as GitHub and MkDocs make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


def code_of(page: str) -> str:
    """The one piece of Python on a page of docs/."""
    (code,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / page).read_text(encoding="utf-8"), re.DOTALL)
    return code


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_to_files_and_headings_that_are_there(page):
    wrong = []
    for target, anchor in LINK.findall(page.read_text(encoding="utf-8")):
        found = page.parent / target if target else page
        if not found.exists() or (anchor and found.suffix == ".md" and anchor not in anchors(found)):
            wrong.append(f"{target}#{anchor}")

    assert wrong == []


def test_every_page_is_in_the_navigation_of_the_site():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]

    assert {path.name for path in (ROOT / "docs").glob("*.md")} <= set(re.findall(r"[\w./-]+\.md", navigation))


def test_code_of_the_first_result_finds_the_pose(demo_dir, monkeypatch, capsys):
    pytest.importorskip("trimesh")
    monkeypatch.chdir(demo_dir)

    exec(code_of("first-result.md"), {})  # noqa: S102  (our own page)

    assert capsys.readouterr().out.startswith("good ")


def test_program_of_the_page_on_own_problems_is_solved(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("simulate").write_text(
        f"#!{sys.executable}\nimport json, sys\na, b, c = json.load(sys.stdin)['x']\n"
        "json.dump({'y': [a + b, b + c, a * c]}, sys.stdout)\n"
    )
    Path("simulate").chmod(0o755)
    names = {}

    exec(code_of("own-problem.md"), names)  # noqa: S102  (our own page)
    result = sc.solve(names["problem"], [12.0, 30.0, 40.0], restarts=0)

    np.testing.assert_allclose(result.x, [[2, 10, 20]], atol=0.05)


def test_record_is_read_as_the_page_on_farms_reads_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    pose = [[1.0, 0.0, 0.0, 0.0], [0.0, 1.0, 0.0, 0.0], [0.0, 0.0, 1.0, -200.0], [0.0, 0.0, 0.0, 1.0]]
    answer = {"metres_per_unit": 0.01, "frames": [{"frame": 1, "verdict": "good", "camera_from_object": pose}]}
    Path("results").mkdir()
    Path("results/car.json").write_text(json.dumps({"answer": answer}))

    exec(code_of("farms.md"), {})  # noqa: S102  (our own page)

    assert re.search(r"-1\.\s+2\.\s*\]", capsys.readouterr().out)  # two metres in front of OpenCV's camera


def test_sentences_that_the_page_on_verdicts_explains_are_those_that_are_said():
    table = (ROOT / "docs" / "verdicts.md").read_text(encoding="utf-8").partition("## ")[0]
    sentences = [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("| ")][1:]
    said = [*ROOT.glob("solver_core/problems/*/verdict.py"), ROOT / "addon" / "solves" / "measured.py"]
    code = "".join(path.read_text(encoding="utf-8") for path in said)

    assert len(sentences) > 5
    assert [sentence for sentence in sentences if any(part.strip(" ,") not in code for part in sentence.split("..."))] == []
