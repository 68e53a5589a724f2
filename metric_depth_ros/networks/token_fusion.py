# SPDX-License-Identifier: Apache-2.0
"""Image tokens of a language model that look up what a depth encoder knows of the place. Torch.

Source: MetricAnything (2026), spatial understanding: image tokens are queries, the encoder's
tokens pass a light adapter to be keys and values, and two linear layers lead to the language
model. Heads, adapter and residual are not stated there: 16 heads, LayerNorm-Linear-GELU-Linear,
and a residual whose last layer begins at zero, so that an untrained module changes nothing.
"""

from __future__ import annotations

from torch import Tensor, nn

from metric_depth_ros.networks.compact_blocks import start_at_zero


class CrossAttentionFusion(nn.Module):
    """Adds depth features to image tokens and projects them to a language model.

    Parameters
    ----------
    query_width
        Channels of the image tokens; SigLIP's are 1152.
    feature_width
        Channels of the depth encoder's tokens.
    out_width
        Channels of the language model's tokens.
    heads
        Of the attention.
    """

    def __init__(
        self, query_width: int, feature_width: int, out_width: int, heads: int = 16
    ) -> None:
        super().__init__()
        self.adapter = nn.Sequential(
            nn.LayerNorm(feature_width),
            nn.Linear(feature_width, query_width),
            nn.GELU(),
            nn.Linear(query_width, query_width),
        )
        self.attention = nn.MultiheadAttention(query_width, heads, batch_first=True)
        start_at_zero(self.attention.out_proj)
        self.projector = nn.Sequential(
            nn.Linear(query_width, out_width), nn.GELU(), nn.Linear(out_width, out_width)
        )

    def forward(self, queries: Tensor, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Fuse.

        Parameters
        ----------
        queries
            (B, Q, query_width) image tokens.
        features
            (B, N, feature_width) tokens of the depth encoder.
        mask
            (B, N) bool, which of these take part; an image without any is left as it is.

        Returns
        -------
        Tensor
            (B, Q, out_width).
        """
        return self.projector(self.fused(queries, features, mask))

    def fused(self, queries: Tensor, features: Tensor, mask: Tensor | None = None) -> Tensor:
        """Return the (B, Q, query_width) image tokens with what they looked up."""
        known = self.adapter(features)
        hidden = None
        if mask is not None:
            some = mask.any(dim=1)
            # Attention over nothing is NaN: such an image looks at all, and it is not used.
            hidden = ~mask & some[:, None]
        found, _ = self.attention(queries, known, known, key_padding_mask=hidden)
        if mask is not None:
            found = found.where(some[:, None, None], 0.0)
        return queries + found
