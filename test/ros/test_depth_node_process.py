# SPDX-License-Identifier: Apache-2.0
"""The depth node as a process: start, parameters, lifecycle, quality of service, signals."""

import importlib.util
import os
import signal
import subprocess
import sys
import threading
import time
from array import array

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import State, Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.msg import Parameter, ParameterType, ParameterValue
from rcl_interfaces.srv import SetParameters
from rclpy.qos import DurabilityPolicy, QoSProfile, qos_profile_sensor_data
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image

from metric_depth_ros.codecs.image import decode_depth, encode_depth
from metric_depth_ros.nodes import running


def state_of(client, name):
    return client.call(GetState, f'/{name}/get_state', GetState.Request()).current_state.id


def change(client, name, transition):
    request = ChangeState.Request(transition=Transition(id=transition))
    return client.call(ChangeState, f'/{name}/change_state', request).success


def set_parameter(client, name, parameter, **value):
    request = SetParameters.Request(
        parameters=[Parameter(name=parameter, value=ParameterValue(**value))]
    )
    return client.call(SetParameters, f'/{name}/set_parameters', request).results[0]


def named(name, *remaps):
    """Return remaps that keep several nodes of one domain apart."""
    topics = ('image', 'image/compressed', 'camera_info', 'points', 'depth/image')
    return (f'__node:={name}', *(f'{t}:={name}/{t}' for t in topics), *remaps)


def test_help_answers_without_ros():
    began = time.monotonic()
    command = [sys.executable, '-X', 'importtime', '-m', 'metric_depth_ros.nodes.depth', '--help']
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert 'docs/PARAMETERS.md' in done.stdout
    assert 'rclpy' not in done.stderr
    assert time.monotonic() - began < 30.0


