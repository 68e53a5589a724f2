# SPDX-License-Identifier: Apache-2.0
"""Launch files, parameter files, RViz file, package.xml, setup.py and documents name what exists.

The files are read as text, and Python ones as syntax trees, so that this runs without a ROS
distribution.
"""

import ast
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest
import yaml

import metric_depth_ros
from metric_depth_ros.bags import layout
from metric_depth_ros.cli.main import COMMANDS
from metric_depth_ros.libraries import NEEDED
from metric_depth_ros.ros.dense_depth import CAMERA_INFO, CONFIDENCE, DEPTH
from metric_depth_ros.ros.inputs import input_topics
from metric_depth_ros.ros.outputs import OUTPUTS
from metric_depth_ros.ros.parameter_document import NODES
from metric_depth_ros.ros.parameters import DEPTH_NODE
from metric_depth_ros.ros.query_node import PIXEL
from metric_depth_ros.ros.query_parameters import QUERY_NODE
from metric_depth_ros.ros.realsense.parameters import REALSENSE_NODE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = 'metric_depth_ros'
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.py'))
QUERY_LAUNCH = ROOT / 'launch/query.launch.py'
DEPTH_LAUNCH = ROOT / 'launch/depth.launch.py'
CONFIG_FILES = sorted((ROOT / 'config').glob('*.yaml'))
SOURCES = sorted((ROOT / PACKAGE).rglob('*.py'))
DOCUMENTS = [p for p in (ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))) if p.is_file()]
# Parameters that ROS itself gives to every node.
OF_EVERY_NODE = {'use_sim_time': bool}
# Nodes that share a process, by their names in a parameter file of both.
LAUNCHING = ROOT / PACKAGE / 'launching.py'
NAMED_NODES = {'/**/camera': REALSENSE_NODE, '/**/depth': DEPTH_NODE}
# Python module: what package.xml calls it. Modules named alike are not listed.
ROSDEP_KEYS = {
    'cv2': 'python3-opencv',
    'numpy': 'python3-numpy',
    'psutil': 'python3-psutil',
    'rich': 'python3-rich',
    'scipy': 'python3-scipy',
    'tf2_ros': 'tf2_ros_py',
    'yaml': 'python3-yaml',
}


def tree(path):
    return ast.parse(path.read_text(encoding='utf-8'))


def calls(path, function):
    return [
        node
        for node in ast.walk(tree(path))
        if isinstance(node, ast.Call) and getattr(node.func, 'id', None) == function
    ]


def table(path, name):
    """Return the dict that a launch file assigns to `name`, with calls and names as text."""
    for node in tree(path).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], 'id', None) == name:
            return {
                ast.literal_eval(key): [
                    item.value if isinstance(item, ast.Constant) else ast.unparse(item)
                    for item in value.elts
                ]
                for key, value in zip(node.value.keys, node.value.values, strict=True)
            }
    raise AssertionError(f'{path.name} has no {name}')


def keywords(call):
    return {k.arg: k.value.value for k in call.keywords if isinstance(k.value, ast.Constant)}


def console_scripts():
    lines = re.findall(r"'([\w-]+) = ([\w.]+):(\w+)'", (ROOT / 'setup.py').read_text())
    return {name: (module, function) for name, module, function in lines}


def declared_dependencies():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    return {element.text for tag in ('depend', 'exec_depend') for element in manifest.iter(tag)}


