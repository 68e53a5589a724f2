# SPDX-License-Identifier: Apache-2.0
"""What DepthLM is asked, and what its answer says. Standard library and `errors`.

`read_distance` is for robots: the last ``<answer>``, one positive number, anything else is a
failure. `official_value` is what the authors' evaluation makes of an answer, which reads numbers
out of almost anything; it is here to reproduce their figures.

Source: DepthLM (2025).
"""

from __future__ import annotations

import math
import re
import threading
from typing import Any

from metric_depth_ros.errors import InputError

SYSTEM = 'You are a helpful assistant.'
QUESTION = (
    'Given this image, how far is the point pointed by the red arrow from the camera? Output the '
    'thinking process in <think> </think> and final answer (the meter number only, without the '
    'unit) in <answer> </answer> tags.'
)
THRESHOLD = 1.25

_ANSWER = re.compile(r'<answer>((?:(?!<answer>).)*?)</answer>', re.DOTALL | re.IGNORECASE)
_PLAIN_NUMBER = re.compile(r'(\d+(?:\.\d*)?|\.\d+)\s*(?:m|meters?|metres?)?', re.IGNORECASE)
_FARTHEST_M = 1e5
_SHOWN = 120


def messages(kind: str, image: Any) -> list[dict[str, Any]]:
    """Return the question in the form of a chat template.

    Parameters
    ----------
    kind
        ``'qwen_default'``, ``'qwen_with_system_flag'`` or ``'pixtral'``, whose template has its
        own word for a text.
    image
        What stands for the image.
    """
    text = 'content' if kind == 'pixtral' else 'text'
    user = [{'type': 'image', 'image': image}, {'type': 'text', text: QUESTION}]
    asked: list[dict[str, Any]] = [{'role': 'user', 'content': user}]
    if kind == 'qwen_with_system_flag':
        asked.insert(0, {'role': 'system', 'content': [{'type': 'text', 'text': SYSTEM}]})
    return asked


def qwen_prompt(question: str = QUESTION) -> str:
    """Return a question as the template of Qwen2.5-VL renders it, with one image token."""
    return (
        f'<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>'
        f'<|image_pad|><|vision_end|>{question}<|im_end|>\n<|im_start|>assistant\n'
    )


def pixtral_prompt(question: str = QUESTION) -> str:
    """Return a question as the template of Pixtral renders it, with one image token."""
    return f'<s>[INST][IMG]{question}[/INST]'


def read_distance(answer: str) -> float:
    """Return the distance in meters that an answer states.

    Raises
    ------
    InputError
        `answer_unreadable`: anything but one positive number in its last ``<answer>``.
    """
    blocks = _ANSWER.findall(answer)
    found = _PLAIN_NUMBER.fullmatch(blocks[-1].strip()) if blocks else None
    distance = float(found[1]) if found else math.nan
    if not 0.0 < distance <= _FARTHEST_M:
        raise InputError(
            'answer_unreadable',
            f'the answer {answer[:_SHOWN]!r} states no distance: expected '
            '<answer> meters </answer> with one positive number.',
        )
    return distance


def target(distance: float) -> str:
    """Return the answer that the model was trained to give."""
    return f'{thinking(distance)}\n\n<answer> {distance:.2f} </answer>'


def thinking(distance: float) -> str:
    """Return the part of an answer before the number."""
    return f'<think> The point is around {distance:.2f} meters away from the camera. </think>'


def official_value(answer: str) -> float | None:
    """Return the number that the authors' evaluation reads, None where it reads none.

    They read with Math-Verify, over the whole answer. It gives a formula up after some seconds,
    in the main thread only.

    Raises
    ------
    InputError
        `library_missing`: Math-Verify is not installed.
    """
    try:
        from math_verify import parse
    except ImportError as error:
        raise InputError(
            'library_missing',
            "reading answers as DepthLM's evaluation does needs math-verify: run "
            '`pip install math-verify`.',
        ) from error
    # Its limit of time is an alarm, which only the main thread can have set; without it, it would
    # read nothing in the others.
    in_main = threading.current_thread() is threading.main_thread()
    limit_s = {} if in_main else {'parsing_timeout': None}
    try:
        return float(parse(answer, **limit_s)[0])
    except Exception:  # whatever a formula does to it, their evaluation counts it as no answer
        return None


def official_reward(answer: str, truth: float) -> float:
    """Return 1 for an answer within a factor of 1.25 of the truth, as the authors count, or 0.

    Negative answers count as right and 0 as wrong, for that is what their formula says of them.
    """
    value = official_value(answer)
    if not value or not truth:
        return 0.0
    return float(max(value / truth, truth / value) < THRESHOLD)
