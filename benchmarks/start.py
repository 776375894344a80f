"""What a sweep takes besides its trial: from the command to the first step, part by part, and from
the trial's record to the end.

    python benchmarks/start.py [--rounds 5] [--no-publish]

`embft sweep` with one LoRA trial of MiniLM (one epoch) and the baseline, again and again, each in a
folder of its own. What has happened is read from what appears on disk, looked at every two
milliseconds; seconds count from the start of the command. Then `embft report` on each result.
"""

from __future__ import annotations

import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from measuring import data_files, embft, parser, publish, table, watched
from stock import SPEC
from stock_recipe import RATES

_LOOK_SECONDS = 0.002
_RAY = Path("/tmp")  # noqa: S108 - where a sweep's own Ray keeps its state

PARTS = {
    "the plan is known": "spec.yaml",
    "its data are frozen": "plan.json",
    "Ray is up": "",
    "a worker for the training": "log.txt",
    "its first step": "progress.jsonl",
    "its record": "result.json",
}
TARGETS = {"its first step": 4.0, "beyond the trial": 4.0, "the report's command": None}


class Watch:
    """Notes when each part is first seen, in a thread."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.seen = folder / "results" / "one", dict[str, float]()
        self.ended = threading.Event()
        self.before = set(_RAY.glob("embft-ray-*"))
        self.start = time.perf_counter()
        self.thread = threading.Thread(target=self._look)

    def __enter__(self) -> Watch:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.seen["the end"] = time.perf_counter() - self.start
        self.ended.set()
        self.thread.join()

    def _look(self) -> None:
        while not self.ended.wait(_LOOK_SECONDS):
            for part, there in self._parts().items():
                if part not in self.seen and there():
                    self.seen[part] = time.perf_counter() - self.start

    def _parts(self) -> Mapping[str, Callable[[], bool]]:
        places = {part: self.folder / name for part, name in list(PARTS.items())[:2]}
        trial = self._trial()
        if trial is not None:
            places |= {part: trial / name for part, name in list(PARTS.items())[3:]}
        return {part: place.exists for part, place in places.items()} | {"Ray is up": self._ray}

    def _trial(self) -> Path | None:
        trials = self.folder / "trials"
        found = trials.iterdir() if trials.is_dir() else iter(())
        return next((p for p in found if not p.name.startswith(("baseline", "."))), None)

    def _ray(self) -> bool:
        new = (place for place in _RAY.glob("embft-ray-*") if place not in self.before)
        return any((place / "launch" / "socket").exists() for place in new)


def once(data: Path) -> dict[str, float]:
    """The parts of one sweep, and its report made once more."""
    spec = SPEC.format(data=data, method="lora", epochs=1, rate=RATES["lora"], seed=42)
    with tempfile.TemporaryDirectory(prefix="bench-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        (folder / "one.yaml").write_text(spec)
        with Watch(folder) as watch:
            run = watched(embft("sweep", "one.yaml"), folder, every=60)
        trial = watch._trial()
        assert trial is not None
        took = json.loads((trial / "result.json").read_text())["timings"]["total"]
        report = watched(embft("report", "results/one"), folder, every=60)
    return {
        **watch.seen,
        "the trial itself": took,
        "beyond the trial": run.seconds - took,
        "from its record to the end": watch.seen["the end"] - watch.seen["its record"],
        "the report's command": report.seconds,
    }


def main() -> None:
    """Measure, print, publish."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--no-publish", action="store_true", help="leave the page as it is")
    given = arguments.parse_args()
    found = list[dict[str, float]]()
    with tempfile.TemporaryDirectory(prefix="bench-data-") as name:
        data = data_files(Path(name))
        for number in range(given.rounds):
            found.append(once(data))
            told = ", ".join(f"{part} {seconds:.1f}" for part, seconds in found[-1].items())
            print(f"  round {number}: {told}", flush=True)
    figures = {part: [each[part] for each in found] for part in found[-1]}
    rows = [_row(part, figures[part]) for part in dict.fromkeys([*PARTS, *figures])]
    shown = table(["seconds until, or of", "median", "range", "target"], rows)
    if given.no_publish:
        print(shown)
    else:
        publish("start", figures, shown)


def _row(part: str, seconds: list[float]) -> list[str]:
    target = TARGETS.get(part)
    middle = f"{statistics.median(seconds):.1f}"
    range_ = f"{min(seconds):.1f} to {max(seconds):.1f}"
    return [part, middle, range_, "" if target is None else f"{target:.0f}"]


if __name__ == "__main__":
    main()
