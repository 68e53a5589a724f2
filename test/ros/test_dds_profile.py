# SPDX-License-Identifier: Apache-2.0
"""The shipped Fast DDS profile: full HD images pass between processes, best effort.

Best effort may lose one on a machine that is busy enough; without the profile, nearly all are.
"""

import re
import subprocess
import sys
from array import array

import pytest
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from metric_depth_ros.middleware import shared_memory_bytes
from metric_depth_ros.resources import share_file

# Echoes the header of every image, so that the next one is sent when the last has arrived.
ECHO = """
import rclpy
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Image
from std_msgs.msg import Header
rclpy.init()
node = rclpy.create_node('echo')
answers = node.create_publisher(Header, 'large/header', 10)
node.create_subscription(
    Image, 'large/image', lambda m: answers.publish(m.header), qos_profile_sensor_data
)
rclpy.spin(node)
"""


@pytest.fixture
def echo():
    process = subprocess.Popen([sys.executable, '-c', ECHO], stderr=subprocess.DEVNULL)
    yield process
    process.terminate()
    process.wait(30)


def test_full_hd_depth_images_pass_best_effort(client, echo):
    client.subscribe(Header, 'large/header')
    publisher = client.publisher(Image, 'large/image', qos_profile_sensor_data)
    answers = client.received['large/header']
    small = Image()
    client.repeat(lambda: publisher.publish(small), lambda: answers, 'discovery')
    large = Image(height=1080, width=1920, encoding='32FC1', step=7680)
    large.data = array('B', bytes(1080 * 7680))
    arrived = 0
    for number in range(1, 11):
        large.header.frame_id = str(number)
        publisher.publish(large)
        arrived += client.waits_for(
            lambda n=str(number): any(a.frame_id == n for a in answers), limit_s=3.0
        )
    assert arrived >= 8


def test_the_size_of_the_segment_is_that_of_the_profile_in_force(monkeypatch, tmp_path):
    variables = ('FASTRTPS_DEFAULT_PROFILES_FILE', 'FASTDDS_DEFAULT_PROFILES_FILE')
    for variable in (*variables, 'RMW_IMPLEMENTATION'):
        monkeypatch.delenv(variable, raising=False)
    assert shared_memory_bytes() == 64 << 20
    monkeypatch.setenv(variables[0], str(share_file('config/fastdds_large.xml')))
    assert shared_memory_bytes() == 256 << 20
    monkeypatch.setenv(variables[0], '')
    monkeypatch.setenv('RMW_IMPLEMENTATION', '')
    assert shared_memory_bytes() == 64 << 20
    monkeypatch.setenv('RMW_IMPLEMENTATION', 'rmw_cyclonedds_cpp')
    assert shared_memory_bytes() is None


UDP_ALONE = '<type>UDPv4</type><useBuiltinTransports> false </useBuiltinTransports>'


@pytest.mark.parametrize(
    ('text', 'size'),
    [
        (None, 512 << 10),
        ('hello', 512 << 10),
        ('<dds/>', 512 << 10),
        ('<dds><!-- <segment_size>9</segment_size> --></dds>', 512 << 10),
        (f'<dds><type>SHM</type>{UDP_ALONE}</dds>', 512 << 10),
        (f'<dds>{UDP_ALONE}</dds>', None),
        ('<dds xmlns="x"><segment_size> 99 </segment_size></dds>', 99),
    ],
)
def test_a_profile_that_names_no_size_leaves_that_of_fast_dds(text, size, monkeypatch, tmp_path):
    profile = tmp_path / 'mine.xml'
    if text is not None:
        profile.write_text(text)
    monkeypatch.setenv('FASTRTPS_DEFAULT_PROFILES_FILE', str(profile))
    monkeypatch.delenv('RMW_IMPLEMENTATION', raising=False)
    assert shared_memory_bytes() == size


def test_the_large_profile_differs_from_the_default_in_its_segment_only():
    default, large = (
        re.sub(r'<!--.*?-->|\s', '', share_file(f'config/{name}.xml').read_text(), flags=re.S)
        for name in ('fastdds', 'fastdds_large')
    )
    assert default.replace('67108864', '268435456') == large
