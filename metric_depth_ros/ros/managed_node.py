# SPDX-License-Identifier: Apache-2.0
"""What every node of the package has: its life cycle, parameters, fault log and diagnostics.

configure creates what needs no message, activate begins to answer; deactivate and clean up release
the same in reverse. A configuration that cannot be used fails the transition with one sentence,
and the node stays to be configured again. Its health is told from its making on, in every state.
"""

from __future__ import annotations

import traceback
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleState, TransitionCallbackReturn
from rclpy.parameter import Parameter
from std_srvs.srv import Trigger

from metric_depth_ros.codecs.stamps import NS_PER_S
from metric_depth_ros.errors import InputError
from metric_depth_ros.libraries import missing_libraries_named
from metric_depth_ros.ros.declaration import DeclaredParameters
from metric_depth_ros.ros.diagnostics import NOT_ACTIVE, Problem, problems_status, unique_name
from metric_depth_ros.ros.faults import FaultLog
from metric_depth_ros.ros.logs import forward_logs
from metric_depth_ros.ros.parameter_table import ParameterTable
from metric_depth_ros.ros.parameters import DiagnosticsSettings
from metric_depth_ros.ros.refusing_lifecycle import RefusingLifecycleNode

_SUCCESS = TransitionCallbackReturn.SUCCESS
_FAILURE = TransitionCallbackReturn.FAILURE
_ERROR = TransitionCallbackReturn.ERROR

STOP_S = 0.5  # for what is at hand, of the two seconds in which an interrupted node is gone


class NodeSettings(Protocol):
    """What the settings of every node hold."""

    @property
    def autostart(self) -> bool:
        """Whether the node configures and activates itself."""
        ...

    @property
    def log_throttle_s(self) -> float:
        """Least time between two lines about the same fault."""
        ...

    @property
    def diagnostics(self) -> DiagnosticsSettings:
        """How often the node tells its health."""
        ...


Own = TypeVar('Own', bound=NodeSettings)


