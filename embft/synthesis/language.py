"""Generators with language models from local folders: rewriting, and translation there and back.

Nothing is downloaded. A model may be a decoder or have an encoder; what it was trained for is the
user's matter.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    LogitsProcessorList,
)
from transformers.utils import logging as transformers_logging

from embft.errors import ModelError
from embft.synthesis.filters import THOUGHTS, THOUGHTS_END
from embft.synthesis.generators import Generate, Settings, stream, stream_seed
from embft.synthesis.sampling import RowSampler

MAX_TEXT_TOKENS = 400
"""Longer texts are cut before they are put into a prompt, so that its end survives."""

# The kinds of rewriting are those of arXiv 2507.22729; the wording is ours.
INSTRUCTIONS = {
    "detail": "Write the text again with more detail, without changing what it says.",
    "simple": "Say the same as the text in simpler words.",
    "teacher": "Explain what the text says, as a teacher would explain it to a class.",
    "metaphor": "Say what the text says by means of a metaphor.",
    "question": "Turn the text into a question about the same matter.",
}
_QUESTION = "Write one question that the text answers, in words other than those of the text."
_FORM = "{instruction} Answer with the {wanted} alone.\n\nText: {text}"


class LanguageModel:
    """A generating model and its tokenizer. Raises ModelError when the folder holds none."""

    def __init__(self, folder: Path) -> None:
        try:
            transformers_logging.disable_progress_bar()
            config = AutoConfig.from_pretrained(folder, local_files_only=True)
            self.encodes = bool(config.is_encoder_decoder)
            kind = AutoModelForSeq2SeqLM if self.encodes else AutoModelForCausalLM
            self.tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, padding_side="right" if self.encodes else "left"
            )
            model: Any = kind.from_pretrained(
                folder, dtype="auto", local_files_only=True, use_safetensors=True
            )
        except (OSError, ValueError, KeyError, ImportError) as error:
            reason = " ".join(str(error).split())[:300]
            raise ModelError(
                f"{folder}: no generating model with its tokenizer can be loaded from this folder "
                f"({reason}). Give the folder of a local model in Hugging Face's format"
            ) from None
        if self.tokenizer.pad_token is None:
            self.tokenizer.pad_token = self.tokenizer.eos_token
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.model = model.eval().to(self.device)

    @torch.no_grad()
    def answers(
        self, prompts: Sequence[str], max_new_tokens: int, sampler: RowSampler | None
    ) -> list[str]:
        """What the model says to each prompt: sampled, or without a sampler the likeliest words."""
        # A chat form already has the special tokens; a prompt must not lose its end.
        form: dict[str, Any] = {"add_special_tokens": self.tokenizer.chat_template is None}
        if self.encodes:
            form = {"truncation": True, "max_length": self._longest()}
        given = self.tokenizer(list(prompts), return_tensors="pt", padding=True, **form)
        given = given.to(self.device)
        given.pop("token_type_ids", None)
        said = self.model.generate(
            **given,
            generation_config=self._how(max_new_tokens),
            logits_processor=LogitsProcessorList([sampler] if sampler else []),
        )
        new = said if self.encodes else said[:, given["input_ids"].shape[1] :]
        found = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        return [" ".join(str(text).split()) for text in found]

    def prompt(self, text: str, instruction: str, wanted: str = "new text") -> str:
        """The instruction and the text, in the model's chat form where it has one. wanted: what the
        answer is to be.
        """
        tokens = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        if len(tokens) > MAX_TEXT_TOKENS:
            text = str(self.tokenizer.decode(tokens[:MAX_TEXT_TOKENS], skip_special_tokens=True))
        asked = _FORM.format(instruction=instruction, wanted=wanted, text=text)
        if self.tokenizer.chat_template is None:
            return f"{asked}\n\n{wanted.capitalize()}:"
        turns = [{"role": "user", "content": asked}]
        # Models that can think first would spend their tokens on that; other forms ignore the word.
        return str(
            self.tokenizer.apply_chat_template(
                turns, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
        )

    def _longest(self) -> int:
        positions = getattr(self.model.config, "max_position_embeddings", None) or 512
        return min(int(positions), int(self.tokenizer.model_max_length))

    def _how(self, max_new_tokens: int) -> Any:
        """The model's own settings (its end and start tokens), but for how tokens are chosen."""
        how = copy.deepcopy(self.model.generation_config)
        how.update(
            do_sample=False,
            num_beams=1,
            temperature=None,
            top_p=None,
            top_k=None,
            max_length=None,
            max_new_tokens=max_new_tokens,
            pad_token_id=self.tokenizer.pad_token_id,
        )
        return how


