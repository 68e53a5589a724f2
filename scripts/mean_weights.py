#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Write the weighted mean of the weights of two trainings of one network.

    python scripts/mean_weights.py FIRST SECOND --share 0.75 --out FILE

Two trainings of which the one went on from the other are often better in the mean than either.
Source: Wortsman et al., "Model soups" (ICML 2022).
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from metric_depth_ros.networks.checkpoints import read_checkpoint
from metric_depth_ros.training.checkpoints import write_weights


def main() -> int:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('first', type=Path, help='safetensors file')
    parser.add_argument('second', type=Path, help='another of the same network')
    parser.add_argument('--share', type=float, default=0.5, help='of the second, 0 to 1')
    parser.add_argument('--out', type=Path, required=True, help='file to write')
    args = parser.parse_args()
    if not 0.0 <= args.share <= 1.0:
        parser.error(f'--share is {args.share}, expected 0 to 1')
    first, second = read_checkpoint(args.first), read_checkpoint(args.second)
    if first.model_config != second.model_config:
        parser.error(f'{args.first} and {args.second} are of different networks')
    mean = {
        name: tensor.float().lerp(second.state[name].float(), args.share)
        for name, tensor in first.state.items()
    }
    write_weights(args.out, mean, {'model_config': first.model_config})
    return 0


if __name__ == '__main__':
    sys.exit(main())
