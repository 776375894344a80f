"""What the warm process has imported, and that what it has left out is there when it is wanted."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from embft.system.speedups import missing

importlib.import_module("embft.execution.preload")
assert not missing(), missing()
left_out = {"sklearn", "pandas", "datasets"}
assert not left_out & set(sys.modules), left_out & set(sys.modules)

import transformers  # noqa: E402
from sentence_transformers import SentenceTransformer  # noqa: E402
from sentence_transformers.base import sampler  # noqa: E402
from sentence_transformers.util import similarity  # noqa: E402
from transformers.utils.import_utils import define_import_structure  # noqa: E402

conversion_mapping = importlib.import_module("transformers.conversion_mapping")
conversion_mapping._build_checkpoint_conversion_mapping = None  # it has been called
SentenceTransformer(sys.argv[1])
assert not left_out & set(sys.modules), left_out & set(sys.modules)

models = define_import_structure(Path(transformers.__file__).parent / "models/__init__.py")
found = {name for modules in models.values() for names in modules.values() for name in names}
assert found <= set(dir(transformers.models)), found - set(dir(transformers.models))
assert not isinstance([], sampler.Dataset)
assert similarity.pairwise_distances([[0.0], [1.0]], metric="manhattan")[0, 1] == 1.0
rows = sampler.Dataset.from_dict({"a": [1, 2]})
assert isinstance(rows, sampler.Dataset)
assert not isinstance(sampler, sampler.Dataset)
assert len(rows) == 2