def rewriter(settings: Settings) -> Generate:
    """An instruct model that rewrites each text by one of `INSTRUCTIONS`, drawn at random."""
    model = LanguageModel(settings.models[0])

    def generate(texts: Sequence[str], attempt: int) -> list[str]:
        drawn = [stream(settings, text, attempt).picks(list(INSTRUCTIONS)) for text in texts]
        prompts = [
            model.prompt(text, INSTRUCTIONS[name]) for text, name in zip(texts, drawn, strict=True)
        ]
        return _said(model, prompts, settings, texts, attempt)

    return generate


def questioner(settings: Settings) -> Generate:
    """An instruct model that asks a question about each text."""
    model = LanguageModel(settings.models[0])

    def generate(texts: Sequence[str], attempt: int) -> list[str]:
        prompts = [model.prompt(text, _QUESTION, "question") for text in texts]
        return _said(model, prompts, settings, texts, attempt)

    return generate


def _said(
    model: LanguageModel,
    prompts: Sequence[str],
    settings: Settings,
    texts: Sequence[str],
    attempt: int,
) -> list[str]:
    """What the model says to the prompts of these texts, without thoughts and quotation marks."""
    found = model.answers(prompts, settings.max_new_tokens, _sampler(settings, texts, attempt))
    return [
        _unquoted(_without_thoughts(prompt, answer))
        for prompt, answer in zip(prompts, found, strict=True)
    ]


def back_translator(settings: Settings) -> Generate:
    """Two translation models, there and back: the likeliest translation, sampled ones later."""
    out, back = (LanguageModel(folder) for folder in settings.models)

    def translate(model: LanguageModel, texts: Sequence[str], attempt: int) -> list[str]:
        said = [text for text in texts if text.strip()]  # a model may have nothing to say
        if not said:
            return list(texts)
        sampler = _sampler(settings, said, attempt) if attempt else None
        found = iter(model.answers(said, settings.max_new_tokens, sampler))
        return [next(found) if text.strip() else "" for text in texts]

    def generate(texts: Sequence[str], attempt: int) -> list[str]:
        return translate(back, translate(out, texts, attempt), attempt)

    return generate


def _sampler(settings: Settings, texts: Sequence[str], attempt: int) -> RowSampler:
    seeds = [stream_seed(settings, text, attempt) for text in texts]
    return RowSampler(seeds, settings.temperature, settings.top_p)


def _without_thoughts(prompt: str, answer: str) -> str:
    """What is said after thinking. Thoughts that did not end stay, marked, for the filter.

    A chat form may itself open them at the prompt's end.
    """
    if THOUGHTS_END in answer:
        return answer.rpartition(THOUGHTS_END)[2].strip()
    if prompt.rstrip().endswith(THOUGHTS) and not answer.startswith(THOUGHTS):
        return f"{THOUGHTS} {answer}"
    return answer


def _unquoted(answer: str) -> str:
    """The answer without quotation marks around it as a whole."""
    for opening, closing in ('""', "''", "“”", "„“"):
        inner = answer[1:-1]
        if answer[:1] == opening and answer[1:][-1:] == closing and opening not in inner:
            return inner.strip()
    return answer
