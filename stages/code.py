"""Sources -> a digest of the code behind each stage, which the stage depends on."""

import os
import runpy

runpy.run_path(os.path.join(os.path.dirname(__file__), "_root.py"))

import sys
from pathlib import Path

from featbank.base.visible import visible
from featbank.errors import FeatbankError, InvalidConfigError
from featbank.files.streams import guarded
from featbank.pipeline.chosen_options import check_choices
from featbank.pipeline.code import code_digests, write_code
from featbank.project.record import check_version


def main() -> None:
    with guarded():
        try:
            check_version()
            check_choices()
            write_code(Path("code"), code_digests())
        except InvalidConfigError as error:
            sys.exit("\n".join(f"ConfigError: {visible(str(one))}" for one in error.faults))
        except (FeatbankError, OSError) as error:
            sys.exit(f"{type(error).__name__}: {visible(str(error))}")


if __name__ == "__main__":
    main()
