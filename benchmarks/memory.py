"""The most memory that a sweep holds: driver, Ray, warm process and worker together (PSS).

    python benchmarks/memory.py

`embft sweep` with one trial of MiniLM, one epoch, looked at ten times a second. Fails above 1.5 GB
for LoRA and 2 GB for full fine-tuning.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from measuring import data_files, embft, fresh, parser, publish, table
from stock import SPEC
from stock_recipe import RATES

LIMITS_MB = {"lora": 1500, "full": 2000}


def main() -> None:
    """Measure both methods, and publish."""
    parser(__doc__).parse_args()
    found = {}
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        for method in LIMITS_MB:
            spec = SPEC.format(data=data, method=method, epochs=1, rate=RATES[method], seed=42)
            run = fresh(embft("sweep", "one.yaml"), {"one.yaml": spec}, every=0.1)
            found[method] = {"peak_mb": run.peak_mb, "seconds": run.seconds}
            print(method, found[method], flush=True)
    rows = [[method, f"{each['peak_mb']:.0f}", LIMITS_MB[method]] for method, each in found.items()]
    publish("memory", found, table(["method", "peak MB of all processes", "target"], rows))
    for method, each in found.items():
        if each["peak_mb"] > LIMITS_MB[method]:
            sys.exit(f"{method}: {each['peak_mb']:.0f} MB, {LIMITS_MB[method]} are allowed")


if __name__ == "__main__":
    main()
