# SPDX-License-Identifier: Apache-2.0
"""The import rules of docs/architecture.md, checked in the source of every file."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE = sorted(path.relative_to(ROOT) for path in ROOT.glob("solver_core/**/*.py"))
ADDON = sorted(path.relative_to(ROOT) for path in ROOT.glob("addon/**/*.py"))
PROBLEMS = {path.parent.name for path in ROOT.glob("solver_core/problems/*/__init__.py")}

BLENDER = {"bpy", "mathutils", "gpu", "bmesh", "bpy_extras", "blf", "gpu_extras"}
READERS_AND_PICTURES = {"trimesh", "PIL"}
MEASURING = {"training", "pyrender", "scipy", "pytorch_kinematics", "mitsuba"}
# Blender ships these; whatever else a [torch] file needs comes with the extra.
ALWAYS_THERE = {"numpy", "safetensors", "solver_core", *sys.stdlib_module_names}
MAY_IMPORT_READERS = {"files.py", "masks.py", "camera_files.py", "pictures.py", "drawing.py"}
BPY_ARRAYS = {"foreach_get", "foreach_set"}
CONTEXT_OBJECTS = {"object", "active_object", "selected_objects", "scene", "edit_object"}


class Import(NamedTuple):
    module: str
    is_at_module_level: bool

    @property
    def package(self) -> str:
        return self.module.partition(".")[0]


def find_imports(source: str) -> list[Import]:
    """Every import of a file but those under `if TYPE_CHECKING`; `from a import b` counts as a and as a.b."""
    return list(_walk(ast.parse(source), is_at_module_level=True))


def _walk(node: ast.AST, is_at_module_level: bool) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (Import(alias.name, is_at_module_level) for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            module = "." * child.level + (child.module or "")
            yield Import(module, is_at_module_level)
            yield from (Import(f"{module}.{alias.name}", is_at_module_level) for alias in child.names)
        elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        else:
            is_function = isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
            yield from _walk(child, is_at_module_level and not is_function)


def import_circle(paths: list[Path]) -> list[str]:
    """Files that import each other in a circle, whether at module level, in functions or for types; none if there is none."""
    imported = {path: _imported_files(path) & set(paths) for path in paths}
    is_free: set[Path] = set()  # files from which no circle is reached

    def visit(path: Path, trail: list[Path]) -> list[Path]:
        if path in trail:
            return trail[trail.index(path) :]
        if path in is_free:
            return []
        for other in sorted(imported[path]):
            if circle := visit(other, [*trail, path]):
                return circle
        is_free.add(path)
        return []

    return next(([str(one) for one in circle] for path in paths if (circle := visit(path, []))), [])


def _imported_files(path: Path) -> set[Path]:
    """The files of this repository that a file imports; a package counts where a name of its own is taken from it."""
    found: set[Path | None] = set()
    for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {module_path(alias.name) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = path.parts[: len(path.parts) - node.level] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            found |= {module_path(f"{module}.{alias.name}") or module_path(module) for alias in node.names}
    return {file for file in found if file is not None} - {path}


def imports_of(path: Path) -> list[Import]:
    return find_imports((ROOT / path).read_text(encoding="utf-8"))


def is_marked_torch(path: Path) -> bool:
    """Whether the first line of the file's docstring says so."""
    docstring = ast.get_docstring(ast.parse((ROOT / path).read_text(encoding="utf-8"))) or ""
    return "[torch]" in docstring.partition("\n")[0]


def module_path(module: str) -> Path | None:
    """File of a module of this repository, if it is one."""
    base = Path(*module.split("."))
    return next((path for path in (base.with_suffix(".py"), base / "__init__.py") if (ROOT / path).is_file()), None)


def kept_blender_objects(source: str) -> list[str]:
    """Attributes that are given a Blender object, such as `self.target = context.object`."""
    kept = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Assign) and isinstance(node.value, (ast.Attribute, ast.Subscript)):
            value = ast.unparse(node.value)
            is_object = "bpy.data." in value or (
                isinstance(node.value, ast.Attribute)
                and node.value.attr in CONTEXT_OBJECTS
                and ast.unparse(node.value.value).endswith("context")
            )
            kept += [ast.unparse(target) for target in node.targets if isinstance(target, ast.Attribute) and is_object]
    return kept


def on_every_file(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=Path.as_posix)


@on_every_file(CORE)
def test_rule_1_core_never_imports_blender(path):
    assert not {i.module for i in imports_of(path) if i.package in BLENDER}


