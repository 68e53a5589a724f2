# SPDX-License-Identifier: Apache-2.0
"""One camera of the node: its topics, its frames, and the thread that answers them."""

from __future__ import annotations

from collections.abc import Callable, Collection

from diagnostic_msgs.msg import DiagnosticStatus
from rclpy.node import Node
from rclpy.publisher import Publisher

from metric_depth_ros.estimators.base import Estimator
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.camera_feed import CameraFeed
from metric_depth_ros.ros.diagnostics import (
    NOT_ACTIVE,
    Counters,
    Problem,
    health_status,
    lasting_problem,
    unique_name,
)
from metric_depth_ros.ros.extrinsics import Extrinsics
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.inputs import (
    Inputs,
    SharedStreams,
    create_assembly,
    resolved_topics,
)
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.processing import FrameProcessor
from metric_depth_ros.ros.qos import advertise
from metric_depth_ros.ros.silence import silent_after_s
from metric_depth_ros.ros.snapshot import Answered
from metric_depth_ros.ros.worker import Worker

FRAMES = 'frames'  # what /diagnostics tells about where the camera has no name
_STATUS_DEPTH = 10
_SLOW = 2.0  # times what frames usually take; estimators that take seconds are no problem


class Channel:
    """What a node has once per camera. Whatever happens to one touches no other.

    Parameters
    ----------
    node
        The node.
    camera
        Name that its topics begin with; empty where the node has one camera.
    settings
        Returns the settings in force.
    extrinsics
        Where the sensors are.
    faults
        Where what is wrong with messages is reported.
    feed
        The camera itself, where its node runs in this process.
    """

    def __init__(
        self,
        node: Node,
        camera: str,
        settings: Callable[[], DepthNodeSettings],
        extrinsics: Extrinsics,
        faults: FaultLog,
        feed: CameraFeed | None = None,
    ) -> None:
        self.camera = camera
        self.counters = Counters(expects_prompt=bool(settings().prompt.sources))
        self._node = node
        self._settings = settings
        self._extrinsics = extrinsics
        self._faults = faults
        self._feed = feed
        self._outputs = Outputs(node, faults.report, camera)
        self._status_topic = f'~/{camera}/status' if camera else '~/status'
        self._status: Publisher | None = None
        self._assembly: Assembly | None = None
        self._inputs: Inputs | None = None
        self._worker: Worker | None = None
        self._processor: FrameProcessor | None = None
        self._camera_frame = ''

    def open(self) -> None:
        """Create the publishers.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be.
        """
        self._outputs.open()
        self._status = advertise(
            self._node, DiagnosticStatus, self._status_topic, self._faults.report, _STATUS_DEPTH
        )

    def close(self) -> None:
        """Destroy the publishers."""
        self._outputs.close()
        if self._status is not None:
            self._node.destroy_publisher(self._status)
            self._status = None

    def activate(self, estimator: Estimator, shared: SharedStreams) -> list[str]:
        """Subscribe and answer frames; return the topics that are waited for.

        Raises
        ------
        InputError
            Quality of service overrides that cannot be, or ``sync.policy`` without
            message_filters.
        """
        settings = self._settings()
        self.counters.begin()
        self._assembly = create_assembly(settings)
        self._inputs = Inputs(
            self._node,
            settings,
            self._assembly,
            self.counters,
            self._faults,
            self.camera,
            shared,
            self._feed,
        )
        self.start_worker(estimator)
        self._inputs.open(settings)
        return list(self._inputs.topics.values())

    def start_worker(self, estimator: Estimator) -> None:
        """Answer frames with an estimator, in new threads."""
        assert self._assembly is not None
        assert self._inputs is not None
        assert self._status is not None
        topics = self._inputs.topics
        builder = FrameBuilder(
            self._extrinsics,
            lambda stream, error: self._faults.report(topics[stream], error.fault, str(error)),
        )
        self._processor = FrameProcessor(
            builder,
            self._outputs,
            self._status,
            self.counters,
            self._status_name(),
        )
        self._worker = Worker(
            self._assembly,
            self._processor,
            estimator,
            self._settings,
            self.counters,
            self._faults,
            topics['image'],
        )

    def deactivate(self, timeout_s: float) -> bool:
        """Stop answering; False if a frame at hand takes longer and is abandoned."""
        if self._inputs is not None:
            self._inputs.close()
        ended = self._worker is None or self._worker.stop(timeout_s)
        self._inputs = self._assembly = self._worker = self._processor = None
        return ended

    @property
    def newest(self) -> Answered | None:
        """The newest frame that was answered."""
        return None if self._processor is None else self._processor.newest

    @property
    def topics(self) -> set[str]:
        """All topics of this camera as remapped, those that it shares with others too."""
        inputs = resolved_topics(self._node, self._settings(), self.camera, self._feed)
        status = self._node.resolve_topic_name(self._status_topic)
        return {*inputs.values(), *self._outputs.topics, status}

    @property
    def image_topic(self) -> str:
        """Topic of the images, for reports."""
        return self._node.get_name() if self._inputs is None else self._inputs.topics['image']

    def busy_s(self) -> float:
        """Return how long the estimator in use has been at a frame, its first one aside."""
        return 0.0 if self._worker is None else self._worker.busy_s()

    def give_up_replaced(self, limit_s: float) -> None:
        """Wait no longer for an estimator that was replaced while it was at a frame.

        Parameters
        ----------
        limit_s
            How long it may take for a frame.
        """
        worker = self._worker
        overdue_s = 0.0 if worker is None else worker.overdue_s()
        if worker is None or overdue_s <= limit_s:
            return
        self._faults.report(
            self.image_topic,
            'estimator_hangs',
            f'the estimator before has not answered a frame for {overdue_s:.1f} s, more than '
            f'estimator_timeout_s = {limit_s:g}: it is given up, and {worker.estimator.name} '
            'answers the next frames.',
        )
        self.replace_worker(worker.estimator)

    def replace_worker(self, estimator: Estimator) -> None:
        """Abandon the frames at hand, and answer the next ones with another estimator."""
        if self._worker is None:
            return
        for _ in range(self._worker.frames_at_hand):
            self.counters.count('failed')
        self._worker.abandon()
        self.start_worker(estimator)

    def use(self, estimator: Estimator) -> None:
        """Answer with another estimator from the next frame on."""
        if self._worker is not None:
            self._worker.use(estimator)

    def apply_limits(self) -> None:
        """Take changed limits into force."""
        settings = self._settings()
        if self._assembly is not None and self._inputs is not None:
            prompt = settings.prompt
            self._assembly.set_limits(
                prompt.max_age_s, prompt.max_wait_s, settings.max_frame_age_s
            )
            self._inputs.max_frame_age_s = settings.max_frame_age_s

    def health(self, elsewhere: Collection[str] = ()) -> DiagnosticStatus:
        """Return what ``/diagnostics`` is to say about this camera.

        Parameters
        ----------
        elsewhere
            Topics of other cameras alone, whose faults these tell. The rest is told here: what is
            of no camera stands with every one.
        """
        if self._inputs is not None and self._inputs.camera_frame:
            self._camera_frame = self._inputs.camera_frame
        return health_status(
            f'{unique_name(self._node)}: {self.camera or FRAMES}',
            self._camera_frame or self._status_name(),
            self._problems(),
            self.counters,
            self._assembly.replaced if self._assembly else 0,
            self._faults.values(elsewhere),
        )

    def _problems(self) -> list[Problem]:
        assembly, inputs = self._assembly, self._inputs
        if assembly is None or inputs is None:
            return [NOT_ACTIVE]
        limit_s = silent_after_s(self._settings().diagnostics.period_s)
        problems = self._slow_problem(limit_s) + self._shared_topics()
        for sentence in (self._extrinsics.problem, inputs.unpaired):
            problems += lasting_problem(sentence)
        for stream in inputs.topics:
            silent_s = assembly.silent_s(stream)
            is_static = stream.endswith('camera_info')
            if silent_s is None and self._may_be_missing(stream):
                continue
            if silent_s is None or (silent_s > limit_s and not is_static):
                problems.append(inputs.silent_problem(stream, silent_s))
        return problems + self.counters.new_problems()

    def _shared_topics(self) -> list[Problem]:
        """Tell of topics with another publisher: readers pair its messages with those of here."""
        problems: list[Problem] = []
        for topic, nodes in self._outputs.other_publishers().items():
            sentence = (
                f'is published by {", ".join(nodes)} too, so that readers mix two cameras: rename '
                'that node or the camera here (parameter cameras), or remap one of the topics.'
            )
            self._faults.report_once(topic, 'shared_topic', sentence)
            problems.append((DiagnosticStatus.WARN, f'{topic} {sentence}'))
        return problems

    def _slow_problem(self, limit_s: float) -> list[Problem]:
        """Tell of a frame that takes long: images are replaced meanwhile, which is no fault."""
        taken_s = 0.0 if self._worker is None else self._worker.at_hand_s()
        if taken_s <= max(limit_s, _SLOW * self.counters.usual_s()):
            return []
        sentence = (
            f'No depth: a frame has been computed for {taken_s:.1f} s (the first one may compile).'
        )
        return [(DiagnosticStatus.WARN, sentence)]

    def _may_be_missing(self, stream: str) -> bool:
        """Whether nothing is wrong where a stream never sends.

        Registered depth needs no info, nor do images whose camera the estimator recovers.
        """
        if stream == 'camera_info':
            return self._processor is not None and not self._processor.camera_needed
        alignment = self._settings().prompt.depth_alignment
        return stream == 'sensor_depth/camera_info' and alignment == 'auto'

    def _status_name(self) -> str:
        name = self._node.get_fully_qualified_name()
        return f'{name}/{self.camera}' if self.camera else str(name)