class ManagedNode(RefusingLifecycleNode, ABC, Generic[Own]):
    """A managed node with a table of parameters.

    Parameters
    ----------
    name
        Of the node.
    table
        Its parameters.
    part
        What of the node ``/diagnostics`` tells about.
    """

    def __init__(self, name: str, table: ParameterTable[Own], part: str) -> None:
        super().__init__(name)
        self._part = part
        self._declared = DeclaredParameters(self, table, self._prepare_or_refuse)
        self.add_post_set_parameters_callback(self._on_parameters_set)
        for sentence in self._declared.unknown_names():
            self.get_logger().warning(sentence)
        self._settings = table.settings({})
        self._faults = self._fault_log()
        self._releases: list[Callable[[], object]] = []
        self._active = False
        self._refusal = ''  # why the last configure or activate failed
        self._begin_health()

    @abstractmethod
    def _configure(self) -> None:
        """Create all that needs no message, each with what releases it in `_releases`.

        Raises
        ------
        InputError
            A configuration that cannot be used.
        """

    @abstractmethod
    def _activate(self) -> None:
        """Subscribe and answer.

        Raises
        ------
        InputError
            A subscription that cannot be made.
        """

    @abstractmethod
    def _deactivate(self) -> None:
        """Stop answering; safe in any state."""

    @abstractmethod
    def _health(self) -> list[DiagnosticStatus]:
        """Return what ``/diagnostics`` is to say of a node that is configured."""

    def _parts(self) -> Sequence[str]:
        """Return of what ``/diagnostics`` has a status each."""
        return (self._part,)

    def _problems(self) -> list[Problem]:
        """Return what is wrong with the node while it is active, for `_health_of`."""
        return []

    def _health_of(
        self, hardware_id: str, all_well: str, values: Mapping[str, object]
    ) -> DiagnosticStatus:
        """Return the status of a node: its problems, and every fault that was reported.

        Parameters
        ----------
        hardware_id
            Of the status: which device it is about.
        all_well
            What is said where there are no problems.
        values
            To show beside the faults, by name.
        """
        problems = self._problems() if self._active else [NOT_ACTIVE]
        shown = {**values, **self._faults.values()}
        return problems_status(
            f'{unique_name(self)}: {self._part}', hardware_id, problems, all_well, shown
        )

    def _prepare(self, settings: Own) -> None:
        """Make ready what changed parameters ask for; no callback runs meanwhile.

        Raises
        ------
        InputError
            It cannot be made: the change is refused.
        """

    def _apply(self) -> None:
        """Take changed settings into force."""

    def autostart(self) -> None:
        """Configure and activate, if the parameter says so."""
        if not self.get_parameter('autostart').value:
            return
        if self.trigger_configure() == _SUCCESS:
            self.trigger_activate()

    def release(self) -> None:
        """Release everything, whatever the state; safe to call twice."""
        self._stop()
        while self._releases:
            self._releases.pop()()
        self._declared.configured = False

    def report_defect(self) -> None:
        """Report the exception being handled; it costs one callback, never the node."""
        self._faults.report(self.get_name(), 'internal', traceback.format_exc())

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Check the parameters and create all that needs no message."""
        return self._attempt('configure', self._configure_whole, self.release)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Subscribe and answer."""
        return self._attempt('activate', self._start, self._stop)

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Stop answering; what was configured stays."""
        self._stop()
        return _SUCCESS

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release what was configured."""
        self.release()
        self._refusal = ''
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
            with missing_libraries_named():
                attempt()
        except InputError as error:
            self.get_logger().error(f'cannot {name}: {error}')
            undo()
            self._refusal = f'It cannot {name}: {error}'
            return _FAILURE
        except Exception as error:
            self.get_logger().error(f'cannot {name}: {traceback.format_exc()}')
            undo()
            self._refusal = f'It cannot {name}, a defect: {error!r}, see the log of the node.'
            return _ERROR
        self._refusal = ''
        return _SUCCESS

    def _start(self) -> None:
        self._activate()
        self._active = True
        if unused := self._declared.unused_overrides():
            self.get_logger().warning(unused)

    def _stop(self) -> None:
        self._active = False
        self._deactivate()

    def _prepare_or_refuse(self, settings: Own) -> None:
        try:
            with missing_libraries_named():
                self._prepare(settings)
        except InputError:
            raise
        except Exception as error:
            self.report_defect()
            raise InputError('estimator', f'the estimator cannot be made: {error}') from error

    def _configure_whole(self) -> None:
        self._settings = self._declared.settings()
        self._faults = self._fault_log()
        self._health_timer.timer_period_ns = self._settings.diagnostics.period_s * NS_PER_S
        self._health_timer.reset()
        self._releases.append(forward_logs(self.get_logger()))
        self._configure()
        self._declared.configured = True

    def _begin_health(self) -> None:
        """Tell of the node until it is destroyed: above all where it cannot be configured."""
        self._health_publisher = self.create_publisher(DiagnosticArray, '/diagnostics', 10)
        # Steady: health must be told above all when a simulated clock stands still.
        steady = Clock(clock_type=ClockType.STEADY_TIME)
        period_s = float(self.get_parameter('diagnostics.period_s').value)
        self._health_timer = self.create_timer(period_s, self._publish_health, clock=steady)

    def _offer(self, name: str, action: Callable[[], str]) -> None:
        """Offer a service that answers with what an action returns, or with why it cannot.

        It answers whatever happens: rclpy sends no response where a callback raises, and whoever
        asked would wait for ever. The service is released with what was configured.
        """

        def answer(request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
            try:
                with missing_libraries_named():
                    response.message = action()
                response.success = True
            except InputError as error:
                response.message = str(error)
                self._faults.report(self.get_name(), error.fault, str(error))
            except Exception as error:
                response.message = f'a defect of the package: {error!r}, see the log of the node.'
                self.report_defect()
            return response

        service = self.create_service(Trigger, name, answer)
        self._releases.append(lambda: self.destroy_service(service))

    def _fault_log(self) -> FaultLog:
        return FaultLog(self.get_logger().warning, self._settings.log_throttle_s)

    def _on_parameters_set(self, parameters: list[Parameter]) -> None:
        """Take changed values into force; they have been checked."""
        if not self._declared.configured:
            return
        self._settings = self._declared.settings()
        self._faults.throttle_s = self._settings.log_throttle_s
        self._apply()

    def _publish_health(self) -> None:
        is_ready = self._declared.configured and not self._refusal
        message = DiagnosticArray(status=self._health() if is_ready else self._unready())
        message.header.stamp = self.get_clock().now().to_msg()
        self._health_publisher.publish(message)

    def _unready(self) -> list[DiagnosticStatus]:
        """Return what ``/diagnostics`` is to say of a node that answers nothing, and why."""
        level, sentence = NOT_ACTIVE
        if self._refusal:
            level, sentence = DiagnosticStatus.ERROR, f'{sentence} {self._refusal}'
        name, device = unique_name(self), self.get_fully_qualified_name()
        faults = self._faults.values()
        return [
            problems_status(f'{name}: {part}', device, [(level, sentence)], '', faults)
            for part in self._parts()
        ]
