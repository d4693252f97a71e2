# SPDX-License-Identifier: Apache-2.0
"""What the docs site has beside the pages of this folder; hooks of MkDocs (mkdocs.yml).

Files from elsewhere in the repository become pages, notebooks are run and shown with their results, links are made to lead
where their targets are on the site, and those to files that are not there become plain text.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]

# Where files of the repository are on the site.
PLACES = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "SECURITY.md": "security.md",
    "assets/demo/README.md": "demo.md",
    "assets/demo/job.json": "schemas/demo.job.json",
    "addon/job.schema.json": "schemas/job.schema.json",
    "addon/record.schema.json": "schemas/record.schema.json",
    "training/RESULTS.md": "measurements.md",
    **{f"solver_core/weights/{name}.md": f"models/{name}.md" for name in ("pose", "lighting", "inverse_kinematics")},
}
SOURCES = {place: source for source, place in PLACES.items()}
LINK = re.compile(r"(!?)\[([^\]]*)\]\((?!https?:|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


def on_files(files: Files, config: Any) -> Files:
    for source, place in PLACES.items():
        files.append(File.generated(config, place, content=(ROOT / source).read_text(encoding="utf-8")))
    for notebook in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        files.remove(files.src_uris[f"notebooks/{notebook.name}"])
        text, pictures = run_notebook(notebook)
        files.append(File.generated(config, f"notebooks/{notebook.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """The text of a page with its links made to lead to the site."""
    place = page.file.src_uri
    source = SOURCES.get(place, f"docs/{place}")

    def replace(link: re.Match) -> str:
        mark, words, target, anchor = link[1], link[2], link[3], link[4] or ""
        wanted = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
        found = PLACES.get(wanted, wanted.removeprefix("docs/"))
        if found not in files.src_uris:
            return words
        return f"{mark}[{words}]({posixpath.relpath(found, posixpath.dirname(place) or '.')}{anchor})"

    return LINK.sub(replace, markdown)


def run_notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """A notebook, run from its own folder, as Markdown, and its pictures by their names.  Raises if a cell fails."""
    import nbformat
    from nbclient import NotebookClient
    from nbconvert import MarkdownExporter

    os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
    notebook = nbformat.read(path, as_version=4)
    where = {"metadata": {"path": str(path.parent)}}
    quiet = ["--log-level=ERROR"]  # it warns of its unencrypted socket on this machine
    NotebookClient(notebook, timeout=300, resources=where, extra_arguments=quiet).execute()
    text, resources = MarkdownExporter().from_notebook_node(notebook)
    names = {name: f"{path.stem}_{name}" for name in resources["outputs"]}
    for name, longer in names.items():
        text = text.replace(f"({name})", f"({longer})")
    return text, {names[name]: content for name, content in resources["outputs"].items()}
