# SPDX-License-Identifier: Apache-2.0
"""What the networks on an image pyramid share: their configuration, and how they see an image.

Imports torch, `errors` and siblings.
"""

from __future__ import annotations

from dataclasses import dataclass
from reprlib import repr as shown

from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.networks.backbones.dinov2 import DinoV2Config
from metric_depth_ros.networks.backbones.dinov3 import DinoV3Config
from metric_depth_ros.networks.images import Normalization, normalized_canvas
from metric_depth_ros.networks.pyramid import canvas_multiple
from metric_depth_ros.networks.released import ReleasedNetwork

LARGEST_CANVAS_PX = 1 << 13
WIDEST = 4096  # channels of a map
LARGEST = 1 << 16  # number in a backbone


@dataclass(frozen=True)
class PyramidConfig:
    """Shape of a network; the defaults of a subclass are its released one.

    Attributes
    ----------
    backbone
        Vision transformer of the crops and, unless the network has others, of the global view.
    taps
        Blocks of it that feed the latent maps.
    widths
        Channels of the latent, full-size, half-size and global maps.
    decoder_width
        Channels of the decoder.
    head_width
        Channels of the head's last layers.
    canvas
        Side of the square in pixels that images are stretched to.

    Raises
    ------
    InputError
        `checkpoint_config` for widths that nobody could hold in memory, taps that the backbone
        does not have, or a canvas that is huge or cannot be cut: the numbers may come from a file.
    """

    backbone: DinoV2Config | DinoV3Config
    taps: tuple[int, ...]
    widths: tuple[int, int, int, int]
    decoder_width: int = 256
    head_width: int = 32
    canvas: int = 1536

    def __post_init__(self) -> None:
        channels = {f'widths[{i}]': width for i, width in enumerate(self.widths)}
        channels |= {'decoder_width': self.decoder_width, 'head_width': self.head_width}
        for name, width in channels.items():
            if not 1 <= width <= WIDEST:
                raise InputError(
                    'checkpoint_config',
                    f'{name} is {shown(width)}, expected 1 to {WIDEST} channels.',
                )
        for name, value in vars(self.backbone).items():
            if value > LARGEST:
                raise InputError(
                    'checkpoint_config',
                    f'{name} of the backbone is {shown(value)}, expected {LARGEST} at most.',
                )
        if not all(0 <= tap < self.backbone.depth for tap in self.taps):
            raise InputError(
                'checkpoint_config',
                f'the taps {self.taps} do not fit a backbone of {self.backbone.depth} blocks.',
            )
        multiple = canvas_multiple(self.backbone.patch_size)
        if not 0 < self.canvas <= LARGEST_CANVAS_PX or self.canvas % multiple:
            raise InputError(
                'checkpoint_config',
                f'the canvas is {self.canvas}, expected a multiple of {multiple} up to '
                f'{LARGEST_CANVAS_PX}.',
            )


class PyramidNetwork(ReleasedNetwork):
    """A network that sees every image stretched to a square.

    Parameters
    ----------
    config
        Its shape.
    normalization
        What its weights were trained with.
    """

    head: nn.Module

    def __init__(self, config: PyramidConfig, normalization: Normalization) -> None:
        super().__init__()
        self.config = config
        self.normalization = normalization

    def prepare(self, images: Tensor, canvas: int | None = None) -> Tensor:
        """(B, 3, H, W) RGB images to normalized squares in the network's dtype and device.

        Parameters
        ----------
        images
            uint8, or float in [0, 1].
        canvas
            Side of the square in pixels; None for the trained one.
        """
        weight = next(self.head.parameters())
        side = canvas or self.config.canvas
        return normalized_canvas(images.to(weight.device), side, self.normalization, weight.dtype)
