# SPDX-License-Identifier: Apache-2.0
"""What DepthLM is asked, and what its answer says. Standard library and `errors`.

`read_distance` is for robots: the last ``<answer>``, one positive number, anything else is a
failure. `official_value` is what the authors' evaluation makes of an answer, which reads numbers
out of almost anything; it is here to reproduce their figures.

Source: DepthLM (2025); the rules of Math-Verify 0.8.0 as far as answers about a distance go.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from collections.abc import Callable, Iterator
from typing import Any

from metric_depth_ros.errors import InputError

SYSTEM = 'You are a helpful assistant.'
QUESTION = (
    'Given this image, how far is the point pointed by the red arrow from the camera? Output the '
    'thinking process in <think> </think> and final answer (the meter number only, without the '
    'unit) in <answer> </answer> tags.'
)
THRESHOLD = 1.25

_ANSWER = re.compile(r'<answer>(.*?)</answer>', re.DOTALL | re.IGNORECASE)
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


def qwen_prompt() -> str:
    """Return the question as the template of Qwen2.5-VL renders it, with one image token."""
    return (
        f'<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\n<|vision_start|>'
        f'<|image_pad|><|vision_end|>{QUESTION}<|im_end|>\n<|im_start|>assistant\n'
    )


def pixtral_prompt() -> str:
    """Return the question as the template of Pixtral renders it, with one image token."""
    return f'<s>[INST][IMG]{QUESTION}[/INST]'


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
    """Return the number that the authors' evaluation reads, None where it reads none."""
    for values in (_boxed(answer), _latex(answer), _expressions(answer)):
        for value in values:
            if value is not None:
                return value
    return None


def official_reward(answer: str, truth: float) -> float:
    """Return 1 for an answer within a factor of 1.25 of the truth, as the authors count, or 0.

    Negative answers count as right and 0 as wrong, for that is what their formula says of them.
    """
    value = official_value(answer)
    if not value or not truth:
        return 0.0
    return float(max(value / truth, truth / value) < THRESHOLD)


# Rules of Math-Verify, the more certain ones first: LaTeX, then numbers after the word "answer",
# then any number. Of several, the one that ends last counts.
_NUMBER = (
    r'(?<!\d)(?:(?P<grouped>-?[1-9]\d{0,2}(?:[ ,]\d{3})+)(?P<grouped_decimal>\.\d+)?|'
    r'(?P<whole>-?\d+)(?P<decimal>[.,]\d+)|(?P<fraction>\.\d+)|(?P<integer>-?\d+))'
    r'(?P<percent>\s*(?:%|[Pp]ercent(?:age)?|[Pp]ct))?'
)
_OPERATORS = r'\+\-\*\×\/\^\(\)\÷'
_EXPRESSION_CHARACTER = rf'[\d\.\s{_OPERATORS}]'
_EXPRESSION = (
    rf'(?P<expression>-?\(?-?\d{_EXPRESSION_CHARACTER}*[{_OPERATORS}]{_EXPRESSION_CHARACTER}+\)?)'
)
_BEFORE = r'(?:^|\s|\=)(?:\*\*)?'
_AFTER = r'(?:\*\*)?(?:\.|,|:|\s|\)|\$|$)'
_ANCHORED_EXPRESSION = rf'(?:{_BEFORE}{_EXPRESSION}{_AFTER})'
_ANCHORED_NUMBER = rf'(?:{_BEFORE}[$€£¥₹]?{_NUMBER})'
_EITHER = rf'(?:{_ANCHORED_EXPRESSION}|{_ANCHORED_NUMBER})'
_PRIORITIES = (
    (rf'(?i:final answer is)\:?\s*{_EITHER}\.?\s?I hope',),
    (rf'(?i:final answer.{{0,100}}?)\s+is\:?{_EITHER}',),
    (rf'(?i:answer):(?:.{{0,100}}=\s*|.{{0,50}}?){_EITHER}(?!\s*=)',),
    (rf'(?i:answer)(?:.{{0,100}}=\s*|.{{0,50}}?){_EITHER}(?!\s*=)',),
    (_ANCHORED_EXPRESSION, _ANCHORED_NUMBER),
)
_LATEX_NUMBER = re.compile(r'-?\d+(?:\.\d+)?')
_LATEX_FRACTION = re.compile(r'(-?)\\frac\{(-?\d+(?:[.,]\d+)?)\}\{(-?\d+(?:[.,]\d+)?)\}')
_DOLLARS = re.compile(r'(?<![\\\d])\$([^\n$]+?)(?<!\\)\$')
_BOX = re.compile(r'\\boxed\{([^{}]+)\}')
_MOST_CHARACTERS = 64
_BINARY: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def _boxed(answer: str) -> Iterator[float | None]:
    for found in reversed(_BOX.findall(answer)):
        yield _latex_value(found)


def _latex(answer: str) -> Iterator[float | None]:
    for found in reversed(_DOLLARS.findall(answer)):
        yield _latex_value(found)
    for found in reversed(list(_LATEX_FRACTION.finditer(answer))):
        yield _latex_value(found[0])


def _latex_value(text: str) -> float | None:
    text = text.strip()
    fraction = _LATEX_FRACTION.fullmatch(text)
    if fraction:
        above, below = (float(part.replace(',', '.')) for part in fraction.groups()[1:])
        return None if below == 0.0 else (-1 if fraction[1] else 1) * above / below
    return float(text) if _LATEX_NUMBER.fullmatch(text) else None


def _expressions(answer: str) -> Iterator[float | None]:
    for patterns in _PRIORITIES:
        matches = [found for pattern in patterns for found in re.finditer(pattern, answer)]
        for found in sorted(matches, key=lambda m: (m.end(), -m.start()), reverse=True):
            yield _matched_value(found)


def _matched_value(found: re.Match[str]) -> float | None:
    groups = {name: value or '' for name, value in found.groupdict().items()}
    whole = groups.get('grouped') or groups.get('whole') or groups.get('integer') or ''
    decimal = groups.get('grouped_decimal') or groups.get('decimal') or groups.get('fraction')
    if whole or decimal:
        digits = whole.replace(',', '').replace(' ', '') or '0'
        value = float(digits + (decimal or '').replace(',', '.'))
        return value / 100.0 if groups.get('percent') else value
    return _arithmetic(groups.get('expression', ''))


def _arithmetic(text: str) -> float | None:
    """Compute sums and quotients of plain numbers; None for anything else."""
    if len(text) > _MOST_CHARACTERS or '^' in text or '**' in text:
        return None
    try:
        return float(_computed(ast.parse(text.strip(), mode='eval').body))
    except (SyntaxError, ValueError, ArithmeticError, RecursionError):
        return None


def _computed(node: ast.expr) -> float:
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return float(node.value)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return -_computed(node.operand)
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        compute = _BINARY[type(node.op)]
        return float(compute(_computed(node.left), _computed(node.right)))
    raise ValueError('no arithmetic')
