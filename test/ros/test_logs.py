# SPDX-License-Identifier: Apache-2.0
"""What the package logs reaches the log of one node, once, for as long as there is one."""

import logging

from metric_depth_ros.ros.logs import forward_logs


class Logger:
    def __init__(self):
        self.lines = []

    def info(self, line):
        self.lines.append(('info', line))

    def warning(self, line):
        self.lines.append(('warning', line))

    def error(self, line):
        self.lines.append(('error', line))


def test_two_nodes_of_a_process_log_once_and_one_goes_on_without_the_other():
    package = logging.getLogger('metric_depth_ros')
    level, source = package.level, logging.getLogger('metric_depth_ros.somewhere')
    camera, depth = Logger(), Logger()
    end_camera, end_depth = forward_logs(camera), forward_logs(depth)

    source.info('both')
    end_camera()
    source.warning('depth alone')
    end_depth()
    source.info('nobody')

    assert camera.lines == []
    assert depth.lines == [('info', 'both'), ('warning', 'depth alone')]
    assert package.level == level
