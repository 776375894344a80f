"""A saved model embeds texts in a fresh process, by sentence-transformers alone and offline."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import numpy.typing as npt

from embft.errors import VerificationError

_PROGRAM = Path(__file__).with_name("embed_without_embft.py")


def embed_fresh(
    folder: Path, texts: Sequence[str], *, trusted: bool = False
) -> npt.NDArray[np.float32]:
    """The embeddings of these texts, shape (n, width).

    The process sees no hub, no cache of one and no embft. trusted: code in the folder may run.
    Raises VerificationError where the model cannot be loaded so.
    """
    with TemporaryDirectory(prefix="embft-fresh-") as name:
        here = Path(name)
        (here / "asked.json").write_text(json.dumps({"texts": list(texts), "trusted": trusted}))
        out = here / "found.npy"
        run = subprocess.run(
            [sys.executable, "-I", _PROGRAM, folder.resolve(), here / "asked.json", out],
            cwd=here,
            env=_surroundings(here),
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
        if run.returncode != 0:
            reason = (run.stderr.strip().splitlines() or [f"exit status {run.returncode}"])[-1]
            raise VerificationError(f"a fresh process cannot load the exported model: {reason}")
        found: npt.NDArray[np.float32] = np.load(out, allow_pickle=False)
        return found


def _surroundings(cache: Path) -> dict[str, str]:
    """The environment of this process with an empty hub cache, and no way to the hub."""
    offline = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "HF_HOME": str(cache / "hub")}
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_"))}
    return {**kept, **offline, "TOKENIZERS_PARALLELISM": "false"}
