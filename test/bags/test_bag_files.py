# SPDX-License-Identifier: Apache-2.0
"""Bags in and out: round trips of both storages, and every way in which a bag can be wrong."""

import contextlib
import shutil
import sqlite3

import numpy as np
import pytest
import yaml
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from metric_depth_ros.bags.extrinsics import read_poses, read_static_transforms
from metric_depth_ros.bags.messages import (
    cloud_message,
    color_message,
    depth_message,
    stamp_of,
    transforms_message,
)
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.bags.writer import BagWriter
from metric_depth_ros.codecs.image import decode_color, decode_depth
from metric_depth_ros.codecs.pointcloud import decode_field, decode_xyz
from metric_depth_ros.errors import InputError

RGB = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
DEPTH = np.where(np.arange(48).reshape(6, 8) % 5, 2.5, np.nan).astype(np.float32)


@pytest.fixture
def bag(tmp_path):
    path = tmp_path / 'bag'
    with BagWriter(path) as writer:
        for i in range(4):
            writer.write('/depth', depth_message(DEPTH + i, i * 10, 'camera'), i * 10)
            writer.write('/image', color_message(RGB + i, i * 10, 'camera'), i * 10)
    return path


def sqlite_copy_of(bag, path):
    return copied(bag, Writer(path, version=9, storage_plugin=StoragePlugin.SQLITE3))


def compressed_copy_of(bag, path):
    writer = Writer(path, version=9, storage_plugin=StoragePlugin.MCAP)
    writer.set_compression(CompressionMode.MESSAGE, CompressionFormat.ZSTD)
    return copied(bag, writer)


def copied(bag, new):
    store = typestore()
    with BagReader(bag) as reader, new as writer:
        connections = {
            topic: writer.add_connection(topic, kind, typestore=store)
            for topic, kind in reader.topics.items()
        }
        for raw in reader.raw():
            writer.write(connections[raw.topic], raw.log_ns, raw.data)
    return new.path


def contents(path):
    with BagReader(path) as reader:
        return [(m.topic, m.message_type, m.log_ns, bytes(m.data)) for m in reader.raw()]


def read_all(path):
    """Read everything that there is in a bag, so that damage anywhere comes to light."""
    with BagReader(path) as reader:
        for _ in reader.messages():
            pass


def test_an_image_comes_back_from_a_bag_unchanged(bag):
    with BagReader(bag) as reader:
        raw, message = next(reader.messages(['/image']))
    assert (raw.log_ns, stamp_of(message), message.header.frame_id) == (0, 0, 'camera')
    np.testing.assert_array_equal(decode_color(message), RGB)


@pytest.mark.parametrize('encoding', ['32FC1', '16UC1'])
def test_depth_comes_back_from_a_bag_with_its_holes(tmp_path, encoding):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/depth', depth_message(DEPTH, 7, 'camera', encoding), 7)
    with BagReader(tmp_path / 'bag') as reader:
        _, message = next(reader.messages())
    np.testing.assert_array_equal(decode_depth(message), DEPTH)


def test_a_cloud_comes_back_from_a_bag_with_all_its_fields(tmp_path):
    columns = {name: np.arange(5, dtype=np.float32) + i for i, name in enumerate('xyz')}
    columns['ring'] = np.arange(5, dtype=np.uint16)
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/points', cloud_message(columns, 7, 'lidar'), 7)
    with BagReader(tmp_path / 'bag') as reader:
        _, message = next(reader.messages())
    np.testing.assert_array_equal(decode_xyz(message)[:, 1], columns['y'])
    np.testing.assert_array_equal(decode_field(message, 'ring'), columns['ring'])


def test_static_transforms_come_back_by_parent_and_child(tmp_path):
    T = np.array([[0, -1, 0, 0.1], [0, 0, -1, 0.2], [1, 0, 0, 0.3], [0, 0, 0, 1]], np.float64)
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write('/tf_static', transforms_message({('base', 'lidar'): T}, 7), 7)
    np.testing.assert_allclose(
        read_static_transforms(tmp_path / 'bag')['base', 'lidar'], T, atol=1e-12
    )


def test_both_storages_hold_the_same_bytes(bag, tmp_path):
    assert contents(sqlite_copy_of(bag, tmp_path / 'sqlite')) == contents(bag)


@pytest.mark.parametrize('suffix', ['mcap', 'db3'])
def test_a_bare_storage_file_is_read_like_its_folder(bag, tmp_path, suffix):
    folder = bag if suffix == 'mcap' else sqlite_copy_of(bag, tmp_path / 'sqlite')
    (file,) = folder.glob(f'*.{suffix}')
    assert contents(file) == contents(bag)


def test_only_the_topics_asked_for_are_read(bag):
    with BagReader(bag) as reader:
        assert {m.topic for m in reader.raw(['/depth'])} == {'/depth'}
        assert reader.count('/depth') == 4


