"""Put the root of the project on `sys.path`, in place of this folder: each stage runs it first.

Here stages/tokenize.py would shadow the module of that name in the standard library. It is run by
its path, as it cannot be imported under `python -P` or by a spawned child of a stage.
"""

import os
import sys

_HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:] = [os.path.dirname(_HERE)] + [p for p in sys.path if os.path.realpath(p) != _HERE]

from importlib.util import find_spec

if find_spec("hydra") is None:
    is_laid_down = os.path.exists(os.path.join(os.path.dirname(_HERE), "requirements.txt"))
    sys.exit(
        f"ImportError: {sys.executable}: expected a Python with the packages of featbank, got one "
        "without hydra; activate its environment: source .venv/bin/activate, or install it: "
        f"python -m pip install {'-r requirements.txt' if is_laid_down else '-e .'}"
    )
