# SPDX-License-Identifier: Apache-2.0
"""One replay from start to end: node up, warm-up, playing, recording, node down, figures.

Loads rclpy. Nothing here waits by sleeping: discovery and answers are waited for with deadlines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

from lifecycle_msgs.msg import State
from lifecycle_msgs.srv import GetState
from rcl_interfaces.srv import GetParameters
from rclpy.node import Node
from rclpy.parameter import parameter_value_to_python

from metric_depth_ros.bags.layout import TF_STATIC_TOPIC
from metric_depth_ros.bags.writer import BagWriter, new_bag
from metric_depth_ros.errors import InputError
from metric_depth_ros.replay.given_parameters import file_parameters, single_parameters
from metric_depth_ros.replay.node_process import NodeProcess
from metric_depth_ros.replay.player import (
    Player,
    Timing,
    first_frame,
    looped,
    read_timing,
)
from metric_depth_ros.replay.recorder import Answers, Recorder
from metric_depth_ros.replay.service_calls import response_to
from metric_depth_ros.replay.spinning_node import (
    environment,
    local_environment,
    random_domain,
    spinning_node,
)
from metric_depth_ros.replay.streams import Streams, check_sources, find_streams
from metric_depth_ros.ros.parameters import DEPTH_NODE, DepthNodeSettings

RECORDING = 'recording'
NODE_LOG = 'node.log'
_STATE_SERVICE = '/depth/get_state'
_PARAMETER_SERVICE = '/depth/get_parameters'
_DISCOVERY_S = 30.0
_WARM_UP_WAITS_S = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
_SILENCE_S = 10.0  # beyond what the node needs for a word: none will come
_FRAMES = 2  # the one at hand and the one after it: how long an answer may take
_RSS_START_FRAME = 100
_POLL_S = 0.1


@dataclass(frozen=True)
class ReplayOptions:
    """What to replay, and how.

    Parameters
    ----------
    bag
        Bag to play.
    out
        Folder for the recording and the node's log; must exist.
    params_file
        Parameters of the node, or None; they win over what the bag says.
    parameters
        Single parameters, ``name:=value`` each; they win over the file.
    topics
        Topics of the bag by input name, where they differ from `streams.DEFAULT_TOPICS`.
    rate
        Speed: 2 plays twice as fast as it was recorded.
    loops
        How often to play the bag; later loops have later stamps and are not recorded.
    with_points, with_confidence
        Whether to subscribe to the cloud and to the confidence too.
    domain
        ROS domain; None takes one at random, apart from whatever else runs here.
    """

    bag: Path
    out: Path
    params_file: Path | None = None
    parameters: Sequence[str] = ()
    topics: Mapping[str, str] = field(default_factory=dict)
    rate: float = 1.0
    loops: int = 1
    with_points: bool = False
    with_confidence: bool = False
    domain: int | None = None


@dataclass(frozen=True, eq=False)
class ReplayRun:
    """What happened.

    Parameters
    ----------
    streams
        What was played.
    settings
        The node's parameters.
    recording
        Bag with the answers of the first loop.
    answers
        When each frame was played and answered.
    warm_up_frames
        Images sent before the measurement began, to be sure that everybody listens.
    counters
        What the node counted during the measurement: `recorder.COUNTERS`.
    rss_mb
        Resident memory of the node: ``start`` after the first 100 answered frames (after the
        first where there are fewer), ``end`` after the last.
    cpu_percent
        Processor time of the node per time, up to the last answer; 100 is one core.
    exit_code
        Of the node after it was interrupted, or whatever ended it before.
    node_died
        Whether it ended before it was asked to.
    last_words
        The end of what it printed.
    """

    streams: Streams
    settings: DepthNodeSettings
    recording: Path
    answers: Answers
    warm_up_frames: int
    counters: dict[str, int]
    rss_mb: dict[str, float | None]
    cpu_percent: float | None
    exit_code: int
    node_died: bool
    last_words: str


def replay(
    options: ReplayOptions, progress: Callable[[int, int], None] = lambda done, total: None
) -> ReplayRun:
    """Play a bag through the node.

    Parameters
    ----------
    options
        What and how.
    progress
        Called with (images played, images in all).

    Raises
    ------
    InputError
        A bag without the needed topics or without any prompt source of the node, parameters that
        the node does not have, a node that refuses their values or that does not answer the
        first image.
    """
    streams = find_streams(options.bag, options.topics)
    timing = read_timing(options.bag, streams.image)
    arguments = node_arguments(options, streams)
    domain = random_domain() if options.domain is None else options.domain
    variables = {'ROS_DOMAIN_ID': str(domain), **local_environment()}
    log = options.out / NODE_LOG
    with (
        environment(variables),
        spinning_node('metric_depth_replay', domain) as ros_node,
        new_bag(options.out / RECORDING, InputError) as recording,
        NodeProcess(arguments, log, variables) as process,
    ):
        session = _Session(options, streams, timing, ros_node, recording, process)
        settings = session.start()
        check_sources(options.bag, streams, settings.prompt.sources)
        warm_up_frames = session.warm_up()
        baseline = dict(session.recorder.counters)
        session.recorder.forget()
        session.play(settings, progress)
        node_died = not process.is_running
        rss_end = process.rss_mb()
        exit_code = process.stop()
    counters = session.recorder.counters
    return ReplayRun(
        streams=streams,
        settings=settings,
        recording=options.out / RECORDING,
        answers=session.recorder.answers,
        warm_up_frames=warm_up_frames,
        counters={name: n - baseline[name] for name, n in counters.items()},
        rss_mb={'start': session.rss_start_mb, 'end': rss_end},
        cpu_percent=session.cpu_percent,
        exit_code=exit_code,
        node_died=node_died,
        last_words=process.last_words(),
    )


def node_arguments(options: ReplayOptions, streams: Streams) -> list[str]:
    """Return the command line of the node; later parameters win over earlier ones.

    Prompt sources and extrinsics are those of the bag, unless the user gives others. What tf2
    would hear on a robot lies in the bag, so that extrinsics.source tf2 of a file is the bag, too.
    """
    arguments = ['--ros-args']
    single = single_parameters(options.parameters)
    given = {} if options.params_file is None else file_parameters(options.params_file)
    given |= single

    def parameter(name: str, value: str) -> None:
        arguments.extend(('-p', f'{name}:={value}'))

    parameter('prompt.sources', f'[{", ".join(streams.prompt_sources)}]')
    if options.params_file is not None:
        arguments += ['--params-file', str(options.params_file)]
    parameter('use_sim_time', 'true')
    names_places = given.get('extrinsics.source', 'tf2') != 'tf2'
    if streams.prompt_sources and TF_STATIC_TOPIC in streams.types and not names_places:
        parameter('extrinsics.source', 'bag')
        parameter('extrinsics.path', str(options.bag.resolve()))
    if streams.is_compressed:
        parameter('image_transport', 'compressed')
    for name, value in single.items():
        parameter(name, value)
    for relative, topic in streams.remappings.items():
        arguments += ['-r', f'{relative}:={topic}']
    return arguments


class _Session:
    """The parts of a running replay."""

    def __init__(
        self,
        options: ReplayOptions,
        streams: Streams,
        timing: Timing,
        ros_node: Node,
        recording: BagWriter,
        process: NodeProcess,
    ) -> None:
        self._options = options
        self._streams = streams
        self._timing = timing
        self._process = process
        self._ros_node = ros_node
        self._recorded: set[int] = set()
        self._began_s = 0.0
        self._cpu_began_s: float | None = None
        self._measuring = False
        self.rss_start_mb: float | None = None
        self.cpu_percent: float | None = None
        self.recorder = Recorder(
            ros_node,
            recording,
            self._recorded.__contains__,
            options.with_points,
            options.with_confidence,
        )
        self._player = Player(ros_node, streams, self._note_played)

    def start(self) -> DepthNodeSettings:
        """Wait until the node is active; return its parameters, wherever they come from."""
        self._await_active()
        names = list(DEPTH_NODE.rows)
        found = self._ask(GetParameters, _PARAMETER_SERVICE, GetParameters.Request(names=names))
        values = map(parameter_value_to_python, found.values)
        return DEPTH_NODE.settings(dict(zip(names, values, strict=True)))

    def warm_up(self) -> int:
        """Send the first frame, with earlier stamps, until it is answered; return how often.

        Discovery has many sides; only an answer on every topic proves that all have finished.
        """
        self._await_subscribers()
        frame = first_frame(self._options.bag, self._streams)
        step_ns = self._timing.step_before(frame[-1], len(_WARM_UP_WAITS_S))
        for i, wait_s in enumerate(_WARM_UP_WAITS_S):
            shift_ns = (i - len(_WARM_UP_WAITS_S)) * step_ns
            for message in frame:
                self._player.publish(message, shift_ns)
            if self._wait(self._has_answered_all, wait_s):
                return i + 1
        seconds = sum(_WARM_UP_WAITS_S)
        self._refuse(
            'replay_no_answer', f'the node did not answer the first image within {seconds:.0f} s'
        )

    def play(self, settings: DepthNodeSettings, progress: Callable[[int, int], None]) -> None:
        """Play all loops, then wait until every image is answered or none will be any more."""
        options = self._options
        total = self._streams.frames * options.loops
        self._measuring = True
        self._began_s = time.monotonic()
        self._cpu_began_s = self._process.cpu_s()
        messages = looped(options.bag, self._streams, self._timing, options.loops)
        played = 0
        for message in self._player.play(messages, options.rate):
            if not self._process.is_running:
                return
            if self.recorder.failure is not None:
                raise self.recorder.failure
            if message.topic == self._streams.image:
                played += 1
                progress(played, total)
                self._note_memory(total)
        self._await_answers(settings.diagnostics.period_s)
        self._note_memory(total)

    def _note_played(self, stamp_ns: int) -> None:
        # The bag holds one loop: a recording of hours would hold the same frames again and again.
        if self._measuring and self.recorder.answers.images < self._streams.frames:
            self._recorded.add(stamp_ns)
        self.recorder.note_played(stamp_ns)

    def _note_memory(self, total: int) -> None:
        wanted = _RSS_START_FRAME if total > _RSS_START_FRAME else 1
        if self.rss_start_mb is None and len(self.recorder.answers.depth) >= wanted:
            self.rss_start_mb = self._process.rss_mb()

    def _note_cpu(self) -> None:
        now_s = self._process.cpu_s()
        if now_s is not None and self._cpu_began_s is not None:
            lasted_s = time.monotonic() - self._began_s
            self.cpu_percent = 100.0 * (now_s - self._cpu_began_s) / lasted_s

    def _await_active(self) -> None:
        """Ask for the node's state; it answers only after it has tried to start by itself."""
        state = self._ask(GetState, _STATE_SERVICE, GetState.Request()).current_state
        if state.id != State.PRIMARY_STATE_ACTIVE:
            self._refuse('replay_node', f'the node is {state.label}, expected active')

    def _ask(self, kind: Any, service: str, request: Any) -> Any:
        """Return the response of a service of the node."""
        client = self._ros_node.create_client(kind, service)
        if not self._wait(client.service_is_ready, _DISCOVERY_S):
            self._refuse(
                'replay_discovery', f'the node did not appear within {_DISCOVERY_S:.0f} s'
            )
        response = response_to(client, request)
        if not self._wait(lambda: response() is not None, _DISCOVERY_S):
            self._refuse('replay_node', f'the node does not answer {service}')
        return response()

    def _refuse(self, fault: str, problem: str) -> NoReturn:
        if not self._process.is_running:
            problem = f'the node ended with exit code {self._process.exit_code}'
        raise InputError(fault, f'{problem}. It said:\n{self._process.last_words()}')

    def _await_subscribers(self) -> None:
        # Inputs that the node's parameters leave out are never subscribed to.
        optional = [
            topic
            for name, topic in self._streams.topics.items()
            if name not in ('image', 'camera_info')
        ]

        def missing() -> list[str]:
            return self._player.unmatched(optional) + self.recorder.unmatched()

        if not self._wait(lambda: not missing(), _DISCOVERY_S):
            self._refuse(
                'replay_discovery',
                f'after {_DISCOVERY_S:.0f} s the node is still not on {", ".join(missing())}',
            )

    def _has_answered_all(self) -> bool:
        played = list(self.recorder.answers.played)
        return any(self.recorder.is_answered(stamp) for stamp in played)

    def _await_answers(self, health_period_s: float) -> None:
        """Wait for the last image, as long as the node answers or counts one within its time.

        An image that it drops is counted with the next word of its health. The time that its
        processor is measured over ends with the last answer: what is waited for in vain is none.
        """
        self._note_cpu()
        recorder, answers = self.recorder, self.recorder.answers
        newest = max(answers.played, default=None)
        while newest is not None and not recorder.is_answered(newest):
            answered = len(answers.depth)
            silence_s = _SILENCE_S + max(_FRAMES * recorder.took_s, health_period_s)
            if not self._hears_of(newest, silence_s):
                return
            if len(answers.depth) > answered:
                self._note_cpu()

    def _hears_of(self, newest_ns: int, timeout_s: float) -> bool:
        """Wait until an image is answered or the node has counted anything."""
        recorder, counted = self.recorder, dict(self.recorder.counters)
        return self._wait(
            lambda: recorder.is_answered(newest_ns) or recorder.counters != counted, timeout_s
        )

    def _wait(self, condition: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for a condition, but not for a node that has died."""
        deadline_s = time.monotonic() + timeout_s
        while not self.recorder.wait_for(condition, _POLL_S):
            if not self._process.is_running or time.monotonic() > deadline_s:
                return False
        return True
