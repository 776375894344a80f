"""The built-in prompt templates: a wording around the text, by name.

Wordings of arXiv 2507.22729, table 1. A spec may also give a wording of its own.
"""

from __future__ import annotations

from embft.errors import nearest

TEXT = "{text}"
PROMPT_TEMPLATES = {
    "none": "{text}",
    "eol": 'This sentence: "{text}" means in one word:',
    "cluster": 'This sentence: "{text}" belongs to the following cluster:',
    "cluster-prefix": "Cluster the text: {text}",
    "summary": 'This sentence: "{text}" can be summarized as',
    "pretended-cot": 'After thinking step by step, this sentence: "{text}" means in one word:',
    "classification": 'This sentence : "{text}" can be classified as:',
    "question": 'Which cluster would you assign the sentence: "{text}" to?',
    "knowledge": (
        "The essence of a sentence is often captured by its main subjects and actions, while "
        "descriptive terms provide additional but less central details. With this in mind, this "
        'sentence : "{text}" means in one word:'
    ),
}


def named_prompt_template(value: str) -> str | None:
    """A built-in wording under its name, another one as it is, the bare text as None.

    One wording has one form, so that a trial has one key. Raises ValueError for what is neither a
    name nor a wording with `{text}` in it once.
    """
    wording = PROMPT_TEMPLATES.get(value, value)
    if wording.count(TEXT) != 1:
        raise ValueError(
            f"{value!r} is neither a prompt template's name ({nearest(value, PROMPT_TEMPLATES)}) "
            "nor a wording with {text} in it once"
        )
    if wording == TEXT:
        return None
    return next((name for name, text in PROMPT_TEMPLATES.items() if text == wording), wording)


def around(template: str) -> tuple[str, str]:
    """What stands before and after the text in a prompt template, given by name or wording."""
    before, _, after = PROMPT_TEMPLATES.get(template, template).partition(TEXT)
    return before, after
