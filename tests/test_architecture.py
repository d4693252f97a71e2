"""docs/architecture.md names what there is, and nothing else."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"[\w/]+\.(?:py|h|toml|md)\b", TEXT))
FOLDERS = ("solver_core", "solver_core/command", "addon")
FILES = {
    path.relative_to(ROOT).as_posix()
    for folder in ("solver_core", "addon", "training", "docs")
    for path in ROOT.glob(f"{folder}/**/*")
}


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_room_that_the_tree_opens_is_named(folder):
    files = {path.name for path in (ROOT / folder).glob("*.py") if not path.name.startswith("__")}

    assert not files - NAMED


@pytest.mark.parametrize("name", sorted(NAMED))
def test_what_is_named_is_there(name):
    assert (ROOT / name).exists() or any(f"/{file}".endswith(f"/{name}") for file in FILES)
