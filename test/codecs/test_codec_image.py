# SPDX-License-Identifier: Apache-2.0
"""Image codecs: round trips, OpenCV as oracle, and messages that must be refused."""

from array import array
from dataclasses import replace
from types import SimpleNamespace

import cv2
import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.codecs.image import (
    COLOR_ENCODINGS,
    decode_color,
    decode_depth,
    encode_color,
    encode_depth,
    encode_mono,
)
from metric_depth_ros.errors import InputError

SIDES = st.integers(1, 12)
PICTURES = hnp.arrays(np.uint8, st.tuples(SIDES, SIDES, st.just(3)))
DEPTHS = hnp.arrays(
    np.float32,
    st.tuples(SIDES, SIDES),
    elements=st.floats(0.0, 100.0, width=32) | st.sampled_from([np.nan, np.inf, -1.0, 70.0]),
)


def message(pixels, encoding, padding=0, big_endian=False):
    """Return an Image of (H, W[, C]) samples with `padding` bytes after each row."""
    pixels = np.ascontiguousarray(pixels)
    pixels = pixels.astype(pixels.dtype.newbyteorder('>' if big_endian else '<'))
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, padding)), constant_values=0xAB)
    return SimpleNamespace(
        height=pixels.shape[0],
        width=pixels.shape[1],
        encoding=encoding,
        is_bigendian=int(big_endian),
        step=rows.shape[1],
        data=array('B', rows.tobytes()),
    )


@given(PICTURES, st.integers(0, 7), st.sampled_from(['rgb8', 'bgr8', 'rgba8', 'bgra8', '8UC3']))
def test_color_of_any_channel_order_and_padding_comes_back(rgb, padding, encoding):
    channels = rgb if encoding.startswith('rgb') else rgb[..., ::-1]
    if 'a8' in encoding:
        channels = np.dstack((channels, np.full(rgb.shape[:2], 7, np.uint8)))
    np.testing.assert_array_equal(decode_color(message(channels, encoding, padding)), rgb)


@given(PICTURES, st.sampled_from(['rgb8', 'bgr8']))
def test_encoded_color_decodes_to_itself(rgb, encoding):
    np.testing.assert_array_equal(decode_color(encode_color(rgb, encoding)), rgb)


@given(hnp.arrays(np.uint16, st.tuples(SIDES, SIDES)), st.booleans(), st.integers(0, 3))
def test_mono16_is_scaled_to_8_bits_in_either_byte_order(gray, big_endian, padding):
    decoded = decode_color(message(gray, 'mono16', 2 * padding, big_endian))
    expected = np.rint(gray / 257.0).astype(np.uint8)
    np.testing.assert_array_equal(decoded, np.repeat(expected[..., None], 3, axis=2))


def test_mono8_becomes_gray():
    gray = np.arange(12, dtype=np.uint8).reshape(3, 4)
    np.testing.assert_array_equal(decode_color(message(gray, 'mono8'))[..., 1], gray)


@pytest.mark.parametrize('bits', [8, 16])
@pytest.mark.parametrize('pattern', ['rggb', 'bggr', 'gbrg', 'grbg'])
def test_bayer_patterns_give_back_a_flat_color(pattern, bits):
    color = {'r': 200, 'g': 120, 'b': 40}
    tile = np.array([color[c] for c in pattern], np.uint16).reshape(2, 2)
    mosaic = np.tile(tile, (8, 8))
    mosaic = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 257).astype(np.uint16)
    decoded = decode_color(message(mosaic, f'bayer_{pattern}{bits}', padding=4))
    np.testing.assert_array_equal(
        decoded[2:-2, 2:-2], np.broadcast_to((200, 120, 40), (12, 12, 3))
    )


@pytest.mark.parametrize(
    ('encoding', 'order'), [('yuv422', 'uyvy'), ('yuv422_yuy2', 'yuyv'), ('uyvy', 'uyvy')]
)
def test_yuv422_decodes_a_flat_color(encoding, order):
    luma, u, v = cv2.cvtColor(np.uint8([[[180, 90, 60]]]), cv2.COLOR_RGB2YUV)[0, 0].tolist()
    # ITU-R BT.601 studio swing, which cameras send and OpenCV's 4:2:2 conversions expect.
    value = {'y': 16 + luma * 219 / 255, 'u': 128 + (u - 128) * 0.88, 'v': 128 + (v - 128) * 0.70}
    pair = np.array([round(value[c]) for c in order], np.uint8).reshape(1, 2, 2)
    decoded = decode_color(message(np.tile(pair, (4, 3, 1)), encoding, padding=2))
    assert decoded.shape == (4, 6, 3)
    assert np.abs(decoded.astype(int) - (180, 90, 60)).max() < 12


