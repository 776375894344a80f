"""What `import embft` loads beside itself and Python's own library, as JSON."""

from __future__ import annotations

import json
import sys

before = set(sys.modules)

import embft  # noqa: E402 - what is loaded before it is not its own

loaded = {name for name in set(sys.modules) - before if name != "embft"}
found = sorted(n for n in loaded if n.partition(".")[0] not in sys.stdlib_module_names)
assert set(embft.__all__) <= set(dir(embft))
print(json.dumps(found))
