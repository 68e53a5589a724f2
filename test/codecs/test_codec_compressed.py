# SPDX-License-Identifier: Apache-2.0
"""Compressed images: JPEG and PNG, and data that claims more than it can hold."""

import resource
from array import array
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.codecs.compressed import decode_compressed_color, picture_size
from metric_depth_ros.errors import InputError

RAMP = np.dstack([np.tile(np.arange(48, dtype=np.uint8) * 5, (32, 1))] * 3)
RAMP[..., 0] //= 2  # red is darker, so that swapped channels are noticed


def compressed(extension, picture=RAMP, options=()):
    data = cv2.imencode(extension, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), list(options))[1]
    return SimpleNamespace(format=extension[1:], data=array('B', data.tobytes()))


def test_png_comes_back_exactly():
    np.testing.assert_array_equal(decode_compressed_color(compressed('.png')), RAMP)


@pytest.mark.parametrize('options', [(), (cv2.IMWRITE_JPEG_PROGRESSIVE, 1)])
def test_jpeg_comes_back_closely(options):
    decoded = decode_compressed_color(compressed('.jpg', options=options))
    assert np.abs(decoded.astype(int) - RAMP).mean() < 5.0


def test_a_flat_picture_is_not_taken_for_a_bomb():
    flat = np.zeros((1080, 1920, 3), np.uint8)
    assert decode_compressed_color(compressed('.png', flat)).shape == flat.shape
    assert decode_compressed_color(compressed('.jpg', flat)).shape == flat.shape


def test_claimed_size_that_cannot_be_is_refused_before_decoding():
    data = bytearray(compressed('.png').data)[:100]
    data[16:24] = (46_340).to_bytes(4, 'big') * 2  # 2**31 pixels
    with pytest.raises(InputError) as refusal:
        decode_compressed_color(SimpleNamespace(format='png', data=bytes(data)))
    assert refusal.value.fault == 'image_size'


def test_jpeg_that_claims_too_much_is_refused_before_decoding():
    data = bytearray(compressed('.jpg').data)
    frame = data.index(b'\xff\xc0')
    data[frame + 5 : frame + 9] = (32_000).to_bytes(2, 'big') * 2
    with pytest.raises(InputError) as refusal:
        decode_compressed_color(SimpleNamespace(format='jpeg', data=bytes(data[:2000])))
    assert refusal.value.fault == 'image_size'


def test_a_png_chunk_that_claims_more_than_there_is_takes_no_memory():
    # OpenCV alone takes 2 GB and many seconds to refuse these 90 bytes.
    data = bytearray(cv2.imencode('.png', np.zeros((6, 8, 3), np.uint8))[1].tobytes())
    at = data.index(b'IDAT')
    data[at - 4 : at] = b'\xff\xff\xff\xff'
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(InputError) as refusal:
        decode_compressed_color(SimpleNamespace(format='png', data=bytes(data)))
    assert refusal.value.fault == 'compressed_data'
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


@pytest.mark.parametrize('extension', ['.png', '.jpg'])
@pytest.mark.parametrize('channels', [1, 3])
def test_the_smallest_file_of_a_large_picture_is_read(extension, channels):
    blank = np.zeros((2000, 3000, channels), np.uint8)
    options = [cv2.IMWRITE_PNG_COMPRESSION, 9, cv2.IMWRITE_JPEG_QUALITY, 1]
    options += [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_PROGRESSIVE, 1]
    data = cv2.imencode(extension, blank, options)[1]
    assert picture_size(data.reshape(-1)) == (3000, 2000)


@pytest.mark.parametrize('data', [b'', b'GIF89a....', bytes(50)])
def test_other_formats_are_refused_by_name(data):
    with pytest.raises(InputError, match='neither JPEG nor PNG') as refusal:
        decode_compressed_color(SimpleNamespace(format='gif', data=data))
    assert refusal.value.fault == 'compressed_format'


@pytest.mark.parametrize('kept', [2, 9, 20, 30, 120])
@pytest.mark.parametrize('extension', ['.png', '.jpg'])
def test_truncated_data_is_refused(extension, kept):
    whole = compressed(extension)
    with pytest.raises(InputError):
        decode_compressed_color(SimpleNamespace(format='x', data=whole.data[:kept]))


@given(st.sampled_from(['.png', '.jpg']), st.integers(0, 2000), st.integers(0, 255))
def test_a_damaged_byte_gives_a_picture_or_a_refusal(extension, position, value):
    whole = compressed(extension)
    whole.data[position % len(whole.data)] = value
    try:
        decoded = decode_compressed_color(whole)
    except InputError:
        return
    assert decoded.ndim == 3
