# SPDX-License-Identifier: Apache-2.0
"""What DepthVLM is told, as the template of Qwen3-VL renders it. Standard library."""

from __future__ import annotations

SYSTEM = 'You are a helpful assistant.'
PROMPT = (
    'Given this image, estimate the metric depth (in meters, rounded to two decimal places) for '
    'every pixel of the image.'
)
IMAGE_TOKEN = '<|image_pad|>'
END_TOKEN = '<|im_end|>'


def rendered(question: str = PROMPT, image_tokens: int = 1) -> str:
    """Return the text of one image and one question, up to where the model speaks.

    Parameters
    ----------
    question
        What to do with the image.
    image_tokens
        How many tokens the image has.
    """
    return (
        f'<|im_start|>system\n{SYSTEM}{END_TOKEN}\n<|im_start|>user\n<|vision_start|>'
        f'{IMAGE_TOKEN * image_tokens}<|vision_end|>{question}{END_TOKEN}\n'
        '<|im_start|>assistant\n'
    )
