# SPDX-License-Identifier: Apache-2.0
"""The managed node: transitions create and release what the other modules of this room are.

configure: parameters, extrinsics, estimator, publishers. activate: subscriptions and the worker.
Deactivate and clean up release the same in reverse. A configuration that cannot be used fails the
transition with one sentence, and the node stays to be configured again.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher

from metric_depth_ros.errors import InputError
from metric_depth_ros.estimators.base import Estimator, recovers_camera
from metric_depth_ros.ros.assembly import Assembly
from metric_depth_ros.ros.declaration import DeclaredParameters
from metric_depth_ros.ros.diagnostics import Counters, Problem, health_status, silent_problem
from metric_depth_ros.ros.estimation import apply_live, estimator_from
from metric_depth_ros.ros.extrinsics import (
    Extrinsics,
    StaticTree,
    create_extrinsics,
    needs_extrinsics,
)
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.framing import FrameBuilder
from metric_depth_ros.ros.inputs import Inputs, create_assembly
from metric_depth_ros.ros.logs import forward_logs
from metric_depth_ros.ros.outputs import Outputs
from metric_depth_ros.ros.pairing import check_installed
from metric_depth_ros.ros.parameters import DepthNodeSettings
from metric_depth_ros.ros.processing import FrameProcessor, Worker

_WORKER_STOP_S = 1.5
_SILENT_PERIODS = 2.0  # a topic is silent after this many periods of the diagnostics
_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR


class DepthNode(LifecycleNode):
    """Dense metric depth of one camera."""

    def __init__(self) -> None:
        super().__init__('depth')
        self._declared = DeclaredParameters(self)
        self.add_post_set_parameters_callback(self._on_parameters_set)
        for sentence in self._declared.unknown_names():
            self.get_logger().warning(sentence)
        self._settings = DepthNodeSettings()
        self._counters = Counters()
        self._faults = FaultLog(self.get_logger().warning, self._settings.log_throttle_s)
        self._releases: list[Callable[[], object]] = []
        self._deactivations: list[Callable[[], object]] = []
        self._assembly: Assembly | None = None
        self._inputs: Inputs | None = None

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if not self.get_parameter('autostart').value:
            return
        if self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def release(self) -> None:
        """Release everything, whatever the state; safe to call twice."""
        self._deactivate()
        self._run_all(self._releases)
        self._declared.configured = False

    def report_defect(self) -> None:
        """Report the exception being handled; it costs one callback, never the node."""
        self._faults.report(self.get_name(), 'internal', traceback.format_exc())

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters and create all that needs no message."""
        return self._attempt('configure', self._configure, self.release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and answer frames."""
        return self._attempt('activate', self._activate, self._deactivate)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop answering; what was configured stays."""
        self._deactivate()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release what was configured."""
        self.release()
        return _SUCCESS

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything."""
        self.release()
        return _SUCCESS

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything, so that the node can be configured again."""
        self.release()
        return _SUCCESS

    def _attempt(
        self, name: str, attempt: Callable[[], None], undo: Callable[[], None]
    ) -> TransitionCallbackReturn:
        """Run one half of a transition; rclpy would hide whatever it raises."""
        try:
            attempt()
        except InputError as error:
            self.get_logger().error(f'cannot {name}: {error}')
            undo()
            return _FAILURE
        except Exception:
            self.get_logger().error(f'cannot {name}: {traceback.format_exc()}')
            undo()
            return _ERROR
        return _SUCCESS

    def _configure(self) -> None:
        settings = self._declared.settings()
        check_installed(settings.sync.policy)
        self._settings = settings
        self._counters = Counters(expects_prompt=bool(settings.prompt.sources))
        self._faults = FaultLog(self.get_logger().warning, settings.log_throttle_s)
        self._extrinsics: Extrinsics = (
            create_extrinsics(settings.extrinsics, self)
            if needs_extrinsics(settings.prompt)
            else StaticTree({}, 'nothing')
        )
        self._releases.append(self._extrinsics.close)
        self._releases.append(forward_logs(self.get_logger()))
        self._estimator: Estimator = estimator_from(settings)
        self._outputs = Outputs(self, self._faults.report)
        self._releases.append(self._outputs.close)
        self._outputs.open()
        self._status = self._publisher(DiagnosticStatus, '~/status')
        self._health = self._publisher(DiagnosticArray, '/diagnostics')
        # Steady: health must be told above all when a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = settings.diagnostics.period_s
        timer = self.create_timer(period_s, self._publish_health, clock=steady)
        self._releases.append(lambda: self.destroy_timer(timer))
        self._declared.configured = True
        self.get_logger().info(
            f'configured: estimator {self._estimator.name}, prompts from '
            f'{", ".join(settings.prompt.sources) or "nothing"}'
        )

    def _publisher(self, kind: type, topic: str) -> Publisher:
        publisher = self.create_publisher(kind, topic, 10)
        self._releases.append(lambda: self.destroy_publisher(publisher))
        return publisher

    def _activate(self) -> None:
        assembly = create_assembly(self._settings)
        inputs = Inputs(self, self._settings, assembly, self._counters, self._faults)
        topics = inputs.topics
        builder = FrameBuilder(
            self._extrinsics,
            lambda stream, error: self._faults.report(topics[stream], error.fault, str(error)),
            camera_needed=not recovers_camera(self._estimator),
        )
        processor = FrameProcessor(
            builder,
            self._estimator,
            self._outputs,
            self._status,
            self._counters,
            self.get_fully_qualified_name(),
        )
        worker = Worker(
            assembly,
            processor,
            lambda: self._settings,
            self._counters,
            self._faults,
            topics['image'],
        )
        self._deactivations += [lambda: self._stop(worker), inputs.close]
        inputs.open(self._settings)
        self._assembly, self._inputs = assembly, inputs
        self.get_logger().info(f'active: waiting for {", ".join(topics.values())}')

    def _deactivate(self) -> None:
        self._run_all(self._deactivations)
        self._inputs = self._assembly = None

    def _stop(self, worker: Worker) -> None:
        if not worker.stop(_WORKER_STOP_S):
            self.get_logger().warning('a frame is still being computed; it is abandoned')

    def _on_parameters_set(self, parameters: list[Parameter]) -> None:
        """Take changed values into force; they have been checked."""
        if not self._declared.configured:
            return
        settings = self._declared.settings()
        self._settings = settings
        apply_live(self._estimator, settings)
        self._faults.throttle_s = settings.log_throttle_s
        if self._assembly is not None and self._inputs is not None:
            self._assembly.set_limits(settings.prompt.max_age_s, settings.prompt.max_wait_s)
            self._inputs.max_frame_age_s = settings.max_frame_age_s

    def _publish_health(self) -> None:
        assembly = self._assembly
        status = health_status(
            f'{self.get_name()}: frames',
            self.get_fully_qualified_name(),
            self._problems(),
            self._counters,
            assembly.replaced if assembly else 0,
            {f'{topic} {fault}': n for (topic, fault), n in self._faults.counts().items()},
        )
        message = DiagnosticArray(status=[status])
        message.header.stamp = self.get_clock().now().to_msg()
        self._health.publish(message)

    def _problems(self) -> list[Problem]:
        assembly, inputs = self._assembly, self._inputs
        if assembly is None or inputs is None:
            return [(DiagnosticStatus.WARN, 'The node is not active.')]
        limit_s = _SILENT_PERIODS * max(self._settings.diagnostics.period_s, 0.5)
        problems = []
        for stream, topic in inputs.topics.items():
            silent_s = assembly.silent_s(stream)
            is_static = stream.endswith('camera_info')
            if silent_s is None or (silent_s > limit_s and not is_static):
                problems.append(
                    silent_problem(stream, topic, silent_s, inputs.publisher_count(stream))
                )
        return problems + self._counters.new_problems()

    @staticmethod
    def _run_all(actions: list[Callable[[], object]]) -> None:
        while actions:
            actions.pop()()