def test_rgb8_is_a_view_of_the_message():
    source = message(np.zeros((4, 5, 3), np.uint8), 'rgb8', padding=3)
    decoded = decode_color(source)
    source.data[0] = 99
    assert decoded[0, 0, 0] == 99


@given(DEPTHS, st.booleans(), st.integers(0, 3))
def test_float_depth_comes_back_exactly(depth, big_endian, padding):
    np.testing.assert_array_equal(
        decode_depth(message(depth, '32FC1', 4 * padding, big_endian)), depth
    )


@pytest.mark.parametrize('padding', [1, 2, 3])
def test_float_depth_with_rows_between_the_words_is_taken_by_opencv(padding):
    depth = np.arange(12, dtype=np.float32).reshape(3, 4)
    decoded = decode_depth(message(depth, '32FC1', padding))
    twice = cv2.resize(decoded, (8, 6), interpolation=cv2.INTER_NEAREST)
    np.testing.assert_array_equal(twice[::2, ::2], depth)


def test_float_depth_with_rows_of_whole_words_is_a_view_of_the_message():
    source = message(np.ones((3, 4), np.float32), '32FC1', padding=4)
    decoded = decode_depth(source)
    source.data[:4] = array('B', np.float32(7.0).tobytes())
    assert decoded[0, 0] == 7.0


@given(hnp.arrays(np.uint16, st.tuples(SIDES, SIDES)), st.booleans())
def test_millimeters_become_meters_and_zero_unknown(millimeters, big_endian):
    decoded = decode_depth(message(millimeters, '16UC1', 2, big_endian))
    expected = np.where(millimeters == 0, np.nan, millimeters * 1e-3)
    np.testing.assert_allclose(decoded, expected, rtol=1e-6)


@given(DEPTHS)
def test_16uc1_holds_millimeters_and_zero_for_what_it_cannot(depth):
    fields = encode_depth(depth, '16UC1')
    stored = fields.data.view('<u2').reshape(depth.shape)
    with np.errstate(invalid='ignore'):
        fits = (depth > 0.0) & (depth < 65.535)
    np.testing.assert_allclose(stored[fits] * 1e-3, depth[fits], atol=5.1e-4)
    assert not stored[~fits & (depth != 65.535)].any()


def test_32fc1_keeps_nan_and_infinity():
    depth = np.array([[np.nan, np.inf, 300.0]], np.float32)
    np.testing.assert_array_equal(decode_depth(encode_depth(depth)), depth)


def test_encoders_write_into_the_buffer_that_is_given():
    out = np.zeros(24, np.uint8)
    fields = encode_mono(np.ones((2, 3), np.float32), out=out)
    assert fields.data is out
    np.testing.assert_array_equal(out.view(np.float32), 1.0)


GOOD = message(np.zeros((6, 8, 3), np.uint8), 'rgb8')


def changed(**values):
    return SimpleNamespace(**{**vars(GOOD), **values})


@pytest.mark.parametrize(
    ('fault', 'bad'),
    [
        ('image_encoding', changed(encoding='rgb9')),
        ('image_encoding', changed(encoding='')),
        ('image_encoding', changed(encoding='32FC1')),
        ('image_size', changed(width=0)),
        ('image_size', changed(height=0)),
        ('image_size', changed(width=2**31, step=2**33)),
        ('image_step', changed(step=23)),
        ('image_step', changed(step=0)),
        ('image_data', changed(data=array('B', bytes(143)))),
        ('image_data', changed(data=array('B'))),
        ('image_data', changed(width=30_000, height=30_000, step=90_000)),
        ('image_size', changed(encoding='yuv422', width=7)),
        ('image_size', changed(encoding='bayer_rggb8', width=2)),
    ],
)
def test_bad_images_are_refused_by_name(fault, bad):
    with pytest.raises(InputError) as refusal:
        decode_color(bad)
    assert refusal.value.fault == fault


def test_depth_of_a_color_encoding_is_refused_by_name():
    with pytest.raises(InputError, match='32FC1') as refusal:
        decode_depth(GOOD)
    assert refusal.value.fault == 'depth_encoding'


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1),
    st.sampled_from([*COLOR_ENCODINGS, 'other']), st.binary(max_size=100),
)  # fmt: skip
def test_no_claimed_size_gets_past_the_data(height, width, step, encoding, data):
    bad = SimpleNamespace(
        height=height, width=width, step=step, encoding=encoding, is_bigendian=0, data=data
    )
    try:
        decoded = decode_color(bad)
    except InputError:
        return
    assert decoded.shape == (height, width, 3)
    assert step * height <= len(data)


def test_fields_of_an_encoder_are_a_message_for_the_decoder():
    fields = encode_depth(np.full((2, 2), 1.5, np.float32), '16UC1')
    np.testing.assert_allclose(decode_depth(replace(fields, encoding='mono16')), 1.5)