def test_what_was_written_before_an_error_stays_readable(tmp_path):
    def record_and_fail():
        with BagWriter(tmp_path / 'bag') as writer:
            writer.write('/image', color_message(RGB, 1, 'camera'), 1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record_and_fail()
    assert len(contents(tmp_path / 'bag')) == 1


def fault_of(action, *arguments):
    with pytest.raises(InputError) as caught:
        action(*arguments)
    assert str(arguments[0]) in str(caught.value)
    return caught.value.fault


def test_a_bag_is_never_overwritten(bag):
    assert fault_of(BagWriter, bag) == 'bag_exists'


def test_a_missing_bag_is_named(tmp_path):
    assert fault_of(BagReader, tmp_path / 'nowhere') == 'bag_missing'


@pytest.mark.parametrize('name', ['recording.bag', 'recording.txt'])
def test_a_file_of_another_kind_is_refused(tmp_path, name):
    (tmp_path / name).write_bytes(b'#ROSBAG V2.0\n')
    assert fault_of(BagReader, tmp_path / name) == 'bag_format'


def test_a_bag_folder_may_be_called_as_files_of_ros_1_are(bag):
    with BagReader(bag.rename(bag.with_name('drive.bag'))) as reader:
        assert reader.count('/image') == 4


def test_a_folder_without_metadata_is_refused(tmp_path):
    assert fault_of(BagReader, tmp_path) == 'bag_format'


@pytest.mark.parametrize('at', ['', 'kitti'])
def test_a_frame_set_in_place_of_a_bag_is_called_one(at, tmp_path):
    (tmp_path / at).mkdir(exist_ok=True)
    (tmp_path / at / 'frames.json').write_text('{}')
    with pytest.raises(InputError, match=r'holds frame sets .*evaluate.*make-bag'):
        BagReader(tmp_path)


@pytest.mark.parametrize('text', ['', 'rosbag2_bagfile_information: 3', '{[', '\x00'])
def test_broken_metadata_is_bad_input(bag, text):
    (bag / 'metadata.yaml').write_text(text)
    assert fault_of(BagReader, bag) == 'bag_corrupt'


def test_a_missing_storage_file_is_bad_input(bag):
    for file in bag.glob('*.mcap'):
        file.unlink()
    assert fault_of(BagReader, bag) == 'bag_corrupt'


def test_a_topic_that_is_not_there_is_named_with_those_that_are(bag):
    with BagReader(bag) as reader, pytest.raises(InputError, match=r'/lidar.*/depth, /image'):
        next(reader.raw(['/lidar']))


@pytest.mark.parametrize('storage', ['mcap', 'sqlite'])
@pytest.mark.parametrize('kept', [0.0, 0.01, 0.3, 0.7, 0.99])
def test_a_bag_that_was_cut_short_is_bad_input(bag, tmp_path, storage, kept):
    path = bag if storage == 'mcap' else sqlite_copy_of(bag, tmp_path / 'sqlite')
    (file,) = (f for f in path.iterdir() if f.suffix in ('.mcap', '.db3'))
    data = file.read_bytes()
    file.write_bytes(data[: int(kept * len(data))])
    assert fault_of(read_all, path) == 'bag_corrupt'


def test_a_bag_with_damaged_bytes_is_bad_input_or_still_reads(bag, tmp_path):
    (source,) = bag.glob('*.mcap')
    data = source.read_bytes()
    rng = np.random.default_rng(0)
    for i in range(150):
        copy = tmp_path / f'damaged{i}.mcap'
        damaged = bytearray(data)
        at = int(rng.integers(len(data)))
        damaged[at : at + 4] = rng.bytes(4)
        copy.write_bytes(damaged)
        with contextlib.suppress(InputError):
            read_all(copy)
        copy.unlink()


def test_a_message_of_an_unknown_type_is_named(bag, tmp_path):
    shutil.copytree(bag, tmp_path / 'copy')
    with BagReader(bag) as reader:
        raw = next(reader.raw())
        unknown = type(raw)('/radar', 'vendor_msgs/msg/Scan', 0, b'')
        with pytest.raises(InputError, match='vendor_msgs/msg/Scan'):
            reader.decode(unknown)


@pytest.mark.parametrize(
    ('topic', 'read'), [('/tf', read_poses), ('/tf_static', read_static_transforms)]
)
def test_transforms_of_another_type_are_refused_by_their_topic(topic, read, tmp_path):
    with BagWriter(tmp_path / 'bag') as writer:
        writer.write(topic, depth_message(DEPTH, 7, 'camera'), 7)
    with pytest.raises(InputError, match=f'topic {topic} has messages of type sensor_msgs/msg/I'):
        read(tmp_path / 'bag')


@pytest.mark.parametrize('storage', ['mcap', 'sqlite'])
@pytest.mark.parametrize('key', ['offered_qos_profiles', 'type_description_hash'])
def test_topics_whose_metadata_was_edited_are_read_all_the_same(bag, tmp_path, storage, key):
    path = bag if storage == 'mcap' else sqlite_copy_of(bag, tmp_path / 'sqlite')
    before = contents(path)
    metadata = yaml.safe_load((path / 'metadata.yaml').read_text())
    for topic in metadata['rosbag2_bagfile_information']['topics_with_message_count']:
        topic['topic_metadata'][key] = '' if key == 'offered_qos_profiles' else 'RIHS01_0'
    (path / 'metadata.yaml').write_text(yaml.safe_dump(metadata))
    assert contents(path) == before


def test_an_sqlite_bag_whose_recorder_was_killed_is_refused_with_the_remedy(bag, tmp_path):
    folder = sqlite_copy_of(bag, tmp_path / 'sqlite')
    (file,) = folder.glob('*.db3')
    killed = tmp_path / 'killed'
    with contextlib.closing(sqlite3.connect(file, isolation_level=None)) as database:
        database.execute('PRAGMA journal_mode=WAL')
        database.execute("INSERT INTO messages(topic_id, timestamp, data) VALUES (1, 99, x'00')")
        shutil.copytree(folder, killed)
    with pytest.raises(InputError, match='wal_checkpoint') as caught:
        BagReader(killed)
    assert caught.value.fault == 'bag_corrupt'
    assert str(killed / file.name) in str(caught.value)


def test_a_bare_file_of_compressed_messages_is_told_to_need_its_folder(bag, tmp_path):
    folder = compressed_copy_of(bag, tmp_path / 'packed')
    assert contents(folder) == contents(bag)
    (file,) = folder.glob('*.mcap')
    assert fault_of(read_all, file) == 'bag_format'