def third_party_modules():
    modules = set()
    for path in (*SOURCES, *LAUNCH_FILES):
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Import):
                modules |= {alias.name.split('.')[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                modules.add(node.module.split('.')[0])
    return sorted(modules - set(sys.stdlib_module_names) - {PACKAGE})


@pytest.mark.parametrize('path', CONFIG_FILES, ids=lambda p: p.name)
def test_parameter_file_holds_only_parameters_of_the_node_with_good_values(path):
    for name, content in yaml.safe_load(path.read_text()).items():
        assert name in ('/**', *NAMED_NODES)
        # A file named as a node is of that node.
        node = NAMED_NODES.get(name) or NODES.get(path.stem, DEPTH_NODE)
        values = dict(content['ros__parameters'])
        assert values.keys() <= node.rows.keys()
        node.settings(values)


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_launch_file_starts_executables_that_exist(path):
    started = [
        (keywords(c).get('package'), keywords(c).get('executable')) for c in calls(path, 'Node')
    ]
    started += [
        tuple(ast.literal_eval(a) for a in reversed(c.args))
        for c in calls(path, 'ExecutableInPackage')
    ]
    started += [(PACKAGE, c.args[0].value) for c in calls(path, 'NodeLaunch')]
    for package, executable in started:
        if package == PACKAGE:
            assert executable in console_scripts()
        else:
            assert package in declared_dependencies()


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_launch_file_gives_its_node_parameters_that_are_shipped(path):
    for call in calls(path, 'NodeLaunch'):
        assert ROOT / call.args[1].value in CONFIG_FILES


@pytest.mark.parametrize('path', [*LAUNCH_FILES, LAUNCHING], ids=lambda p: p.name)
def test_launch_file_documents_its_arguments(path):
    for call in calls(path, 'DeclareLaunchArgument'):
        assert 'description' in {keyword.arg for keyword in call.keywords}


def test_every_input_topic_can_be_remapped():
    every = DEPTH_NODE.settings({'prompt.sources': ['points', 'sensor_depth', 'radar']})
    inputs = table(DEPTH_LAUNCH, 'TOPICS').values()
    assert {topic for topic, _ in inputs} == {topic for topic, _ in input_topics(every).values()}


def test_every_input_of_the_query_node_can_be_remapped():
    inputs = {topic for topic, _ in table(QUERY_LAUNCH, 'TOPICS').values()}
    assert inputs == {PIXEL, DEPTH, CAMERA_INFO, CONFIDENCE, 'image', 'camera_info'}


@pytest.mark.parametrize(
    ('path', 'node'), [(DEPTH_LAUNCH, DEPTH_NODE), (QUERY_LAUNCH, QUERY_NODE)]
)
def test_arguments_that_set_parameters_agree_with_the_table(path, node):
    known = {name: row.kind for name, row in node.rows.items()} | OF_EVERY_NODE
    for name, kind, _ in table(path, 'PARAMETERS').values():
        assert known[name].__name__ == kind


def test_topics_and_parameters_of_the_reconstruct_node_can_be_chosen():
    launch, node = ROOT / 'launch/reconstruct.launch.py', NODES['reconstruct']
    topics = {topic for topic, _ in table(launch, 'TOPICS').values()}
    assert topics == {
        'depth/image', 'depth/camera_info', 'depth/confidence', 'image', 'odometry', 'pose',
    }  # fmt: skip
    known = {name: row.kind for name, row in node.rows.items()} | OF_EVERY_NODE
    for name, kind, _ in table(launch, 'PARAMETERS').values():
        assert known[name].__name__ == kind


@pytest.mark.parametrize('name', ['camera_lidar.launch.py', 'rgbd.launch.py'])
def test_arguments_are_those_of_the_included_file(name):
    declared = [c for p in (DEPTH_LAUNCH, LAUNCHING) for c in calls(p, 'DeclareLaunchArgument')]
    first = [call.args[0] for call in declared]
    offered = {ast.literal_eval(name) for name in first if isinstance(name, ast.Constant)}
    offered |= table(DEPTH_LAUNCH, 'TOPICS').keys() | table(DEPTH_LAUNCH, 'PARAMETERS').keys()
    assert table(ROOT / 'launch' / name, 'ARGUMENTS').keys() <= offered


@pytest.mark.parametrize('name', ['depth', 'bag_evaluation'])
def test_rviz_is_told_the_time_that_the_node_takes(name):
    (rviz,) = calls(ROOT / f'launch/{name}.launch.py', 'Node')
    given = {keyword.arg: ast.unparse(keyword.value) for keyword in rviz.keywords}
    assert given['executable'] == "'rviz2'"
    assert 'use_sim_time' in given['parameters']


def test_default_topics_are_those_of_our_bags():
    of_bags = {
        layout.IMAGE_TOPIC,
        layout.CAMERA_INFO_TOPIC,
        layout.POINTS_TOPIC,
        layout.SENSOR_DEPTH_TOPIC,
        layout.SENSOR_DEPTH_INFO_TOPIC,
    }
    topics = ('image', 'camera_info', 'points', 'sensor_depth_image', 'sensor_depth_camera_info')
    for name in ('camera_lidar.launch.py', 'rgbd.launch.py', 'bag_evaluation.launch.py'):
        defaults = table(ROOT / 'launch' / name, 'ARGUMENTS')
        for topic in defaults.keys() & set(topics):
            assert f'/{defaults[topic][0].lstrip("/")}' in of_bags


def test_rviz_shows_topics_of_the_node_as_what_they_are():
    config = yaml.safe_load((ROOT / 'rviz/depth.rviz').read_text())
    shown = {
        display['Topic']['Value']: display['Class'].removeprefix('rviz_default_plugins/')
        for display in config['Visualization Manager']['Displays']
        if 'Topic' in display
    }
    types = {f'/{topic}': kind.__name__ for topic, kind in OUTPUTS.items()} | {'/image': 'Image'}
    assert {'/depth/points', '/depth/image', '/image'} <= shown.keys()
    assert {topic: types[topic] for topic in shown} == shown


def test_rviz_topics_are_remapped_into_the_namespace():
    shared = (ROOT / 'metric_depth_ros/launching.py').read_text()
    listed = re.search(r'OUTPUT_TOPICS = \(([^)]*)\)', shared)
    assert set(re.findall(r"'([^']+)'", listed.group(1))) == OUTPUTS.keys()
    text = {path: path.read_text() for path in LAUNCH_FILES}
    shows = [p for p in text if "'rviz2'" in text[p] and "'namespace'" in text[p]]
    assert len(shows) >= 2
    assert not [path for path in shows if 'for topic in OUTPUT_TOPICS' not in text[path]]


def test_shipped_files_that_are_asked_for_exist():
    asked = [
        call.args[0] for path in (*LAUNCH_FILES, *SOURCES) for call in calls(path, 'share_file')
    ]
    names = [argument.value for argument in asked if isinstance(argument, ast.Constant)]
    assert names
    assert not [name for name in names if not (ROOT / name).is_file()]


@pytest.mark.parametrize('folder', ['launch', 'config', 'rviz'])
def test_every_shipped_file_is_installed(folder):
    patterns = re.findall(r"glob\('([^']+)'\)", (ROOT / 'setup.py').read_text())
    for path in (ROOT / folder).rglob('*'):
        if path.is_file() and path.parent.name != '__pycache__':
            assert any(path.relative_to(ROOT).match(pattern) for pattern in patterns)


def test_fast_dds_profile_is_the_default_participant_with_room_for_images():
    profile = ElementTree.parse(ROOT / 'config/fastdds.xml').getroot()
    names = {'d': 'http://www.eprosima.com/XMLSchemas/fastRTPS_Profiles'}
    participant = profile.find('.//d:participant', names)
    assert participant.get('is_default_profile') == 'true'
    assert int(profile.find('.//d:segment_size', names).text) >= 64 * 2**20


@pytest.mark.parametrize('name', console_scripts())
def test_executable_has_its_function(name):
    module, function = console_scripts()[name]
    path = ROOT / Path(*module.split('.')).with_suffix('.py')
    assert function in {n.name for n in tree(path).body if isinstance(n, ast.FunctionDef)}


def test_versions_agree():
    manifest = ElementTree.parse(ROOT / 'package.xml').getroot()
    version = metric_depth_ros.__version__
    assert manifest.findtext('version') == version
    assert f"version='{version}'" in (ROOT / 'setup.py').read_text()
    assert re.search(rf'^{re.escape(version)} \(', (ROOT / 'CHANGELOG.rst').read_text(), re.M)


@pytest.mark.parametrize('module', third_party_modules())
def test_imported_package_is_declared(module):
    """A rosdep key in package.xml; what has none is explained among the dependencies."""
    declared = ROSDEP_KEYS.get(module, module) in declared_dependencies()
    assert declared or module in (ROOT / 'docs/DEPENDENCIES.md').read_text()


@pytest.mark.parametrize('module', [library.module for library in NEEDED])
def test_package_that_is_needed_everywhere_is_installed_by_rosdep(module):
    assert ROSDEP_KEYS.get(module, module) in declared_dependencies()


@pytest.mark.parametrize('path', DOCUMENTS, ids=lambda p: p.name)
def test_document_names_files_and_commands_that_exist(path):
    text = path.read_text(encoding='utf-8')
    for named in re.findall(r'\b((?:launch|config|rviz|docs)/[\w.-]+\.[a-z]+)\b', text):
        assert (ROOT / named).is_file(), named
    for named in re.findall(r'\b[\w-]+\.launch\.py\b', text):
        assert (ROOT / 'launch' / named).is_file(), named
    for named in re.findall(r'\bmetric-depth ([a-z][a-z-]+)', text):
        assert named in COMMANDS, named


def test_every_source_file_names_its_license():
    scripts = [*(ROOT / 'scripts').rglob('*.py'), *(ROOT / 'test').rglob('*.py')]
    unnamed = [
        str(path.relative_to(ROOT))
        for path in (*SOURCES, *LAUNCH_FILES, *scripts, ROOT / 'setup.py')
        if path.stat().st_size
        and not path.read_text().startswith(('# SPDX-License-Identifier: Apache-2.0\n', '#!'))
    ]
    assert not unnamed
