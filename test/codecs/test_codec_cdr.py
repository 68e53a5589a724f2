# SPDX-License-Identifier: Apache-2.0
"""Messages read in place hold what rclpy reads out of the same bytes, in either byte order."""

from array import array

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rosbags.typesys import Stores, get_typestore

from metric_depth_ros.codecs.cdr import read_cloud, read_compressed_image, read_image
from metric_depth_ros.codecs.image import decode_color
from metric_depth_ros.codecs.pointcloud import decode_xyz
from metric_depth_ros.errors import InputError

STORE = get_typestore(Stores.ROS2_JAZZY)
READERS = {
    'Image': read_image,
    'CompressedImage': read_compressed_image,
    'PointCloud2': read_cloud,
}

WORDS = st.text(st.characters(blacklist_characters='\0', blacklist_categories=('Cs',)), max_size=9)
UINT32 = st.integers(0, 2**32 - 1)
UINT8 = st.integers(0, 255)
DATA = hnp.arrays(np.uint8, st.integers(0, 40))
FIELDS = st.lists(st.tuples(WORDS, UINT32, UINT8, UINT32), max_size=3)


@st.composite
def messages(draw):
    """Return the name of a message type and its content by field."""
    stamp = {'sec': draw(st.integers(-(2**31), 2**31 - 1)), 'nanosec': draw(UINT32)}
    header = {'stamp': stamp, 'frame_id': draw(WORDS)}
    kind = draw(st.sampled_from(list(READERS)))
    content = {'header': header, 'data': draw(DATA)}
    if kind == 'CompressedImage':
        return kind, content | {'format': draw(WORDS)}
    content |= {'height': draw(UINT32), 'width': draw(UINT32)}
    if kind == 'Image':
        return kind, content | {
            'encoding': draw(WORDS), 'is_bigendian': draw(UINT8), 'step': draw(UINT32),
        }  # fmt: skip
    fields = [
        dict(zip(('name', 'offset', 'datatype', 'count'), values, strict=True))
        for values in draw(FIELDS)
    ]
    flags = {'is_bigendian': draw(st.booleans()), 'is_dense': draw(st.booleans())}
    steps = {'point_step': draw(UINT32), 'row_step': draw(UINT32)}
    return kind, content | {'fields': fields} | flags | steps


def serialized(kind, content, little_endian=True):
    """Return the bytes of a message as rosbags writes them."""

    def made(name, values):
        return STORE.types[name](**values)

    header = content['header']
    stamp = made('builtin_interfaces/msg/Time', header['stamp'])
    values = content | {'header': made('std_msgs/msg/Header', header | {'stamp': stamp})}
    if 'fields' in values:
        values['fields'] = [made('sensor_msgs/msg/PointField', f) for f in values['fields']]
    name = f'sensor_msgs/msg/{kind}'
    return bytes(STORE.serialize_cdr(made(name, values), name, little_endian=little_endian))


def plain(value):
    """Return a message of any library as dictionaries, lists and numbers."""
    if isinstance(value, np.ndarray | array):
        return list(value)
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    names = getattr(value, 'get_fields_and_field_types', None)
    names = names() if names else getattr(value, '__dataclass_fields__', None)
    if names is None:
        return value
    hidden = ('serialized', 'message_type', '__msgtype__')
    return {name: plain(getattr(value, name)) for name in names if name not in hidden}


@given(messages(), st.booleans())
def test_a_message_comes_back_in_either_byte_order(message, little_endian):
    kind, content = message
    found = READERS[kind](serialized(kind, content, little_endian))
    assert plain(found) == {**content, 'data': list(content['data'])}


@given(messages())
def test_rclpy_reads_the_same(message):
    serialization = pytest.importorskip('rclpy.serialization')
    from sensor_msgs import msg

    kind, content = message
    data = serialized(kind, content)
    theirs = serialization.deserialize_message(data, getattr(msg, kind))
    assert plain(READERS[kind](data)) == plain(theirs)
    ours = serialization.serialize_message(theirs)
    assert plain(READERS[kind](ours)) == plain(theirs)


@given(messages(), st.data())
def test_a_truncated_message_is_refused(message, data):
    kind, content = message
    whole = serialized(kind, content)
    kept = data.draw(st.integers(0, len(whole) - 5))  # the last four may be padding
    with pytest.raises(InputError) as refused:
        READERS[kind](whole[:kept])
    assert refused.value.fault == 'serialized'


@given(st.binary(max_size=200), st.sampled_from(list(READERS)))
def test_any_bytes_are_read_or_refused(noise, kind):
    for data in (noise, b'\0\1\0\0' + noise):
        try:
            found = READERS[kind](data)
        except InputError:
            continue
        assert found.data.size <= len(data)


@pytest.mark.parametrize('encapsulation', [b'\0\2', b'\0\3', b'\0\x0a', b'\1\0'])
def test_another_encapsulation_is_refused_by_name(encapsulation):
    with pytest.raises(InputError, match='plain CDR'):
        read_image(encapsulation + bytes(100))


def test_a_cloud_that_claims_millions_of_fields_is_refused_before_they_are_made():
    header = b'\0\1\0\0' + bytes(8) + b'\1\0\0\0' + bytes(4)  # stamp, frame_id, padding
    size_and_count = bytes(8) + (5_000_000).to_bytes(4, 'little')
    with pytest.raises(InputError, match='claims 5000000 fields'):
        read_cloud(header + size_and_count + bytes(13 * 5_000_000))


def test_data_is_not_copied():
    data = serialized('CompressedImage', {
        'header': {'stamp': {'sec': 1, 'nanosec': 2}, 'frame_id': 'f'},
        'format': 'png',
        'data': np.arange(8, dtype=np.uint8),
    })  # fmt: skip
    assert np.shares_memory(read_compressed_image(data).data, np.frombuffer(data, np.uint8))


def test_decoders_take_what_was_read_in_place():
    header = {'stamp': {'sec': 1, 'nanosec': 2}, 'frame_id': 'odd'}
    pixels = np.arange(24, dtype=np.uint8)
    image = {'height': 2, 'width': 4, 'encoding': 'rgb8', 'is_bigendian': 0, 'step': 12}
    found = read_image(serialized('Image', {'header': header, **image, 'data': pixels}))
    np.testing.assert_array_equal(decode_color(found), pixels.reshape(2, 4, 3))
    points = np.arange(6, dtype='<f4')
    names = [{'name': n, 'offset': 4 * i, 'datatype': 7, 'count': 1} for i, n in enumerate('xyz')]
    cloud = {
        'height': 1, 'width': 2, 'fields': names, 'is_bigendian': False, 'point_step': 12,
        'row_step': 24, 'is_dense': True, 'data': points.view(np.uint8),
    }  # fmt: skip
    found = read_cloud(serialized('PointCloud2', {'header': header, **cloud}))
    np.testing.assert_array_equal(decode_xyz(found), points.reshape(2, 3))
