from __future__ import annotations

import re
import tomllib
from pathlib import Path


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
