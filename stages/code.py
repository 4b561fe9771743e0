"""Sources -> a digest of the code behind each stage, which the stage depends on."""

import os
import sys

# the root takes this folder's place: stages/tokenize.py would shadow the standard library's
_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

from pathlib import Path

from featbank.base.visible import visible
from featbank.errors import FeatbankError
from featbank.files.streams import guarded
from featbank.pipeline.code import code_digests, write_code


def main() -> None:
    with guarded():
        try:
            write_code(Path("code"), code_digests())
        except (FeatbankError, OSError) as error:
            sys.exit(f"{type(error).__name__}: {visible(str(error))}")


if __name__ == "__main__":
    main()
