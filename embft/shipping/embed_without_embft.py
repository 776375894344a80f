"""A program: embed texts with a saved model as anyone would who has sentence-transformers alone.

Arguments: the model's folder, a JSON file {"texts": [...], "trusted": bool}, the .npy to write.
Started in a fresh process by `fresh_process.py`; embft cannot be imported there.
"""

import json
import sys
from pathlib import Path

sys.modules["embft"] = None  # type: ignore[assignment]  # importing it raises ImportError


def main(folder: str, asked: str, out: str) -> None:
    """Embed, and write the embeddings, shape (n, width), in float32."""
    import numpy as np
    from sentence_transformers import SentenceTransformer

    given = json.loads(Path(asked).read_text())
    model = SentenceTransformer(folder, trust_remote_code=given["trusted"])
    np.save(out, np.asarray(model.encode(given["texts"], show_progress_bar=False), np.float32))


if __name__ == "__main__":
    main(*sys.argv[1:])
