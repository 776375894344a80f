"""`embft verify`: a trial run again, an exported folder, or a model that something else serves."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NoReturn

import click

from embft.cli.data import COLUMNS, LABEL_RANGE, TRUST, given_splits
from embft.cli.options import TRIALS_BELOW
from embft.cli.path_options import Given
from embft.errors import EXIT_FAILED, EmbftError

if TYPE_CHECKING:
    from embft.results.folders import TrialDir
    from embft.shipping.price import Price
    from embft.shipping.rerun import Rerun
    from embft.shipping.served import Verdict


@click.command()
@click.argument("model", type=Given())
@click.option("--endpoint", "url", metavar="URL", help="A server that should serve MODEL.")
@click.option("--onnx", type=click.Path(path_type=Path), help="A folder with MODEL as ONNX.")
@click.option("--openvino", type=click.Path(path_type=Path), help="The same for OpenVINO.")
@click.option(
    "--api",
    type=click.Choice(["openai", "tei"]),
    help="What the server speaks; by default as its path says: .../v1/embeddings or .../embed.",
)
@click.option("--model-name", help="MODEL's name on the server. [default: its last part]")
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=60.0,
    show_default=True,
    help="Seconds to wait for an answer.",
)
@click.option(
    "--data",
    "sources",
    multiple=True,
    type=click.Path(path_type=Path),
    help="Pairs that a fault is priced on, as in `embft evaluate`. A trial has its own.",
)
@COLUMNS
@LABEL_RANGE
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1, min_open=True),
    help="How far embeddings of length 1 may lie apart. [default: 0.0002; with 16 bits 0.05]",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@TRIALS_BELOW
@TRUST
def verify(  # noqa: PLR0913, PLR0917 - a parameter for each option
    model: str,
    url: str | None,
    onnx: Path | None,
    openvino: Path | None,
    api: Literal["openai", "tei"] | None,
    model_name: str | None,
    timeout: float,
    sources: tuple[Path, ...],
    columns: tuple[str, str, str],
    label_range: tuple[float, float] | None,
    tolerance: float | None,
    form: str,
    results: Path,
    trusted: bool,
) -> None:
    """Verify MODEL: run a trial again, check an exported folder, or compare what is served.

    Without --endpoint, --onnx and --openvino a trial is run again from its record, in a temporary
    folder, and an exported folder is loaded again. With one of them the embeddings that come from
    there are compared with MODEL's, and a fault is named and priced. A trial is named by its
    short name, its name or its folder. Nothing is written into a sweep.

    Exit status: 0 it is the same, 1 it differs, 2 the input is at fault.
    """
    from embft.cli.commands import quiet_libraries
    from embft.leaderboard.lookup import find_trial, looked_up

    quiet_libraries()
    trial = looked_up(model, results)
    given = [each for each in (url, onnx, openvino) if each is not None]
    if len(given) > 1:
        raise EmbftError("give one of --endpoint, --onnx and --openvino")
    if not given:
        from embft.shipping.exported import is_exported

        if trial is None and is_exported(Path(model)):
            _verify_exported(Path(model), form, trusted)
        _verify_trial(trial or find_trial(model, results), form)
    from embft.models.trained import find_trained
    from embft.shipping.served import verify_served, yardstick

    embed = _embed(url, onnx, openvino, api, model_name or Path(model).name, timeout)
    pairs = given_splits(sources, label_range, columns, scoring=True).test if sources else None
    found = find_trained(str(trial.path) if trial else model, trusted=trusted)
    verdict = verify_served(embed, yardstick(found, trial, pairs, tolerance))
    lines = _served_lines(str(given[0]), model, verdict)
    _end(form, verdict.is_same, lines, _served_content(verdict))


def _embed(  # noqa: PLR0913, PLR0917 - what the three ways of serving take
    url: str | None,
    onnx: Path | None,
    openvino: Path | None,
    api: Literal["openai", "tei"] | None,
    name: str,
    timeout: float,
) -> Callable[[Sequence[str]], Any]:
    """What gives the embeddings that are to be verified."""
    if url is not None:
        from embft.shipping.endpoint import endpoint

        return endpoint(url, api, name, timeout).embed
    from embft.shipping.formats import find_graph, open_format

    suffix = ".onnx" if onnx else ".xml"
    return open_format(*find_graph(onnx or openvino or Path(), suffix)).embed


def _end(form: str, same: bool, lines: Iterable[str], content: dict[str, Any]) -> NoReturn:
    """Print what was found, and end with the status that says so too."""
    from embft.system.text import printable

    text = json.dumps(content, indent=2) if form == "json" else printable("\n".join(lines))
    click.echo(text)
    sys.exit(0 if same else EXIT_FAILED)


def _verify_exported(folder: Path, form: str, trusted: bool) -> NoReturn:
    from embft.shipping.exported import check_exported

    found = check_exported(folder, trusted=trusted)
    lines = [f"{folder}: {fault}" for fault in found.faults] or [
        f"{folder}: as it was exported; the embeddings of {found.texts} texts differ by at most "
        f"{found.difference:.0e} of their length"
    ]
    _end(form, not found.faults, lines, {"same": not found.faults, "faults": list(found.faults)})


def _verify_trial(trial: TrialDir, form: str) -> NoReturn:
    from embft.results.records import Completed
    from embft.shipping.rerun import run_again

    result = trial.result()
    if form == "text" and isinstance(result, Completed):
        click.echo(
            f"{trial.name}: runs again, which took {result.timings.total:.0f} s then", err=True
        )
    found = run_again(trial)
    _end(form, found.outcome != "different", _rerun_lines(found), _rerun_content(found))


def _rerun_lines(found: Rerun) -> Iterator[str]:
    score = found.scores[found.objective]
    between = "" if score.interval is None else " ({:.4f} to {:.4f})".format(*score.interval)
    yield f"{found.trial}: {found.outcome}"
    yield f"  {found.objective}: recorded {score.recorded:.6f}{between}, now {score.now:.6f}"
    if not found.identical:
        yield f"  largest difference of one pair's similarity: {found.pair_difference:.1e}"
        outside = [name for name, each in found.scores.items() if not each.is_inside]
        yield f"  outside of their intervals: {', '.join(outside) or 'none'}"
    for name, (then, now) in found.changed.items():
        yield f"  environment: {name} was {then}, is {now}"
    if not found.changed:
        yield "  environment: the same"


def _rerun_content(found: Rerun) -> dict[str, Any]:
    return {
        "trial": found.trial,
        "outcome": found.outcome,
        "objective": found.objective,
        "pair_difference": found.pair_difference,
        "scores": {
            name: {"recorded": s.recorded, "now": s.now, "interval": s.interval}
            for name, s in found.scores.items()
        },
        "changed": {name: {"then": a, "now": b} for name, (a, b) in found.changed.items()},
    }


def _served_lines(where: str, model: str, verdict: Verdict) -> Iterator[str]:
    found = verdict.examination
    if verdict.is_same:
        yield (
            f"{where}: serves {model}: alone, in batches, long and with prompts, {found.texts} "
            f"texts; embeddings of length 1 lie {found.difference:.0e} apart"
        )
        return
    yield f"{where}: is not {model} as it should be served"
    for finding in found.findings:
        apart = "" if finding.difference is None else f" (distance {finding.difference:.2g})"
        yield f"  {finding.fault}: {finding.message}{apart}"
    yield f"  price: {_price_words(verdict.price)}"


def _price_words(found: Price | None) -> str:
    from embft.leaderboard.labels import metric_label, number

    if found is None:
        return "unknown without labelled pairs: give --data"
    low, high = found.interval or (found.loss, found.loss)
    return (
        f"{metric_label(found.metric)} {number(found.other)} instead of {number(found.own)} on "
        f"{found.pairs:,} test pairs, a loss of {number(found.loss)} "
        f"({number(low)} to {number(high)})"
    )


def _served_content(verdict: Verdict) -> dict[str, Any]:
    found = verdict.examination
    return {
        "same": verdict.is_same,
        "difference": found.difference if math.isfinite(found.difference) else None,
        "texts": found.texts,
        "findings": [asdict(finding) for finding in found.findings],
        "price": None if verdict.price is None else asdict(verdict.price),
    }
