# SPDX-License-Identifier: Apache-2.0
"""docs/PARAMETERS.md, from the tables of the nodes. Standard library only."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from metric_depth_ros.ros.parameter_table import ParameterTable
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.query_parameters import QUERY_NODE
from metric_depth_ros.ros.realsense.parameters import REALSENSE_NODE
from metric_depth_ros.ros.reconstruct_parameters import RECONSTRUCT_NODE

# By the name of the executable.
NODES: Mapping[str, ParameterTable] = {
    'depth': DEPTH_NODE,
    'query': QUERY_NODE,
    'realsense': REALSENSE_NODE,
    'reconstruct': RECONSTRUCT_NODE,
}

_ROS_TYPES = {
    bool: 'bool', int: 'integer', float: 'double', str: 'string', tuple: 'string array',
}  # fmt: skip

_HEAD = """\
# Parameters of the nodes

Generated from the tables in `metric_depth_ros/ros` by
`python -m metric_depth_ros.ros.parameter_document docs/PARAMETERS.md`; a test keeps it true.

Every value is checked before it is used. An integer is accepted where a double is meant. A
parameter that takes effect at the next configure cannot be changed while the node is configured:
deactivate and clean up first. One that takes effect when the new estimator is ready loads that
estimator first. With a network this can take seconds; of the images that arrive meanwhile only the
last ones are processed, afterwards. If loading fails, the change is refused and the old estimator
stays. Names that are not in the table of their node are reported at start, and quality of service
for a topic that the node does not have when it is activated.
"""

_COLUMNS = """\
| name | type | default | values | takes effect | meaning |
|---|---|---|---|---|---|
"""

_TAIL = """
## Quality of service

Inputs are best effort, keep last (as `SensorDataQoS`), which matches any publisher; outputs are
reliable, keep last. Pixels, clicks and questions to the `query` node are reliable, too: what is
asked once must not be lost, and a publisher that is best effort is reported. All but
`/diagnostics`, `/tf` and `/tf_static` can be overridden per topic by read-only parameters that ROS
itself defines, with the name that the topic has after remapping:

```yaml
/**:
  ros__parameters:
    qos_overrides:
      /camera/image_raw:
        subscription: {reliability: reliable, depth: 5}
      /depth/image:
        publisher: {reliability: best_effort}
```

A publisher or subscriber that does not match is reported with the name of the topic and the
policy.
"""


def markdown() -> str:
    """Return the document."""
    sections = (f'\n## Node `{name}`\n\n{_rows(table)}' for name, table in NODES.items())
    return f'{_HEAD}{"".join(sections)}{_TAIL}'


def _rows(table: ParameterTable) -> str:
    return _COLUMNS + ''.join(
        f'| `{row.name}` | {_ROS_TYPES[row.kind]} | `{_yaml(row.default)}` | '
        f'{row.range_words or "any"} | {row.change} | {row.description} |\n'
        for row in table.rows.values()
    )


def _yaml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f'[{", ".join(value)}]'
    return repr(value).replace("'", '"') if isinstance(value, str) else str(value)


def main() -> int:
    """Write the document to the path given, or print it."""
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(markdown(), encoding='utf-8')
    else:
        sys.stdout.write(markdown())
    return 0


if __name__ == '__main__':
    sys.exit(main())
