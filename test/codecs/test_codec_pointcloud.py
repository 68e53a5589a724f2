# SPDX-License-Identifier: Apache-2.0
"""PointCloud2 codecs: any layout that the message allows, and layouts that it does not."""

from array import array
from types import SimpleNamespace

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metric_depth_ros.codecs.pointcloud import (
    PointFieldFields,
    check_size,
    decode_field,
    decode_xyz,
    encode_cloud,
    encode_organized,
    field_names,
    organized_xyz,
)
from metric_depth_ros.errors import InputError

DATATYPES = {'i1': 1, 'u1': 2, 'i2': 3, 'u2': 4, 'i4': 5, 'u4': 6, 'f4': 7, 'f8': 8}


@st.composite
def layouts(draw):
    """Draw a cloud of any legal layout with the structured array that it holds."""
    height, width = draw(st.integers(1, 4)), draw(st.integers(1, 6))
    order = '>' if draw(st.booleans()) else '<'
    kinds = {name: draw(st.sampled_from(['f4', 'f8'])) for name in 'xyz'}
    kinds |= {'intensity': 'f4', 'ring': 'u2', 'tag': 'u1'}
    names, offset = draw(st.permutations(sorted(kinds))), 0
    fields = []
    for name in names:
        offset += draw(st.integers(0, 3))
        fields.append((name, order + kinds[name], offset))
        offset += np.dtype(kinds[name]).itemsize
    step = offset + draw(st.integers(0, 5))
    dtype = np.dtype(
        {
            'names': [f[0] for f in fields],
            'formats': [f[1] for f in fields],
            'offsets': [f[2] for f in fields],
            'itemsize': step,
        }
    )
    points = np.zeros((height, width), dtype)
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    for name, kind in kinds.items():
        points[name] = rng.integers(0, 200, (height, width)).astype(kind)
    row_step = width * step + draw(st.integers(0, 9))
    rows = np.zeros((height, row_step), np.uint8)
    rows[:, : width * step] = points.view(np.uint8).reshape(height, -1)
    cloud = SimpleNamespace(
        height=height,
        width=width,
        fields=[
            PointFieldFields(name, at, DATATYPES[kind[1:]], draw(st.sampled_from([0, 1])))
            for name, kind, at in fields
        ],
        is_bigendian=order == '>',
        point_step=step,
        row_step=row_step,
        data=array('B', rows.tobytes()),
    )
    return cloud, points.reshape(-1)


@given(layouts())
def test_positions_of_any_layout_come_back(case):
    cloud, points = case
    expected = np.stack([points[name].astype(np.float32) for name in 'xyz'], axis=-1)
    np.testing.assert_array_equal(decode_xyz(cloud), expected)


@given(layouts(), st.sampled_from(['intensity', 'ring', 'tag', 'x']))
def test_any_field_of_any_layout_comes_back(case, name):
    cloud, points = case
    np.testing.assert_array_equal(decode_field(cloud, name), points[name])


@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 20), st.just(3))))
def test_encoded_cloud_decodes_to_itself(xyz):
    ring = np.arange(len(xyz), dtype=np.uint16)
    cloud = encode_cloud({'ring': ring, 'x': xyz[:, 0], 'y': xyz[:, 1], 'z': xyz[:, 2]})
    np.testing.assert_array_equal(decode_xyz(cloud), xyz)
    np.testing.assert_array_equal(decode_field(cloud, 'ring'), ring)
    assert cloud.is_dense == np.isfinite(xyz).all()
    assert field_names(cloud) == ['ring', 'x', 'y', 'z']


def test_adjacent_native_positions_are_a_view():
    cloud = encode_cloud({name: np.zeros(4, np.float32) for name in 'xyzi'})
    decode_xyz(cloud)[2, 1] = 5.0
    assert decode_field(cloud, 'y')[2] == 5.0


