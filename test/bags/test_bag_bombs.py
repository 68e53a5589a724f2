# SPDX-License-Identifier: Apache-2.0
"""Bags that claim more than they hold, or unpack to more than they should."""

import resource
import sqlite3
import struct
from contextlib import closing

import lz4.frame
import numpy as np
import pytest
from rosbags.rosbag2 import StoragePlugin, Writer, reader, storage_mcap, writer
from rosbags.rosbag2.enums import CompressionFormat, CompressionMode

from metric_depth_ros.bags import bounds
from metric_depth_ros.bags.bounds import MAX_UNPACKED_BYTES, MAX_YAML_BYTES, bound_rosbags
from metric_depth_ros.bags.reader import BagReader
from metric_depth_ros.bags.typestore import typestore
from metric_depth_ros.errors import InputError

PACK = {'lz4': lz4.frame.compress, 'zstd': storage_mcap.zstd.compress}
MOST_KB = 200_000  # of memory that a refusal takes


@pytest.fixture(autouse=True)
def bounded():
    bound_rosbags()


@pytest.fixture
def make_bag(tmp_path):
    """Return a function that writes images of one color, and returns the bag."""

    def make(plugin=StoragePlugin.MCAP, mode=CompressionMode.NONE, side=64):
        path = tmp_path / 'bag'
        store = typestore()
        image = store.types['sensor_msgs/msg/Image']
        header = store.types['std_msgs/msg/Header']
        stamp = store.types['builtin_interfaces/msg/Time']
        with closing_writer(path, plugin, mode) as bag:
            connection = bag.add_connection('/image', image.__msgtype__, typestore=store)
            for n in range(1, 4):
                message = image(
                    header=header(stamp=stamp(sec=n, nanosec=0), frame_id='camera'),
                    height=side, width=side, encoding='mono8', is_bigendian=0, step=side,
                    data=np.zeros(side * side, np.uint8),
                )  # fmt: skip
                data = store.serialize_cdr(message, image.__msgtype__)
                bag.write(connection, n, data)
        return path

    return make


def closing_writer(path, plugin, mode):
    bag = Writer(path, version=9, storage_plugin=plugin)
    if mode != CompressionMode.NONE:
        bag.set_compression(mode, CompressionFormat.ZSTD)
    return bag


def read_all(path):
    with BagReader(path) as bag:
        return [message.data.size for _, message in bag.messages(['/image'])]


