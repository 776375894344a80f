"""What a spec alone cannot say: whether its loss and its objective fit the data."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from embft.data.pairs import Splits
from embft.data.synthetic import synthetic_sets
from embft.errors import EmbftError
from embft.metrics.pair_definitions import PAIR_METRICS
from embft.metrics.ranking import names_at
from embft.metrics.registry import METRICS
from embft.results.evaluators import EvaluatorFiles
from embft.spec import EvaluatorSpec, Objective, TrialSpec, unfit_reason
from embft.spec.objective import PAIR_OBJECTIVES, giving


def check_loss(trial: TrialSpec, splits: Splits) -> None:
    """Refuse a loss that cannot train on such data."""
    if trial.is_baseline:
        return
    train, shape = splits.train, splits.train_shape
    if not len(train):
        raise EmbftError(
            "data: there are no judgements for train, so that nothing can be trained on: give "
            "some, or compare base models as they are (train.method: none)"
        )
    loss = trial.train.loss
    reason = unfit_reason(loss, shape, binary=train.is_binary, negatives=splits.negatives)
    if reason is None:
        return
    turned = ""
    if splits.mining is not None:
        turned = ". data.negatives makes triplets of them: with such a loss leave it out"
    elif train.is_binary and shape not in loss.traits.shapes:
        shapes = " or ".join(loss.traits.shapes)
        turned = f". Or turn them into what it needs: `data.shape: {shapes}`"
    raise EmbftError(f"train.loss: {reason}{turned}")


def objective_note(objective: Objective) -> str | None:
    """What to say where the worst would be ranked first; None where nothing is."""
    metric = METRICS.get(objective.metric)
    if metric is None or metric.direction is None or metric.direction == objective.mode:
        return None
    better = "lower" if metric.direction == "min" else "higher"
    return (
        f"objective.mode is {objective.mode}, and of {objective.metric} {better} is better: the "
        f"worst trial will be ranked first. Is {metric.direction} meant?"
    )


def judged_notes(read: Mapping[EvaluatorSpec, EvaluatorFiles]) -> Iterator[str]:
    """What is wrong with judgements that an evaluator brings: the audit looks at the data alone."""
    from embft.data.audit.judged import judged_faults

    for entry, files in read.items():
        for fault in judged_faults(files.judged):
            if fault.severity != "info":
                yield f"evaluator {entry.label}: {fault.message}. {fault.effect}"


def check_one_kind(data: Iterable[Splits]) -> None:
    """Refuse a sweep in which some data are judged by synthetic queries and others are not."""
    kinds = {synthetic_sets(splits.retrieval) for splits in data}
    if len(kinds) > 1:
        raise EmbftError(
            "data: some of the sweep's dev or test queries are synthetic and those of other data "
            "are not: their scores do not stand in one table. Give each kind a sweep of its own; "
            "to compare training on either, give all the same dev and test (data.retrieval)"
        )


def check_objective(metric: str, splits: Splits) -> None:
    """Refuse an objective that the dev split's labels cannot give."""
    if metric not in PAIR_METRICS:
        return
    if PAIR_METRICS[metric].binary_only and not splits.dev.is_binary:
        graded = [name for name in PAIR_OBJECTIVES if not PAIR_METRICS[name].binary_only]
        raise EmbftError(
            f"the objective has {metric}, which needs labels 0 and 1, but the labels are graded: "
            f"use one of {', '.join(graded)}"
        )
    if len(set(splits.dev.label.tolist())) < 2:
        raise EmbftError(
            f"all {len(splits.dev)} labels of the dev split are {splits.dev.given_label(0):g}: no "
            "metric can rank trials on them; give a dev split with both kinds of pairs"
        )


def check_ranked(metric: str, evaluators: Sequence[EvaluatorSpec], splits: Splits) -> None:
    """Refuse a metric of retrieval that such data do not give: pairs have a few of them, judged
    queries those with a cut-off.
    """
    entry = giving(metric, evaluators)
    if entry is None:
        return
    from embft.evaluation.pair_retrieval import OF_PAIRS  # these two take longer than a plan may
    from embft.evaluation.retrieval import Retrieval

    if not isinstance(entry.fields, Retrieval) or entry.fields.files():
        return
    of_pairs = [each.name for each in OF_PAIRS]
    allowed = of_pairs if splits.retrieval is None else list(names_at(entry.fields.k))
    if metric not in allowed:
        what = "pairs" if splits.retrieval is None else "judged queries"
        raise EmbftError(
            f"the objective has {metric}, which the evaluator `retrieval` does not have on "
            f"{what}: use one of {', '.join(allowed)}"
        )


_OF_A_CORPUS = ("index", "precision")


def check_corpus_fields(evaluators: Sequence[EvaluatorSpec], splits: Splits) -> None:
    """Refuse fields of `retrieval` that pairs alone would leave without any effect."""
    for entry in evaluators:
        if entry.kind != "retrieval" or entry.files or splits.retrieval is not None:
            continue
        given = [name for name in _OF_A_CORPUS if name in entry.fields.content()]
        if given:
            raise EmbftError(
                f"evaluators, retrieval: `{given[0]}` is for a corpus with judged queries, and "
                "these data are pairs: leave it out, or give the evaluator files of its own "
                "(corpus, queries, qrels)"
            )
