# SPDX-License-Identifier: Apache-2.0
"""What the language models that see have in common. Imports transformers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.options import EstimatorOptions
from metric_depth_ros.networks.checkpoint_files import first_line

MOST_TOKENS = 256  # of an answer


def load_tokenizer(folder: Path) -> Any:
    """Return the tokenizer of a checkpoint's folder.

    Raises
    ------
    InputError
        `checkpoint_missing`: a folder without one.
    """
    try:
        return AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False
        )
    except Exception as error:  # of files that are damaged in any way
        raise InputError(
            'checkpoint_missing',
            f'the tokenizer of {folder} cannot be loaded ({first_line(error)}): expected '
            'tokenizer.json and tokenizer_config.json beside the weights.',
        ) from error


def plain_words(question: str, tokenizer: Any) -> str:
    """Return a question without what the tokenizer would read as markup of the conversation.

    A question comes from outside: it could end its turn and speak for the model, or hold tokens
    that stand for an image.
    """
    marks = {str(token) for token in tokenizer.get_added_vocab()} | set(
        tokenizer.all_special_tokens
    )
    question = question.replace('<|', '< |')
    for mark in sorted(marks, key=len, reverse=True):
        if len(mark) > 1:
            question = question.replace(mark, f'{mark[0]} {mark[1:]}')
    return question.strip()


def refuse_options(name: str, options: EstimatorOptions) -> None:
    """Refuse options that language models do not have.

    Raises
    ------
    InputError
        `estimator_option`.
    """
    fixed = {'resolution_scale': 1.0, 'backend': 'torch', 'preset': 'full', 'compile': False}
    for option, value in fixed.items():
        given = getattr(options, option)
        if given != value:
            raise InputError(
                'estimator_option',
                f'{option} is {given!r}, which {name} does not have: set it to {value!r}. Its '
                'resolution follows from the focal length.',
            )
