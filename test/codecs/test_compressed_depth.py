# SPDX-License-Identifier: Apache-2.0
"""compressedDepth: PNG and RVL, of both depth encodings."""

import struct
import tracemalloc
from contextlib import nullcontext
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rvl import encode_rvl

from metric_depth_ros.codecs import compressed_depth
from metric_depth_ros.codecs.compressed_depth import decode_compressed_depth
from metric_depth_ros.errors import InputError


def png(values):
    return cv2.imencode('.png', values)[1].tobytes()


def message(values, how, encoding='16UC1', a=0.0, b=0.0):
    body = encode_rvl(values) if how == 'rvl' else png(values)
    return compressed(f'{encoding}; compressedDepth {how}', struct.pack('<iff', 0, a, b) + body)


def compressed(format, data):
    return SimpleNamespace(format=format, data=np.frombuffer(data, np.uint8))


def scene(rng=None):
    rng = rng or np.random.default_rng(0)
    values = (1000 + 40 * np.arange(24)[:, None] + 15 * np.arange(31)).astype(np.uint16)
    values[rng.random(values.shape) < 0.2] = 0
    return values


@pytest.mark.parametrize(('runs', 'is_good'), [(0xC2000000, True), (0x00C20000, False)])
def test_rvl_with_a_run_of_nothing_is_refused(runs, is_good):
    """Twenty zeros; the second stream begins with no zeros and no values."""
    data = struct.pack('<iffIII', 0, 0.0, 0.0, 5, 4, runs)
    with nullcontext() if is_good else pytest.raises(InputError, match='damaged'):
        decode_compressed_depth(compressed('16UC1; compressedDepth rvl', data))


@pytest.mark.parametrize('how', ['png', 'rvl'])
def test_millimeters_become_meters_and_zero_is_unknown(how):
    values = scene()
    depth = decode_compressed_depth(message(values, how))
    assert depth.dtype == np.float32
    np.testing.assert_array_equal(np.isnan(depth), values == 0)
    np.testing.assert_allclose(depth[values > 0], values[values > 0] * 1e-3, rtol=1e-6)


def test_a_format_that_names_no_compression_is_png():
    values = scene()
    whole = message(values, 'png')
    whole.format = '16UC1; compressedDepth'
    np.testing.assert_allclose(
        np.nan_to_num(decode_compressed_depth(whole)), values * 1e-3, rtol=1e-6
    )


@pytest.mark.parametrize('how', ['png', 'rvl'])
def test_quantized_inverse_depth_comes_back_within_a_step(how):
    # compressed_depth_image_transport: depth_max 10 m, depth_quantization 100.
    quantization, most = 100.0, 10.0
    a = quantization * (quantization + 1.0)
    b = 1.0 - a / most
    true = np.linspace(0.4, 9.0, 600, dtype=np.float32).reshape(20, 30)
    values = (a / true + b).astype(np.uint16)
    values[3, 4] = 0
    depth = decode_compressed_depth(message(values, how, '32FC1', a, b))
    assert np.isnan(depth[3, 4])
    known = values > 0
    assert np.all(np.abs(depth - true)[known] <= true[known] ** 2 / a * 1.01)


@given(
    hnp.arrays(
        np.uint16,
        hnp.array_shapes(min_dims=2, max_dims=2, max_side=9),
        elements=st.sampled_from([0, 0, 1, 500, 501, 65535]),
    )
)
def test_rvl_gives_back_what_was_written(values):
    depth = decode_compressed_depth(message(values, 'rvl'))
    np.testing.assert_array_equal(np.rint(np.nan_to_num(depth) * 1e3), values)


def test_rvl_is_decoded_in_portions_that_cut_numbers(monkeypatch):
    values = scene()
    whole = message(values, 'rvl')
    for portion in range(11, 40):
        monkeypatch.setattr(compressed_depth, '_PORTION', portion)
        depth = decode_compressed_depth(whole)
        np.testing.assert_array_equal(np.rint(np.nan_to_num(depth) * 1e3), values)


def test_rvl_of_as_many_bytes_as_its_size_can_need_is_read_whole():
    """Up and down by 65535, every value in a run of its own: a word each."""
    words = 10 * (0x01EFFFF3, 0x01DFFFF3)
    data = struct.pack('<iffII20I', 0, 0.0, 0.0, 5, 4, *words)
    depth = decode_compressed_depth(compressed('16UC1; compressedDepth rvl', data)).ravel()
    np.testing.assert_allclose(depth[::2], 65.535)
    assert np.isnan(depth[1::2]).all()


def test_rvl_of_more_bytes_than_its_size_needs_takes_memory_for_its_size_only():
    data = struct.pack('<iffIII', 0, 0.0, 0.0, 5, 4, 0xC2000000) + bytes(4_000_000)
    whole = compressed('16UC1; compressedDepth rvl', data)
    tracemalloc.start()
    try:
        assert decode_compressed_depth(whole).shape == (4, 5)
        assert tracemalloc.get_traced_memory()[1] < 100_000
    finally:
        tracemalloc.stop()


def test_rvl_sums_the_differences_of_all_runs_at_once(monkeypatch):
    values, calls = scene(), []
    cumsum = np.cumsum
    monkeypatch.setattr(np, 'cumsum', lambda *a, **k: calls.append(1) or cumsum(*a, **k))
    decode_compressed_depth(message(values, 'rvl'))
    assert len(calls) == 1


@given(st.binary(max_size=80), st.sampled_from(['png', 'rvl']))
def test_no_bytes_do_more_than_be_refused(data, how):
    head = struct.pack('<iff', 0, 0.0, 0.0)
    size = struct.pack('<II', 5, 4)
    with pytest.raises(InputError):
        decode_compressed_depth(compressed(f'16UC1; compressedDepth {how}', head + data[:11]))
    try:
        whole = compressed(f'16UC1; compressedDepth {how}', head + size + data)
        assert decode_compressed_depth(whole).shape == (4, 5)
    except InputError:
        pass


@pytest.mark.parametrize('size', [(1 << 16, 1 << 15), (0, 5), (30_000, 30_000)])
def test_rvl_that_claims_a_size_that_cannot_be_is_refused(size):
    data = struct.pack('<iff', 0, 0.0, 0.0) + struct.pack('<II', *size) + bytes(80)
    with pytest.raises(InputError, match='claims'):
        decode_compressed_depth(compressed('16UC1; compressedDepth rvl', data))


@pytest.mark.parametrize('how', ['png', 'rvl'])
def test_truncated_data_is_refused(how):
    whole = message(scene(), how)
    whole.data = whole.data[: len(whole.data) // 2]
    with pytest.raises(InputError, match='damaged'):
        decode_compressed_depth(whole)


@pytest.mark.parametrize('format', ['jpeg', '16UC1', 'rgb8; compressedDepth png', ''])
def test_other_formats_are_refused_by_name(format):
    with pytest.raises(InputError, match='expected "16UC1" or "32FC1"'):
        decode_compressed_depth(compressed(format, bytes(100)))


def test_a_color_png_is_no_depth():
    whole = message(scene(), 'png')
    color = png(np.zeros((4, 5, 3), np.uint8))
    whole.data = np.frombuffer(bytes(12) + color, np.uint8)
    with pytest.raises(InputError, match='damaged'):
        decode_compressed_depth(whole)
