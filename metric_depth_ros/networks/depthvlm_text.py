# SPDX-License-Identifier: Apache-2.0
"""What DepthVLM is told, as the template of Qwen3-VL renders it. Standard library."""

from __future__ import annotations

SYSTEM = 'You are a helpful assistant.'
PROMPT = (
    'Given this image, estimate the metric depth (in meters, rounded to two decimal places) for '
    'every pixel of the image.'
)
STAGE2_REPLY = 'OK, I will estimate the depth map of this image.'
IMAGE_TOKEN = '<|image_pad|>'
END_TOKEN = '<|im_end|>'


def rendered(question: str = PROMPT, reply: str = '', image_tokens: int = 1) -> str:
    """Return the text of one image and one question.

    Parameters
    ----------
    question
        What to do with the image.
    reply
        What the model said, for training; empty leaves it to the model.
    image_tokens
        How many tokens the image has.
    """
    asked = (
        f'<|im_start|>system\n{SYSTEM}{END_TOKEN}\n<|im_start|>user\n<|vision_start|>'
        f'{IMAGE_TOKEN * image_tokens}<|vision_end|>{question}{END_TOKEN}\n'
        '<|im_start|>assistant\n'
    )
    return asked + (f'{reply}{END_TOKEN}\n' if reply else '')
