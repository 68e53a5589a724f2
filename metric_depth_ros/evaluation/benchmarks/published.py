# SPDX-License-Identifier: Apache-2.0
"""Rows of the papers' tables, as printed there. Nothing of it was measured here.

A row is a line: the method, a bar, its values; ``-`` stands for what was not published.
"""

from __future__ import annotations

Rows = tuple[tuple[str, tuple[float | None, ...]], ...]


def rows(text: str, columns: slice = slice(None)) -> Rows:
    """Return the rows of a text, or some of their columns."""
    lines = [line.split('|') for line in text.strip().splitlines()]
    return tuple((name.strip(), _values(values)[columns]) for name, values in lines)


def _values(text: str) -> tuple[float | None, ...]:
    return tuple(None if value == '-' else float(value) for value in text.split())


# AbsRel in percent: NYU 8x, 16x, LiDAR, Extreme; ETH3D the same; KITTI the same.
SUPER_RESOLUTION = """
Depth Anything V2, aligned|4.77 5.13 4.85 4.77 6.27 7.38 7.41 6.51 9.54 11.22 8.86 9.25
Depth Pro, aligned|4.48 4.83 4.47 4.41 5.88 6.79 5.31 6.51 6.76 9.16 6.05 6.19
OMNI-DC|1.57 3.11 2.12 2.63 1.86 4.09 1.88 1.98 4.05 8.35 5.27 4.17
Marigold-DC|1.83 3.32 1.90 2.13 2.33 4.75 2.27 2.03 5.17 9.47 6.88 5.62
DepthLab|2.60 3.73 4.30 6.30 2.60 4.50 6.40 8.01 17.17 22.90 37.17 40.29
PromptDA|1.61 1.75 17.59 16.96 1.80 2.56 18.86 18.18 3.92 4.95 21.96 21.39
PriorDA v1.0|1.73 2.79 2.01 2.01 2.06 3.91 1.90 1.61 4.54 8.20 4.81 3.76
PriorDA v1.1, Depth Anything V2|1.66 2.77 1.77 1.88 1.98 3.81 1.60 1.40 4.45 8.25 4.39 3.61
PriorDA v1.1, Depth Pro|1.67 2.78 1.77 1.88 1.98 3.82 1.63 1.42 4.33 8.06 3.84 3.18
PriorDA v1.1, VGGT|1.63 2.72 1.67 1.74 1.98 3.82 1.66 1.49 4.60 8.58 5.78 4.52
LingBot-Depth|2.23 3.05 2.19 2.03 1.18 1.54 13.19 4.12 4.24 7.13 6.55 3.26
MetricAnything teacher|1.53 1.86 1.70 2.08 1.46 2.03 0.87 0.84 2.34 3.53 3.53 3.36
"""
SUPER_RESOLUTION_COLUMNS = {'nyu': slice(0, 4), 'eth3d': slice(4, 8), 'kitti': slice(8, 12)}
SUPER_RESOLUTION_TITLE = 'MetricAnything, table 1: completion of sampled prompts, AbsRel %'
SUPER_RESOLUTION_NOTE = (
    'Aligned: by least squares to the prompt. PriorDA v1.1 as in its own README. Image sets, '
    'crops, caps and the number of LiDAR lines were not published; see the choices.'
)

# AbsRel in percent and delta1 in percent: KITTI, ETH3D, iBims-1, DIODE.
GEOMETRY = """
UniDepthV2|8.58 95.4 20.7 69.5 9.52 93.2 43.0 51.8
MoGe-2|18.1 62.9 10.4 90.8 13.6 83.0 17.5 66.4
DA3-Metric-L|11.8 83.0 11.0 90.1 27.6 43.5 24.2 53.7
Depth Pro|23.5 38.3 38.5 32.8 15.9 81.5 31.9 37.7
MetricAnything student, point map|3.22 97.7 10.8 90.2 11.3 86.6 13.9 79.8
"""
GEOMETRY_WITH_CAMERA = """
UniDepthV2|5.98 97.7 15.0 85.2 7.71 95.5 41.0 67.1
MoGe-2|8.64 93.7 10.5 92.2 9.92 92.4 16.2 77.1
MetricAnything student, point map|5.47 99.6 9.75 92.4 9.47 92.0 14.1 74.3
"""
GEOMETRY_COLUMNS = {
    'kitti': slice(0, 2),
    'eth3d': slice(2, 4),
    'ibims': slice(4, 6),
    'diode': slice(6, 8),
}