def test_lifecycle_transitions_create_and_release_symmetrically(start_node, client):
    node = start_node({'autostart': 'false'}, named('managed'))
    assert state_of(client, 'managed') == State.PRIMARY_STATE_UNCONFIGURED
    graph = client.node
    for _ in range(2):
        assert graph.count_publishers('/managed/depth/image') == 0
        assert change(client, 'managed', Transition.TRANSITION_CONFIGURE)
        client.wait_for(lambda: graph.count_publishers('/managed/depth/image'), 'publisher')
        assert graph.count_subscribers('/managed/image') == 0
        assert change(client, 'managed', Transition.TRANSITION_ACTIVATE)
        client.wait_for(lambda: graph.count_subscribers('/managed/image'), 'subscriber')
        assert change(client, 'managed', Transition.TRANSITION_DEACTIVATE)
        client.wait_for(lambda: not graph.count_subscribers('/managed/image'), 'no subscriber')
        assert change(client, 'managed', Transition.TRANSITION_CLEANUP)
        client.wait_for(lambda: not graph.count_publishers('/managed/depth/image'), 'release')
    assert change(client, 'managed', Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert node.end() == 0


def test_parameters_are_checked_in_words(start_node, client):
    given = {'prompt.max_age_s': 1, 'prompt.max_ages': 1.0}
    node = start_node(given, named('checked'))
    node.wait_for_log('active')
    assert "'prompt.max_ages'" in node.log
    assert 'did you mean prompt.max_age_s?' in node.log
    integer, text = ParameterType.PARAMETER_INTEGER, ParameterType.PARAMETER_STRING
    accepted = set_parameter(client, 'checked', 'prompt.max_age_s', type=integer, integer_value=2)
    assert accepted.successful
    refused = set_parameter(client, 'checked', 'prompt.max_age_s', type=text, string_value='long')
    assert not refused.successful
    assert "prompt.max_age_s is 'long', expected a number" in refused.reason
    later = set_parameter(client, 'checked', 'extrinsics.path', type=text, string_value='x')
    assert not later.successful
    assert 'clean up' in later.reason


def test_a_parameter_cannot_be_deleted(start_node, client):
    node = start_node({'autostart': 'false'}, named('whole'))
    state_of(client, 'whole')
    deleted = set_parameter(client, 'whole', 'cameras')
    assert not deleted.successful
    assert 'cameras cannot be deleted' in deleted.reason
    given = {'type': ParameterType.PARAMETER_DOUBLE, 'double_value': 0.2}
    assert set_parameter(client, 'whole', 'prompt.max_age_s', **given).successful
    assert node.end() == 0


@pytest.mark.parametrize(
    ('parameters', 'words'),
    [
        ({'prompt.max_age_s': 'soon'}, "prompt.max_age_s is 'soon', expected a number"),
        ({'estimator': 'magic'}, 'classical'),
        ({'extrinsics.path': '/nowhere.yaml'}, 'extrinsics.path'),
        (
            {'qos_overrides./unusable/depth/image.publisher.reliability': 'maybe'},
            'qos_overrides./unusable/depth/image',
        ),
        pytest.param(
            {'extrinsics.source': 'tf2'},
            'ros-$ROS_DISTRO-tf2-ros-py',
            marks=pytest.mark.skipif(
                importlib.util.find_spec('tf2_ros') is not None, reason='tf2_ros is installed'
            ),
        ),
        pytest.param(
            {'sync.policy': 'exact'},
            'ros-$ROS_DISTRO-message-filters',
            marks=pytest.mark.skipif(
                importlib.util.find_spec('message_filters') is not None,
                reason='message_filters is installed',
            ),
        ),
    ],
    ids=lambda v: next(iter(v)) if isinstance(v, dict) else '',
)
def test_a_bad_configuration_is_one_sentence_and_the_node_can_be_stopped(
    start_node, parameters, words
):
    node = start_node(parameters, named('unusable'))
    log = node.wait_for_log('cannot configure')
    line = next(line for line in log.splitlines() if 'cannot configure' in line)
    assert words in line
    assert 'Traceback' not in log
    assert node.end() == 0


def test_an_impossible_override_of_an_input_fails_the_activation(start_node):
    node = start_node({'qos_overrides./halfway/image.subscription.depth': -3}, named('halfway'))
    log = node.wait_for_log('cannot activate')
    assert 'qos_overrides./halfway/image' in log
    assert node.end() == 0


def test_two_inputs_on_one_topic_are_told_to_check_the_remaps(start_node):
    node = start_node(remaps=('points:=/shared/image', *named('shared')))
    log = node.wait_for_log('cannot activate')
    line = next(line for line in log.splitlines() if 'cannot activate' in line)
    assert '/shared/image' in line
    assert '-r NAME:=TOPIC' in line
    assert 'qos_overrides' not in line
    assert node.end() == 0


def test_a_command_line_that_ros_cannot_read_is_one_sentence(tmp_path):
    command = [sys.executable, '-m', 'metric_depth_ros.nodes.depth', '--ros-args']
    command += ['--params-file', str(tmp_path / 'nowhere.yaml')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert 'nowhere.yaml' in done.stderr
    assert 'Traceback' not in done.stderr


def test_a_refused_value_can_be_corrected_and_configured(start_node, client):
    node = start_node({'prompt.max_age_s': 'soon'}, named('corrected'))
    node.wait_for_log('cannot configure')
    double = ParameterType.PARAMETER_DOUBLE
    assert set_parameter(
        client, 'corrected', 'prompt.max_age_s', type=double, double_value=0.2
    ).successful
    assert change(client, 'corrected', Transition.TRANSITION_CONFIGURE)


def test_incompatible_quality_of_service_is_reported_by_topic(start_node, client):
    override = 'qos_overrides./strict/image.subscription.reliability'
    node = start_node({override: 'reliable'}, named('strict'))
    node.wait_for_log('active')
    client.node.create_publisher(Image, '/strict/image', qos_profile_sensor_data)
    log = node.wait_for_log('/strict/image [qos]')
    assert override in log
    latched = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    client.node.create_subscription(Image, '/strict/depth/image', lambda _: None, latched)
    node.wait_for_log('/strict/depth/image [qos]')


def test_compressed_images_are_answered_and_damaged_ones_reported(start_node, client):
    node = start_node({'image_transport': 'compressed'}, named('packed'))
    node.wait_for_log('active')
    received = []
    client.node.create_subscription(Image, '/packed/depth/image', received.append, 10)
    jpeg = cv2.imencode('.jpg', np.zeros((48, 64, 3), np.uint8))[1].tobytes()

    def send(data):
        frame = client.frame()
        image = CompressedImage(header=frame.pop('image').header, format='jpeg', data=data)
        client.send({f'/packed/{topic}': message for topic, message in frame.items()})
        client.publisher(CompressedImage, '/packed/image/compressed').publish(image)

    report = '/packed/image/compressed [compressed_data]'
    client.repeat(lambda: send(jpeg[:50]), lambda: report in node.log, report)
    client.repeat(lambda: send(jpeg), lambda: received, 'depth of a compressed image')


def test_a_registered_depth_camera_needs_no_extrinsics(start_node, client):
    parameters = {
        'extrinsics.source': 'tf2',
        'prompt.sources': '[sensor_depth]',
        'prompt.depth_alignment': 'registered',
    }
    node = start_node(parameters, named('kinect', 'sensor_depth/image:=kinect/sensor_depth/image'))
    node.wait_for_log('active')
    received = []
    client.node.create_subscription(Image, '/kinect/depth/image', received.append, 10)

    def send():
        frame = client.frame()
        fields = encode_depth(np.full((48, 64), 2.0, np.float32), '16UC1')
        depth = Image(height=48, width=64, encoding='16UC1', step=fields.step)
        depth.header, depth.data = frame['image'].header, array('B', fields.data.tobytes())
        del frame['points']
        messages = {'sensor_depth/image': depth, **frame}
        client.send({f'/kinect/{topic}': message for topic, message in messages.items()})

    client.repeat(
        send,
        lambda: any(np.allclose(decode_depth(m), 2.0) for m in received),
        'depth from registered depth',
    )


def test_an_image_without_camera_info_is_reported_and_dropped(start_node, client):
    node = start_node((), named('lonely'))
    node.wait_for_log('active')
    publisher = client.publisher(Image, '/lonely/image')
    client.repeat(
        lambda: publisher.publish(client.frame()['image']),
        lambda: '/lonely/camera_info [camera_info_missing]' in node.log,
        'a report',
    )


def test_an_impossible_clock_does_not_end_the_node(start_node, client):
    node = start_node({'use_sim_time': 'true'}, named('timeless'))
    node.wait_for_log('active')
    clock = client.publisher(Clock, '/clock')
    impossible = Clock()
    impossible.clock.sec = -1
    client.repeat(lambda: clock.publish(impossible), lambda: '[internal]' in node.log, 'a report')
    assert state_of(client, 'timeless') == State.PRIMARY_STATE_ACTIVE


STUBBORN = """
import sys, threading
from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.registry import create_estimator, register
from metric_depth_ros.nodes.depth import main

class Hanging(Estimator):
    name = 'hanging'

    def estimate(self, frame):
        if frame.image.any():
            threading.Event().wait()
        return create_estimator('nearest').estimate(frame)

made = 0

def stubborn(variant, options):
    global made
    made += 1
    if made == 2:
        raise InputError('device', 'the device is lost')
    if made == 3:
        raise RuntimeError('the driver is confused')
    return Hanging() if made == 1 else create_estimator('nearest', options)

register('stubborn', stubborn)
sys.exit(main())
"""


def test_a_hanging_estimator_that_cannot_be_made_anew_is_tried_again(
    start_node, client_in, tmp_path
):
    script = tmp_path / 'stubborn.py'
    script.write_text(STUBBORN)
    given = {
        'estimator': 'stubborn',
        'extrinsics.source': 'file',
        'estimator_timeout_s': 0.3,
        'diagnostics.period_s': 0.2,
        'max_frame_age_s': 0.0,
    }
    node, client = start_node(given, ['__ns:=/stubborn'], script), client_in('stubborn')
    client.connect()
    bright = client.frame()
    bright['image'].data = array('B', b'\xff' * len(bright['image'].data))
    client.send(bright)

    node.wait_for_log('[device]: no other estimator, tried again in 0.2 s: the device is lost')
    node.wait_for_log('[estimator]: no other estimator')
    before = len(client.received['depth/image'])
    client.repeat(
        lambda: client.send(client.frame()),
        lambda: len(client.received['depth/image']) > before,
        'depth of the estimator that was made at last',
    )


NEVER = """
import sys, threading
from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.estimators.registry import register
from metric_depth_ros.nodes.depth import main

class Never(Estimator):
    name = 'never'

    def estimate(self, frame):
        threading.Event().wait()

register('never', lambda variant, options: Never())
sys.exit(main())
"""


def test_an_estimator_that_hangs_in_its_first_frame_is_told_and_can_be_replaced(
    start_node, client_in, tmp_path
):
    script = tmp_path / 'never.py'
    script.write_text(NEVER)
    given = {'estimator': 'never', 'estimator_timeout_s': 0.3, 'diagnostics.period_s': 0.2}
    remaps = ['__ns:=/never', '__node:=never']
    node, client = start_node(given, remaps, script), client_in('never')
    client.subscribe(DiagnosticArray, '/diagnostics')
    client.subscribe(Image, 'depth/image')

    def told():
        heard = [s for m in client.received['/diagnostics'] for s in m.status]
        mine = [s for s in heard if s.name == 'never/never: frames']
        return [s for s in mine if 'No depth: a frame has been computed for' in s.message]

    client.repeat(lambda: client.send(client.frame()), told, 'a frame that takes long')
    assert told()[0].level == DiagnosticStatus.WARN
    answer = set_parameter(
        client, 'never/never', 'estimator',
        type=ParameterType.PARAMETER_STRING, string_value='nearest',
    )  # fmt: skip
    assert answer.successful, answer.reason
    client.repeat(
        lambda: client.send(client.frame()),
        lambda: client.received['depth/image'],
        'depth of the estimator that was set',
    )
    assert 'and nearest answers the next frames' in node.wait_for_log('[estimator_hangs]')


@pytest.fixture
def log_of_an_end(start_node, tmp_path):
    """Return a function that runs a script with a node, ends it with 0 and returns its log."""

    def run(name, content):
        script = tmp_path / 'script.py'
        script.write_text(content)
        node = start_node({'estimator': 'nearest'}, named(name), script)
        node.wait_for_log('active')
        assert node.end() == 0
        return node.log

    return run


CRASHES_WHEN_TAKEN_DOWN = """
import atexit, os, sys
from metric_depth_ros.nodes.depth import main

atexit.register(os.abort)  # as a static object of a library that its own threads still use
sys.exit(main())
"""


def test_a_library_that_crashes_when_it_is_taken_down_costs_no_exit_code(log_of_an_end):
    log_of_an_end('crashing', CRASHES_WHEN_TAKEN_DOWN)


SHOWS_WHAT_IS_LEFT = """
import os, pathlib, sys
from metric_depth_ros.nodes import running
from metric_depth_ros.nodes.depth import main

def show(code):
    names = [path.read_text().strip() for path in pathlib.Path('/proc/self/task').glob('*/comm')]
    print('left:', [name for name in names if name.startswith('dds')], flush=True)
    os._exit(code)

running._end_process = show
sys.exit(main())
"""


def test_no_thread_of_the_middleware_is_left_when_the_process_ends(log_of_an_end):
    log = log_of_an_end('leaving', SHOWS_WHAT_IS_LEFT)
    # The watchdog of Fast DDS looks after ports that all processes share, and ends with its own.
    assert log.splitlines()[-1] in ("left: ['dds.shm.wdog']", 'left: []')


def test_work_that_hangs_does_not_keep_the_process(tmp_path):
    code = (
        'import time; from metric_depth_ros.nodes import running; '
        "running.run_node('node', '', lambda: [print('here', flush=True), time.sleep(100)], [])"
    )
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == 'here\n'
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    assert 'node: still at work 4 s or more after the signal' in log
    assert 'in run_node' in log


def interrupted(code):
    """Return exit code, stdout and stderr of a program that gets SIGINT when it says `here`."""
    with subprocess.Popen(
        [sys.executable, '-c', code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline() == 'here\n'
        process.send_signal(signal.SIGINT)
        told, log = process.communicate(timeout=30)
    return process.returncode, told, log


def test_an_end_that_takes_its_time_is_waited_for():
    code = (
        'import threading, time; from metric_depth_ros.nodes import running\n'
        'running._PATIENCE_S = 0.2\n'
        'def serve(nodes, stop, noticed):\n'
        "    print('here', flush=True); stop.wait(); noticed.set(); time.sleep(1.0)\n"
        "    print('written', flush=True)\n"
        'running._started, running._serve = lambda *_: [], serve\n'
        "running.run_node('node', '', list, [])"
    )
    assert interrupted(code) == (0, 'written\n', '')


WRITES_IN_A_CALLBACK = """
    with WRITING:
        print('here', flush=True)
        stop.wait()
        time.sleep(0.5)
        print('written', flush=True)
        noticed.set()
"""
WRITES_IN_A_THREAD_THAT_IS_ABANDONED = """
    begun = threading.Event()
    def write():
        with WRITING:
            begun.set()
            noticed.wait()
            time.sleep(0.5)
            print('written', flush=True)
    threading.Thread(target=write, daemon=True).start()
    begun.wait()
    print('here', flush=True)
    stop.wait()
    noticed.set()
"""


@pytest.mark.parametrize(
    'serve',
    [WRITES_IN_A_CALLBACK, WRITES_IN_A_THREAD_THAT_IS_ABANDONED],
    ids=['callback', 'abandoned'],
)
def test_a_file_that_is_being_written_is_written_to_its_end(serve):
    code = (
        'import threading, time\n'
        'from metric_depth_ros.nodes import running\n'
        'from metric_depth_ros.ros.writing import WRITING\n'
        'running._PATIENCE_S = 0.02\n'
        f'def serve(nodes, stop, noticed):{serve}'
        'running._started, running._serve = lambda *_: [], serve\n'
        "running.run_node('node', '', list, [])"
    )
    assert interrupted(code) == (0, 'written\n', '')


def test_who_has_written_a_file_is_given_the_whole_patience_again(monkeypatch):
    class Writing:
        """Held until somebody waits for it."""

        held = True

        def locked(self):
            return self.held

        def __enter__(self):
            self.held = False

        def __exit__(self, *_):
            pass

    class Noticed:
        """Noticed in the second patience; a file is begun in the first."""

        def __init__(self):
            self.asked, self.over = [], threading.Event()

        def wait(self, patience_s):
            self.asked.append(writing.held)
            if len(self.asked) == 2:
                self.over.set()
            writing.held = True
            return self.over.is_set()

    writing, noticed, told = Writing(), Noticed(), []
    monkeypatch.setattr(running, 'WRITING', writing)
    monkeypatch.setattr(running.signal, 'set_wakeup_fd', lambda pipe, **_: told.append(pipe))
    running._end_where_unnoticed('node', noticed)
    os.write(told[0], b'signal')
    assert noticed.over.wait(30)
    os.close(told[0])
    assert noticed.asked == [False, False]  # whether a file was being written


@pytest.mark.parametrize(
    ('arguments', 'named'),
    [
        (['--ros-args', '--bogus'], '--bogus'),
        (['--ros-args', '-p', 'use_sim_time:=1'], 'use_sim_time'),
        (['--params-file', 'rgbd.yaml'], "'--params-file rgbd.yaml' stands outside --ros-args"),
        (['--ros-args', '-p', 'autostart:=false', '--', 'foo'], "'foo' stands outside"),
    ],
)
def test_a_wrong_option_of_ros_is_one_sentence(arguments, named):
    command = [sys.executable, '-m', 'metric_depth_ros.nodes.depth', *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 2
    assert named in done.stderr
    assert 'Traceback' not in done.stderr


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize('times', [1, 2])
def test_signals_end_the_node_with_exit_code_0(start_node, number, times):
    node = start_node((), named('mortal'))
    node.wait_for_log('active')
    assert node.end(number, times) == 0
    assert 'Traceback' not in node.log


def test_signals_during_the_whole_shutdown_leave_exit_code_0(start_node):
    node = start_node((), named('hammered'))
    node.wait_for_log('active')
    while node.process.poll() is None:
        node.process.send_signal(signal.SIGTERM)
        time.sleep(0.005)
    assert node.process.returncode == 0


def test_a_signal_during_start_ends_the_node_with_exit_code_0(start_node):
    node = start_node((), named('early'))
    time.sleep(0.3)  # anywhere between the interpreter's start and activation
    node.end()
    assert 'Traceback' not in node.log


def test_a_crash_of_a_library_leaves_the_stack_of_every_thread(tmp_path):
    code = (
        'import os, signal; from metric_depth_ros.nodes import running; '
        'running._started = lambda *_: os.kill(os.getpid(), signal.SIGSEGV); '
        "running.run_nodes('node', '', list, [])"
    )
    done = subprocess.run(
        [sys.executable, '-c', code],
        capture_output=True, text=True, timeout=60, check=False,
        cwd=tmp_path,  # where a core may be dumped
    )  # fmt: skip
    assert done.returncode == -signal.SIGSEGV
    assert 'Segmentation fault' in done.stderr
    assert 'in run_nodes' in done.stderr