def test_field_of_several_values_has_a_second_axis():
    cloud = SimpleNamespace(
        height=1, width=2, fields=[PointFieldFields('descriptor', 0, 7, 3)], is_bigendian=False,
        point_step=12, row_step=24, data=np.arange(6, dtype='<f4').view(np.uint8),
    )  # fmt: skip
    np.testing.assert_array_equal(decode_field(cloud, 'descriptor'), [[0, 1, 2], [3, 4, 5]])


def test_organized_cloud_has_the_layout_of_pcl():
    points = np.arange(18, dtype=np.float32).reshape(2, 3, 3)
    points[1, 1] = np.nan
    rgb = np.arange(18, dtype=np.uint8).reshape(2, 3, 3)
    cloud = encode_organized(points, rgb)
    assert (cloud.height, cloud.width, cloud.point_step, cloud.row_step) == (2, 3, 32, 96)
    assert [(f.name, f.offset) for f in cloud.fields] == [
        ('x', 0), ('y', 4), ('z', 8), ('rgb', 16)
    ]  # fmt: skip
    np.testing.assert_array_equal(decode_xyz(cloud).reshape(2, 3, 3), points)
    packed = decode_field(cloud, 'rgb').view(np.uint32)
    r, g, b = rgb.reshape(-1, 3).astype(np.uint32).T
    np.testing.assert_array_equal(packed, r << 16 | g << 8 | b)


@pytest.mark.parametrize('hole', [False, True])
def test_is_dense_tells_the_truth(hole):
    points = np.ones((2, 2, 3), np.float32)
    if hole:
        points[0, 0] = np.nan
    cloud = encode_organized(points, np.zeros((2, 2, 3), np.uint8))
    assert cloud.is_dense is not hole


def test_organized_cloud_is_written_in_place():
    out = np.zeros(2 * 2 * 32, np.uint8)
    xyz = organized_xyz(out, 2, 2)
    xyz[...] = 3.0
    cloud = encode_organized(xyz, np.zeros((2, 2, 3), np.uint8), out=out)
    assert cloud.data is out
    np.testing.assert_array_equal(decode_xyz(cloud), 3.0)


GOOD = encode_cloud({name: np.ones(5, np.float32) for name in 'xyz'})


def changed(**values):
    names = ('height', 'width', 'fields', 'is_bigendian', 'point_step', 'row_step', 'data')
    return SimpleNamespace(**{**{n: getattr(GOOD, n) for n in names}, **values})


@pytest.mark.parametrize(
    ('fault', 'bad'),
    [
        ('cloud_fields', changed(fields=GOOD.fields[:2])),
        ('cloud_fields', changed(fields=())),
        ('cloud_fields', changed(fields=(*GOOD.fields[:2], PointFieldFields('z', 9, 7)))),
        ('cloud_field_type', changed(fields=(*GOOD.fields[:2], PointFieldFields('z', 8, 5)))),
        ('cloud_field_type', changed(fields=(*GOOD.fields[:2], PointFieldFields('z', 8, 77)))),
        (
            'cloud_field_type',
            changed(fields=(PointFieldFields('x', 0, 7, 2), *GOOD.fields[1:])),
        ),
        ('cloud_step', changed(point_step=0)),
        ('cloud_step', changed(height=5, width=1, row_step=11)),
        ('cloud_data', changed(data=GOOD.data[:-1])),
        ('cloud_data', changed(width=2**31)),
        ('cloud_data', changed(height=2**31, row_step=2**31)),
    ],
)
def test_bad_clouds_are_refused_by_name(fault, bad):
    with pytest.raises(InputError) as refusal:
        decode_xyz(bad)
    assert refusal.value.fault == fault


@given(
    st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1),
    st.integers(0, 2**32 - 1), st.binary(max_size=100),
)  # fmt: skip
def test_no_claimed_size_gets_past_the_data(height, width, point_step, row_step, data):
    bad = changed(height=height, width=width, point_step=point_step, row_step=row_step, data=data)
    try:
        count = check_size(bad)
    except InputError:
        return
    assert count == height * width
    assert count * point_step <= len(data)


def test_empty_cloud_has_no_points():
    assert decode_xyz(changed(width=0, data=GOOD.data[:0])).shape == (0, 3)