# Degrees, mean and median: ETH3D, iBims-1.
FIELD_OF_VIEW = """
MetricAnything student, point map|2.50 1.86 3.74 3.24
MoGe-2|4.66 3.04 8.17 6.77
DUSt3R|5.77 3.60 3.83 2.53
Depth Pro|7.18 6.34 4.12 2.58
WildCam|7.70 5.81 9.48 9.08
UniDepth|10.7 9.96 11.9 5.96
LeReS|8.26 7.19 18.4 17.5
Perspective Fields|13.6 11.9 10.6 9.30
"""
FIELD_OF_VIEW_COLUMNS = {'eth3d': slice(0, 2), 'ibims': slice(2, 4)}

# Boundary F1 of Depth Pro: Sintel, Spring, iBims-1.
BOUNDARIES = """
MetricAnything student, depth map|.382 .1635 .179
Depth Pro|.409 .1100 .176
MoGe-2|.282 .0890 .194
UniDepthV2|.344 .0737 .138
Metric3Dv2|.321 .0723 .096
Depth Anything V2|.228 .0610 .111
Depth Anything|.261 .0109 .127
PatchFusion|.312 - .134
UniDepth|.316 .0017 .039
"""
BOUNDARIES_COLUMNS = {'sintel': slice(0, 1), 'ibims': slice(2, 3)}

# RMSE in meters and REL; easy, medium, hard, extreme.
MASKED_BLOCKS = {
    'ibims': """
OMNI-DC|.476 .084 .929 .232 1.382 .342 2.053 .555
OMNI-DC on Depth Anything|.602 .068 .771 .155 1.266 .302 1.937 .538
PromptDA|.298 .055 .337 .065 .428 .083 .607 .129
PriorDA|.409 .095 .433 .093 .520 .094 .845 .150
LingBot-Depth|.175 .020 .223 .038 .289 .060 .345 .083
""",
    'nyu': """
OMNI-DC|.234 .055 .308 .079 .395 .103 .643 .176
OMNI-DC on Depth Anything|.343 .053 .385 .070 .418 .088 .456 .116
PromptDA|.209 .051 .219 .053 .238 .057 .324 .074
PriorDA|.289 .093 .276 .080 .267 .072 .309 .076
LingBot-Depth|.089 .014 .124 .021 .146 .027 .181 .033
""",
    'diode_indoor': """
OMNI-DC|.563 .074 .895 .121 1.108 .153 1.775 .271
OMNI-DC on Depth Anything|.710 .065 .991 .097 1.222 .121 1.592 .211
PromptDA|.250 .049 .291 .054 .320 .060 .465 .083
PriorDA|.370 .073 .354 .064 .369 .062 .665 .083
LingBot-Depth|.090 .013 .185 .028 .195 .031 .221 .032
""",
    'diode_outdoor': """
OMNI-DC|2.214 .041 2.806 .067 3.701 .103 6.239 .204
OMNI-DC on Depth Anything|2.229 .053 3.703 .070 5.352 .110 5.988 .173
PromptDA|2.587 .070 2.807 .087 3.026 .100 4.313 .156
PriorDA|2.734 .090 2.693 .085 2.909 .088 5.114 .136
LingBot-Depth|2.011 .049 2.338 .061 2.578 .066 3.811 .092
""",
}
MASKED_BLOCKS_NOTE = (
    'The published rows are over other inputs: sizes, counts and noise of the blocks are not '
    'known.'
)

# RMSE m, MAE m, REL, delta1: indoor, then outdoor.
SPARSE_SFM = """
OMNI-DC|.605 .239 .090 .932 1.069 .312 .053 .954
OMNI-DC on Depth Anything|.489 .164 .061 .967 1.093 .215 .035 .979
PromptDA|1.023 .648 .242 .796 2.750 1.612 .300 .776
PriorDA|.360 .157 .058 .963 1.238 .459 .090 .952
LingBot-Depth|.192 .081 .023 .982 .664 .223 .033 .976
"""

