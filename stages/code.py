"""Write a digest of the code behind each stage, which DVC has the stages depend on.

Examples:
    python stages/code.py         # all of them
    python stages/code.py --help  # this
"""

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
        if {"-h", "--help"} & {*sys.argv}:
            sys.stdout.write(__doc__ or "")
            return
        if typed := sys.argv[1:]:
            sys.exit(f"ConfigError: {visible(typed[0])}: expected nothing, for it has no options")
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
