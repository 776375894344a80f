"""How large a report is and how long it takes: twelve trials, and 1,000 trials of 1,000 pairs.

Prints a line for each and fails beyond the promised limits: 2 MB for the first, 10 MB and 15 s for
the second. Trials are made up, with real score files on disk; reading and ranking them is timed
apart from drawing the page.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from embft.leaderboard.build import build_leaderboard
from embft.report.bundle import packed_library
from embft.report.page import write_report
from tests.helpers.leaderboards import Plan, lora_lr_plans, make_leaderboard, params, save_sweep

RATES = [1e-5 * 1.25**i for i in range(25)]
RANKS = list(range(1, 41))


def main() -> None:
    """Measure both, print, and check the limits."""
    packed_library()  # built once in a process, about a second
    small = measure("lora_lr, 12 trials of 1,000 pairs", lora_lr_plans())
    assert small[0] < 2e6, "a report of lora_lr must stay under 2 MB"
    plans = [
        Plan(params("lora", rank, rate), 0.05 + 0.03 * i - 0.002 * (i - 18) ** 2 * (i > 18))
        for rank in RANKS
        for i, rate in enumerate(RATES)
    ]
    large = measure("1,000 trials of 1,000 pairs", plans)
    assert large[0] < 10e6, "a report of 1,000 trials must stay under 10 MB"
    assert large[1] < 15, "a report of 1,000 trials must be written in under 15 s"


def measure(name: str, plans: list[Plan]) -> tuple[int, float]:
    """Bytes of the page, and seconds from the folder on disk to the written page."""
    with tempfile.TemporaryDirectory() as place:
        folder = save_sweep(make_leaderboard(Path(place), plans, pairs=(300, 1000), resamples=10))
        start = time.perf_counter()
        leaderboard = build_leaderboard(folder)
        ranked = time.perf_counter() - start
        write_report(leaderboard, folder / "report.html")
        seconds = time.perf_counter() - start
        size = (folder / "report.html").stat().st_size
    print(
        f"{name}: {size / 1e6:.2f} MB, ranked in {ranked:.1f} s, page in {seconds - ranked:.1f} s"
    )
    return size, seconds - ranked


if __name__ == "__main__":
    main()
