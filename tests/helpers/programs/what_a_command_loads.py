"""The heavy libraries that a command of embft has imported."""

from __future__ import annotations

import contextlib
import sys

from embft.cli.main import main

with contextlib.suppress(SystemExit):
    main(sys.argv[1:])
heavy = {"torch", "ray", "altair", "pandas", "transformers"} & set(sys.modules)
sys.exit(f"loaded {heavy}" if heavy else 0)