# delta1 in percent.
METRIC_DELTA1 = {
    'eth3d': """
Depth Pro|41.5
Metric3Dv2|87.7
UniDepth|25.3
Depth Anything V2|36.3
MetricAnything student, depth map|79.9
""",
    'booster': """
Depth Pro|46.6
Metric3Dv2|39.4
UniDepth|27.6
Depth Anything V2|59.5
MetricAnything student, depth map|59.5
""",
    'nuscenes': """
Depth Pro|49.1
Metric3Dv2|82.6
UniDepth|83.6
Depth Anything V2|17.7
MetricAnything student, depth map|88.1
""",
    'sun': """
Depth Pro|89.0
Metric3Dv2|75.6
UniDepth|95.8
Depth Anything V2|72.4
MetricAnything student, depth map|97.7
""",
    'sintel': """
Depth Pro|40.0
Metric3Dv2|38.3
UniDepth|16.5
Depth Anything V2|5.9
MetricAnything student, depth map|27.7
""",
    'middlebury': """
Depth Pro|60.5
Metric3Dv2|29.9
UniDepth|31.9
Depth Anything V2|37.2
MetricAnything student, depth map|65.8
""",
}
# AbsRel, log10, delta2 in percent, delta3 in percent.
METRIC_DETAILS = {
    'eth3d': """
MetricAnything student, depth map|.147 .064 97.71 99.90
Depth Pro|.327 .193 61.31 71.23
Metric3Dv2|.124 .053 99.55 99.90
""",
    'booster': """
MetricAnything student, depth map|.282 .100 84.11 96.83
Depth Pro|.336 .118 79.43 96.52
""",
    'nuscenes': """
MetricAnything student, depth map|.152 .063 96.56 98.26
Depth Pro|.287 .164 73.84 84.25
Metric3Dv2|.197 .080 93.25 95.74
UniDepth|.138 .060 93.01 96.42
""",
    'sun': """
MetricAnything student, depth map|.085 .033 99.31 99.65
Depth Pro|.113 .049 98.51 99.55
UniDepth|.087 .037 99.33 99.80
""",
    'sintel': """
MetricAnything student, depth map|.792 .227 50.01 70.57
Depth Pro|.508 .230 59.25 71.14
""",
    'middlebury': """
Depth Pro|.251 .089 93.17 96.40
""",
}
METRIC_NOTE = (
    'Depth Pro recovers the focal length, the student is given it; the caps of the table were not '
    'published.'
)

# MAE and RMSE in millimeters: up to 50, 70 and 80 m.
RADAR = """
RC-PDA|2225.0 4156.5 3326.1 6700.6 3713.6 7692.8
DORN|1926.6 4124.8 2380.6 5252.7 2467.7 5554.3
Lin|2034.9 4316.5 2294.7 5338.2 2371.0 5623.0
R4Dyn|- - - - - 6434.0
Singh et al.|1727.7 3746.8 2073.2 4590.7 2179.3 4898.7
CaFNet|1674.2 3674.5 2010.3 4493.1 2109.8 4765.6
Li et al.|1524.5 3567.3 1822.9 4303.6 1927.0 4609.6
TacoDepth, independent|1423.6 3275.8 1712.6 3960.5 1833.4 4150.2
RadarCam-Depth|1286.1 2964.3 1587.9 3662.5 1689.7 3948.0
TacoDepth, plug-in|1046.8 2487.5 1347.1 3152.8 1492.4 3324.8
MetricAnything, from scratch|1335.4 2958.8 1622.9 3788.1 2101.7 4033.2
MetricAnything, fine-tuned|651.4 2084.4 863.6 2771.6 934.5 3057.5
"""

# delta1 of points: Argoverse 2, DDAD, nuScenes, ETH3D, ScanNet++, SUN RGB-D, iBims-1, NYU.
DEPTHLM_POINTS = """
DepthLM 3B|.808 .724 .870 .745 .838 .850 .890 .868
DepthLM 7B|.833 .747 .865 .718 .850 .859 .920 .915
DepthLM 12B|.734 .670 .819 .653 .834 .786 .870 .799
GPT-5|.218 .302 .382 .313 .428 .471 .307 .540
Always 2 m|.006 .010 .010 .106 .305 .384 .280 .383
UniDepthV2|- .882 .870 .852 - .964 .945 -
Metric3Dv2|- - .841 .900 - .812 .684 -
Depth Pro|- .299 .566 .397 - .831 .823 -
"""

# delta1 of points: Argoverse 2, Waymo, DDAD, nuScenes, ETH3D, ScanNet++, SUN RGB-D, iBims-1, NYU.
DEPTHVLM_POINTS = """
DepthVLM 4B|.810 .879 .818 .821 .924 .861 .882 .912 .908
DepthVLM 8B|.798 .865 .813 .831 .928 .901 .889 .936 .920
DepthLM 12B|.761 .588 .654 .736 .666 .756 .785 .754 .866
Youtu-VL 4B|.663 .473 .342 .698 .286 .522 .734 .856 .849
Depth Anything 3|- .885 - .790 .843 - .913 .955 -
UniDepthV2|- .730 - .872 .657 - .911 .941 -
Metric3Dv2|- .923 - .747 .851 - .813 .726 -
Depth Pro|- .255 - .389 .355 - .852 .880 -
"""

# delta1 of whole maps, likewise; published for five of them.
DEPTHVLM_MAPS = """
DepthVLM 4B|- .902 - .838 .963 - .885 .910 -
DepthVLM 8B|- .884 - .837 .959 - .890 .939 -
Depth Anything 3|- .889 - .788 .822 - .911 .957 -
Metric3Dv2|- .926 - .843 .865 - .909 .724 -
UniDepthV2|- .733 - .868 .660 - .912 .941 -
"""
