from __future__ import annotations

import ast
import re
import tomllib
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import grimp
import pytest

from featbank.export import EXPORTS
from featbank.files.remote.paths import SCHEMES


def test_the_layers_of_the_map_are_those_the_linter_enforces(root: Path) -> None:
    linter = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    enforced = [
        sorted(name.strip().removeprefix("featbank.") for name in layer.split("|"))
        for layer in linter["contracts"][0]["layers"]
    ]
    text = (root / "ARCHITECTURE.md").read_text().split("<!-- layers -->")[1]
    block = re.search(r"```\n(.*?)```", text, re.DOTALL)
    assert block is not None
    drawn = [sorted(line.split("  ")[0].split()) for line in block[1].splitlines()]
    assert drawn == enforced


def test_every_module_has_a_layer(root: Path) -> None:
    linter = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["importlinter"]
    layers = " ".join(linter["contracts"][0]["layers"]).replace("|", " ").split()
    top = {
        f"featbank.{path.stem}"
        for path in (root / "featbank").iterdir()
        if (path.suffix == ".py" or (path / "__init__.py").is_file()) and path.stem != "__init__"
    }
    assert top == set(layers)


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """What imports what, imports that only types need left out."""
    return grimp.build_graph("featbank", exclude_type_checking_imports=True, cache_dir=None)


def test_no_modules_import_each_other_in_a_circle(graph: grimp.ImportGraph) -> None:
    left = {
        module: set(graph.find_modules_directly_imported_by(module)) for module in graph.modules
    }
    while free := {module for module, needs in left.items() if not needs & left.keys()}:
        left = {module: needs for module, needs in left.items() if module not in free}
    assert not left


def test_no_two_classes_share_a_name(root: Path) -> None:
    """Nor do private ones: whoever searches for a word finds one thing."""
    where: dict[str, list[str]] = defaultdict(list)
    for path in sorted((root / "featbank").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                where[node.name].append(path.relative_to(root).as_posix())
    assert {name: paths for name, paths in where.items() if len(paths) > 1} == {}


def _annotations(tree: ast.AST) -> Iterator[ast.expr]:
    """Give what the public functions and fields of a module are annotated with."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield from filter(None, [node.returns, *(one.annotation for one in _arguments(node))])
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            made = [one for one in node.body if isinstance(one, ast.FunctionDef)]
            yield from (
                one.annotation
                for init in made
                if init.name in ("__init__", "__call__")
                for one in _arguments(init)
                if one.annotation
            )
            yield from (one.annotation for one in node.body if isinstance(one, ast.AnnAssign))


def _arguments(function: ast.FunctionDef) -> list[ast.arg]:
    return [*function.args.args, *function.args.kwonlyargs]


@pytest.mark.parametrize(
    "folder", ["featbank/engine", "featbank/stability", "featbank/certification", "stages"]
)
def test_no_loose_mapping_crosses_the_border_of_a_module(root: Path, folder: str) -> None:
    loose = [
        f"{path.relative_to(root)}:{one.lineno}"
        for path in sorted((root / folder).rglob("*.py"))
        for one in _annotations(ast.parse(path.read_text()))
        if re.search(r"(dict|Mapping)\[str, Any\]", ast.unparse(one))
    ]
    assert not loose


def test_every_module_and_function_that_the_map_names_exists(root: Path) -> None:
    text = (root / "ARCHITECTURE.md").read_text()
    paths = re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:/|/[a-z_]+\.py))`", text)
    ours = [path for path in paths if (root / "featbank" / path.split("/")[0]).is_dir()]
    missing = [path for path in ours if not (root / "featbank" / path).exists()]
    for name in re.findall(r"`([a-z_]+(?:\.[a-z_]+)+)`", text):
        *packages, function = name.split(".")
        module = root.joinpath("featbank", *packages).with_suffix(".py")
        if (root / "featbank" / packages[0]).is_dir() and (
            not module.exists() or f"def {function}(" not in module.read_text()
        ):
            missing.append(name)
    assert len(ours) > 5
    assert not missing


def test_every_extra_that_an_error_names_is_there(root: Path) -> None:
    project = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    named = {
        node.args[2].value
        for path in (root / "featbank").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and node.func.attr == "of_absent"
        and isinstance(node.args[2], ast.Constant)
    }
    named |= {extra for _, extra in SCHEMES.values()}
    exports = (vars(EXPORTS.find(name).load()) for name in EXPORTS.table)
    named |= {of["extra"] for of in exports if "extra" in of}
    assert len(named) > 10
    assert named <= project["optional-dependencies"].keys()