def grown_kb(action):
    """Return by how much the most memory that this process ever had grows."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    action()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before


@pytest.mark.parametrize('kind', PACK)
def test_a_chunk_unpacks_to_what_it_claims_and_no_more(kind):
    packed = PACK[kind](bytes(1_000_000))
    assert len(storage_mcap.DECOMPRESSORS[kind](packed, 1_000_000)) == 1_000_000
    assert len(storage_mcap.DECOMPRESSORS[kind](packed, 1000)) == 1001


@pytest.mark.parametrize('kind', PACK)
def test_a_chunk_that_claims_too_much_is_not_unpacked(kind):
    with pytest.raises(ValueError, match='claims'):
        storage_mcap.DECOMPRESSORS[kind](PACK[kind](b'x'), MAX_UNPACKED_BYTES + 1)


@pytest.mark.parametrize('kind', PACK)
def test_a_chunk_that_holds_less_than_it_claims_takes_no_memory_for_the_claim(kind):
    packed = PACK[kind](bytes(1000))
    grown = grown_kb(lambda: storage_mcap.DECOMPRESSORS[kind](packed, MAX_UNPACKED_BYTES))
    assert grown < MOST_KB


@pytest.mark.parametrize('plugin', StoragePlugin)
@pytest.mark.parametrize('mode', [CompressionMode.FILE, CompressionMode.MESSAGE])
def test_good_compressed_bags_are_read(make_bag, plugin, mode):
    assert read_all(make_bag(plugin, mode)) == [64 * 64] * 3


def test_a_message_that_unpacks_to_too_much_is_refused(make_bag, monkeypatch):
    monkeypatch.setattr(bounds, 'MAX_UNPACKED_BYTES', 10_000)
    bag = make_bag(mode=CompressionMode.MESSAGE, side=512)
    with pytest.raises(InputError, match='unpacks to more than 10000 bytes'):
        read_all(bag)


def test_a_compressed_message_that_was_cut_short_is_refused():
    with pytest.raises(ValueError, match='cut short'):
        reader.zstd.decompress(PACK['zstd'](bytes(1000))[:-4])


def test_a_compressed_file_that_unpacks_to_too_much_is_refused(make_bag, monkeypatch):
    monkeypatch.setattr(bounds, '_SMALL_FILE_BYTES', 100_000)
    bag = make_bag(mode=CompressionMode.FILE, side=2048)
    with pytest.raises(InputError, match='unpacks to more than'):
        read_all(bag)


@pytest.mark.parametrize('claim', [1 << 31, 1 << 34, 1 << 62])
def test_a_record_that_claims_more_than_the_file_has_takes_no_memory(make_bag, claim):
    bag = make_bag()
    path = next(bag.glob('*.mcap'))
    data = path.read_bytes()
    path.write_bytes(data[:9] + struct.pack('<Q', claim) + data[17:])

    def refuse():
        with pytest.raises(InputError, match=f'claims {claim} bytes'):
            read_all(bag)

    assert grown_kb(refuse) < MOST_KB


@pytest.mark.parametrize(
    'change',
    [
        # A gigabyte for each row that is read, of a column that takes no byte in the file.
        'ALTER TABLE messages ADD COLUMN more BLOB AS (zeroblob(1000000000))',
        # Rows without end.
        'DROP TABLE schema; CREATE VIEW schema AS '
        'WITH RECURSIVE n(schema_version) AS (SELECT 4 UNION ALL SELECT 4 FROM n) SELECT * FROM n',
        'CREATE TRIGGER more AFTER INSERT ON messages BEGIN SELECT 1; END',
        'CREATE VIRTUAL TABLE more USING fts5(text)',
    ],
    ids=['generated column', 'view', 'trigger', 'virtual table'],
)
def test_a_database_that_computes_what_it_holds_is_refused(make_bag, change):
    bag = make_bag(StoragePlugin.SQLITE3)
    with closing(sqlite3.connect(next(bag.glob('*.db3')))) as database:
        database.executescript(change)
    with pytest.raises(InputError, match=r'computes what it holds|recordings do not have'):
        read_all(bag)


def test_metadata_larger_than_any_is_refused(make_bag):
    bag = make_bag()
    with (bag / 'metadata.yaml').open('ab') as metadata:
        metadata.truncate(1 << 33)  # of no blocks on the disk
    with pytest.raises(InputError, match=r'metadata.yaml has 8589934592 bytes'):
        read_all(bag)


# Each line of the kind doubles what reading takes: thirty of them, a kilobyte, take hours.
DOUBLING = 'a0: &a0 {k: 1}\na1: &a1 {<<: [*a0, *a0]}\na2: &a2 {<<: [*a1, *a1]}\n'


def test_metadata_with_aliases_is_refused(make_bag):
    bag = make_bag()
    with (bag / 'metadata.yaml').open('a') as metadata:
        metadata.write(DOUBLING)
    with pytest.raises(InputError, match=r'the alias \*a0 is not taken'):
        read_all(bag)


@pytest.mark.parametrize('plugin', StoragePlugin)
@pytest.mark.parametrize(
    ('text', 'fault'),
    [(DOUBLING, r'the alias \*a0 is not taken'), (' ' * (MAX_YAML_BYTES + 1), 'at most 1048576')],
    ids=['aliases', 'long'],
)
def test_quality_of_service_that_takes_long_to_read_is_refused(
    make_bag, plugin, text, fault, monkeypatch
):
    monkeypatch.setattr(writer, 'dump_qos_v9', lambda profiles: text)
    bag = make_bag(plugin)
    with pytest.raises(InputError, match=fault):
        read_all(next(bag.glob('bag.*')))
