"""`embft power`, and what `embft plan` repeats of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from embft.cli.data import TRUST, new_console
from embft.cli.options import TABLE_OR_JSON
from embft.cli.planned import planned

if TYPE_CHECKING:
    from collections.abc import Iterator

    from embft.planning.plan import Plan
    from embft.planning.sweep_power import Needed, Power, SplitPower


def lines(power: Power) -> Iterator[str]:
    """What dev and test can show, in sentences."""
    from embft.leaderboard.labels import metric_label

    if not power.splits:
        yield (
            f"What differences in {metric_label(power.metric)} can be shown is not known before a "
            "model is scored: `embft plan --measure` scores the base model, and trained trials "
            "say it best"
        )
        return
    of = "trained models" if power.seeds == 1 or power.seeds_sd is None else "configurations"
    many = power.configurations > 2
    corrected = f"; in brackets for all {power.configurations} at once" if many else ""
    yield (
        f"Smallest difference in {metric_label(power.metric)} between two {of} that is found with "
        f"80 % power at the 5 % level{corrected}:"
    )
    for split in power.splits:
        yield f"  {_split(split, corrected=many)}"
    yield f"  {_basis(power)}"
    for split in power.splits:
        if split.uncertain:
            yield f"  {split.split} has {split.uncertain}: what it can show is uncertain"
    if power.difference is not None:
        yield f"To find a difference of {power.difference:g}:"
        for split in power.splits:
            yield f"  {split.split}: {_needed(split, power)}"


def known_power(plan: Plan) -> Iterator[str]:
    """The same where scores are known, those of the base model at least; else nothing."""
    from embft.planning.sweep_power import sweep_power

    found = sweep_power(plan)
    if found.basis != "assumed scores":
        yield from lines(found)


def _split(split: SplitPower, *, corrected: bool) -> str:
    from embft.leaderboard.labels import plural

    worth = ""
    if split.independent_pairs < 0.95 * split.pairs:
        worth = f" (worth {split.independent_pairs:,.0f} that share no text)"
    head = f"{split.split}, {split.pairs:,} {plural(split.unit)}{worth}: "
    if split.detectable is None or split.corrected is None:
        return head + "too few to say"
    brackets = f" ({_range(split.corrected)})" if corrected else ""
    return f"{head}{_range(split.detectable)}{brackets}"


def _range(ends: tuple[float, float]) -> str:
    low, high = (f"{end:.2g}" if end < 0.1 else f"{end:.2f}" for end in ends)
    return low if low == high else f"{low} to {high}"


def _basis(power: Power) -> str:
    """Where the numbers come from, and what would make them surer."""
    seeds = ""
    if power.seeds > 1:
        seeds = " What seeds add is not known before two seeds of a configuration have run."
    if power.seeds_sd is not None:
        seeds = f" Seeds vary by {power.seeds_sd:.2g} (sd)."
    if power.correlations is None:
        return f"From trained trials' own scores; four of five couples lie in the range.{seeds}"
    low, high = power.correlations
    range_ = f"for two models whose scores correlate by {high:g} to {low:g} over resampled pairs"
    if power.basis == "base model":
        return f"From the base model's scores, {range_}; trained trials will narrow it.{seeds}"
    assumed = "scores that correlate by 0.5 with the labels"
    if any(split.unit != "pair" for split in power.splits):
        from embft.planning.unit_power import SPREADS

        assumed = "values by query with a standard deviation of {} to {}".format(*SPREADS)
    return (
        f"From assumed {assumed}, {range_}; "
        f"`embft plan --measure` scores the base model, and trained trials narrow it.{seeds}"
    )


def _needed(split: SplitPower, power: Power) -> str:
    from embft.leaderboard.labels import plural

    units = plural(split.unit)
    if split.detectable is None:
        return f"too few {units} to say"
    pairs = f"{_numbers(split.needed_pairs, units)} (there are {split.pairs:,})"
    if power.seeds_sd is None:
        return f"{pairs}; how many seeds is not known before two have run"
    seeds = "one seed" if power.seeds == 1 else f"{power.seeds} seeds"
    return f"{pairs} with {seeds}, or on these {_numbers(split.needed_seeds, 'seeds')}"


def _numbers(needed: Needed | None, what: str) -> str:
    """`4,700 to 47,000 pairs`, rounded up to two digits."""
    low, high = needed or (None, None)
    if low is None:
        return f"no number of {what}"
    if high is None:
        return f"{_rounded(low)} {what} or more; for some couples no number"
    return (
        f"{_rounded(low)} {what}" if low == high else f"{_rounded(low)} to {_rounded(high)} {what}"
    )


def _rounded(number: int) -> str:
    step = 10 ** max(len(str(number)) - 2, 0)
    return f"{-(-number // step) * step:,}"


@click.command()
@click.argument("spec", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--results",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("results"),
    show_default=True,
    help="Folder for what sweeps write; trials that are finished there are made use of.",
)
@click.option(
    "--difference",
    type=click.FloatRange(0, min_open=True),
    help="Also say how many pairs and seeds show a difference of this size in the objective.",
)
@TABLE_OR_JSON
@TRUST
def power(spec: Path, results: Path, difference: float | None, form: str, trusted: bool) -> None:
    """Say what difference the dev and test of SPEC can show, and what a smaller one would need.

    Before a sweep it is a range over stated correlations between models; trained trials narrow it.
    """
    from embft.planning.sweep_power import sweep_power

    found = sweep_power(planned(spec, results, trusted), difference)
    if form == "json":
        click.echo(json.dumps(asdict(found), indent=2, allow_nan=False))
    else:
        from embft.cli.console import say

        for line in lines(found):
            say(new_console(), line, hang=2)