@on_every_file(ADDON)
def test_rule_2_addon_never_imports_what_blender_lacks(path):
    forbidden = {"torch", "trimesh", "pyrender", "scipy", "PIL"}

    assert not {i.module for i in imports_of(path) if i.package in forbidden}


@on_every_file(CORE)
def test_rule_3_core_needs_numpy_and_safetensors_only(path):
    allowed = ALWAYS_THERE | ({"torch"} if is_marked_torch(path) else set())

    assert not {i.module for i in imports_of(path) if i.is_at_module_level and i.package not in allowed}


@on_every_file([path for path in CORE if not is_marked_torch(path)])
def test_rule_3_only_torch_files_import_torch_files_at_module_level(path):
    imported = {i.module: module_path(i.module) for i in imports_of(path) if i.is_at_module_level}

    assert not {module for module, file in imported.items() if file is not None and is_marked_torch(file)}


@on_every_file([path for path in CORE if path.name not in MAY_IMPORT_READERS])
def test_rule_3_meshes_and_pictures_are_read_in_their_files_only(path):
    assert not {i.module for i in imports_of(path) if i.package in READERS_AND_PICTURES}


@on_every_file([path for path in CORE if path.is_relative_to("solver_core/problems")])
def test_rule_4_a_problem_imports_no_other_problem_nor_training(path):
    own = path.relative_to("solver_core/problems").parts[0]
    forbidden = [f"solver_core.problems.{name}" for name in PROBLEMS - {own}]
    forbidden += ["solver_core.training", "training.paper.baselines"]

    modules = {i.module for i in imports_of(path)}

    assert not {module for module in modules if f"{module}.".startswith(tuple(f"{f}." for f in forbidden))}


@on_every_file([*CORE, *ADDON])
def test_rule_5_what_is_installed_never_imports_what_measures_it(path):
    assert not {i.module for i in imports_of(path) if i.package in MEASURING}


@on_every_file([path for path in ADDON if not path.is_relative_to("addon/bridge")])
def test_rule_6_arrays_cross_the_border_in_the_bridge_only(path):
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))

    assert not {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr in BPY_ARRAYS}


@on_every_file(ADDON)
def test_rule_7_no_blender_object_is_kept(path):
    assert not kept_blender_objects((ROOT / path).read_text(encoding="utf-8"))


@on_every_file([path for path in CORE if path.is_relative_to("solver_core/kernel")])
def test_rule_8_the_kernel_stands_alone(path):
    allowed = (
        [] if path.name == "build.py" else [f"solver_core.{name}" for name in ("kernel", "errors", "frames", "images", "mesh")]
    )

    modules = {i.module for i in imports_of(path) if i.package == "solver_core"}

    assert not {module for module in modules - {"solver_core"} if not f"{module}.".startswith(tuple(f"{a}." for a in allowed))}


def test_rule_9_no_files_import_each_other_in_a_circle():
    assert import_circle([*CORE, *ADDON]) == []


def test_import_circles_are_found_in_functions_and_for_types(tmp_path, monkeypatch):
    (tmp_path / "one.py").write_text("def function():\n    from two import name\n")
    (tmp_path / "two.py").write_text("if TYPE_CHECKING:\n    import three\n")
    (tmp_path / "three.py").write_text("import one\n")
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)

    assert import_circle([Path("three.py"), Path("one.py"), Path("two.py")]) == ["three.py", "one.py", "two.py"]


def test_find_imports_sees_every_form_and_where_it_stands():
    source = "\n".join(
        [
            "import a.b as c, d",
            "from e import f",
            "if TYPE_CHECKING:",
            "    import g",
            "try:",
            "    import h",
            "except ImportError:",
            "    pass",
            "def function():",
            "    with x:",
            "        import i",
        ]
    )

    assert find_imports(source) == [
        *[Import(module, True) for module in ("a.b", "d", "e", "e.f", "h")],
        Import("i", False),
    ]


@pytest.mark.parametrize(
    ("line", "is_kept"),
    [
        ("self.target = context.object", True),
        ("self.scene = bpy.context.scene", True),
        ("self.target = bpy.data.objects['Cube']", True),
        ("self.name = context.object.name", False),
        ("target = context.object", False),
        ("self.count = len(bpy.data.objects)", False),
    ],
)
def test_kept_blender_objects_are_found(line, is_kept):
    assert bool(kept_blender_objects(line)) == is_kept


def test_import_of_the_package_loads_neither_torch_nor_readers():
    statement = "import solver_core, sys; print(*sys.modules)"

    modules = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, check=True).stdout.split()

    assert "solver_core" in modules
    assert not {"torch", "trimesh", "PIL", "rich", "scipy", "matplotlib"} & set(modules)
