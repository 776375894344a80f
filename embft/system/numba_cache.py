"""What numba compiles is kept on this machine: compiled once, then read."""

from __future__ import annotations

import sys
from contextlib import suppress
from functools import cache, partial

from embft.system.speedups import speedup


@cache  # hundreds of functions, each with a look at its file
def keep_compiled(*packages: str) -> None:
    """Have numba keep what it compiles of these packages, as far as they are imported.

    numba keeps it beside their files, or in the user's cache folder, until those files change.
    """
    speedup("kept compiled functions", partial(_keep, packages))


def _keep(packages: tuple[str, ...]) -> None:
    from numba.core.dispatcher import Dispatcher

    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in packages:
            for function in vars(module).values():
                if isinstance(function, Dispatcher):
                    with suppress(RuntimeError):  # no folder takes it: compiled again each time
                        function.enable_caching()
