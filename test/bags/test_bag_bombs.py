# SPDX-License-Identifier: Apache-2.0
"""Chunks that unpack to more than they claim, or claim too much."""

import lz4.frame
import pytest
from rosbags.rosbag2 import storage_mcap

from metric_depth_ros.bags.decompression import MAX_CHUNK_BYTES, limit_chunks

PACK = {'lz4': lz4.frame.compress, 'zstd': storage_mcap.zstd.compress}


@pytest.mark.parametrize('kind', PACK)
def test_a_chunk_unpacks_to_what_it_claims_and_no_more(kind):
    limit_chunks()
    packed = PACK[kind](bytes(1_000_000))
    assert len(storage_mcap.DECOMPRESSORS[kind](packed, 1_000_000)) == 1_000_000
    assert len(storage_mcap.DECOMPRESSORS[kind](packed, 1000)) == 1001


@pytest.mark.parametrize('kind', PACK)
def test_a_chunk_that_claims_too_much_is_not_unpacked(kind):
    limit_chunks()
    with pytest.raises(ValueError, match='claims'):
        storage_mcap.DECOMPRESSORS[kind](PACK[kind](b'x'), MAX_CHUNK_BYTES + 1)
