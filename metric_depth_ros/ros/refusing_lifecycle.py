# SPDX-License-Identifier: Apache-2.0
"""A managed node that refuses a transition which its state does not have, and ends as a whole."""

from __future__ import annotations

from typing import Any

from rclpy.lifecycle import LifecycleNode


class RefusingLifecycleNode(LifecycleNode):
    """A lifecycle node whose ``~/change_state`` always answers.

    rclpy raises where the state does not have the transition, and sends no response: whoever
    asked waits for ever. The method is rclpy's own private one; where a version does not have it,
    this class changes nothing.
    """

    def _LifecycleNodeMixin__on_change_state(self, request: Any, response: Any) -> Any:
        state = self._state_machine.current_state[1]
        try:
            return super()._LifecycleNodeMixin__on_change_state(request, response)
        except RuntimeError as error:  # rclpy's RCLError
            wanted = request.transition.label or request.transition.id
            reason = str(error).splitlines()[0]
            self.get_logger().warning(f'transition {wanted} from state {state} refused: {reason}')
            response.success = False
            return response

    def destroy_node(self) -> None:
        """Destroy the node, and what rclpy leaves: the state machine, which holds on to it.

        With it the middleware would live, its threads and its shared memory, until the process
        ends, and be taken down by the static objects of libraries, beside its own threads.
        """
        machine: Any = getattr(self, '_state_machine', None)
        if hasattr(machine, 'destroy_when_not_in_use'):
            machine.destroy_when_not_in_use()
        super().destroy_node()
