"""Sampling that gives each row of a batch random numbers of its own.

`generate(do_sample=True)` draws for a whole batch from one global stream, so that an answer would
depend on its neighbours. Here each row has a generator; the token is the argmax of log-probability
plus Gumbel noise, which is a sample (Gumbel, 1954; Maddison, Tarlow and Minka, 2014).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import LogitsProcessor, TemperatureLogitsWarper, TopPLogitsWarper


class RowSampler(LogitsProcessor):
    """Turns greedy decoding into sampling with temperature and top-p, row by row.

    seeds: one for each row of the batch.
    """

    def __init__(self, seeds: Sequence[int], temperature: float, top_p: float) -> None:
        self.streams = [torch.Generator().manual_seed(seed) for seed in seeds]
        self.warpers = [TemperatureLogitsWarper(temperature), TopPLogitsWarper(top_p)]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Logits (rows, vocabulary) -> logits whose argmax is the sampled token."""
        warped = scores.float()
        for warper in self.warpers:
            warped = warper(input_ids, warped)
        noise = torch.stack(
            [torch.empty(scores.shape[1]).exponential_(generator=g) for g in self.streams]
        )
        return warped - noise.log().to(scores.device)
