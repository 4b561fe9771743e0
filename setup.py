"""Build step beside pyproject.toml: the files of a project go into the wheel as one archive."""

import sys
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
sys.path.insert(0, str(ROOT))

from featbank.project.source import ARCHIVE, pack  # noqa: E402 - the build does not install it


class BuildWithProject(build_py):
    """Build of the modules and, but for an editable install, of the archive beside its reader."""

    def run(self) -> None:
        """Build."""
        super().run()
        if not self.editable_mode:
            Path(self.build_lib, "featbank", "project", ARCHIVE).write_bytes(pack(ROOT))


setup(cmdclass={"build_py": BuildWithProject})
