# SPDX-License-Identifier: Apache-2.0
"""A calibration file that goes and comes back beneath a live node."""

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus


def test_diagnostics_warn_for_as_long_as_the_calibration_file_is_gone(
    start_node, client_in, tmp_path, calibration
):
    path = tmp_path / 'rig.yaml'
    path.write_text(calibration.read_text())
    given = {'extrinsics.path': path, 'diagnostics.period_s': 0.2}
    remaps = ['__ns:=/unplaced', '__node:=unplaced']
    node, client = start_node(given, remaps), client_in('unplaced')
    client.connect()
    client.subscribe(DiagnosticArray, '/diagnostics')

    def newest_says(gone):
        told = [
            status
            for message in client.received['/diagnostics']
            for status in message.status
            if status.name == 'unplaced/unplaced: frames'
        ]
        return told and ('rig.yaml does not exist' in told[-1].message) == gone and told[-1]

    path.unlink()
    told = client.repeat(
        lambda: client.send(client.frame()), lambda: newest_says(True), 'a word about the file'
    )
    assert told.level >= DiagnosticStatus.WARN
    path.write_text(calibration.read_text())
    client.repeat(
        lambda: client.send(client.frame()), lambda: newest_says(False), 'an end to the warning'
    )
    assert node.log.count('does not exist') == 1
    assert node.end() == 0
