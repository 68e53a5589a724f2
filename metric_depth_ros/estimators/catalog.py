# SPDX-License-Identifier: Apache-2.0
"""What there is to know about the published models before any of them is loaded.

Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from metric_depth_ros.errors import InputError


@dataclass(frozen=True)
class Model:
    """A published model.

    Parameters
    ----------
    name
        As `create_estimator` knows it.
    task
        What it does, in a few words.
    parameters
        Number of parameters of the network; None where the manifest of the shipped weights tells.
    repository, filename
        Where its weights are on the Hugging Face hub; empty where they are unreleased.
    license
        Of the weights and of what they were made from, in plain words.
    variants
        Variant of the specification -> another repository of the same network.
    released_keys, released_digest
        Number of keys of the published network, and SHA-256 over their sorted ``key:shape``
        lines; 0 and empty where this package has no list of them.
    keys_of
        What the list is of, in words.
    is_folder
        Whether the weights are a whole repository: configuration, tokenizer and files.
    """

    name: str
    task: str
    parameters: int | None
    repository: str
    filename: str
    license: str
    variants: Mapping[str, str] = field(default_factory=dict)
    released_keys: int = 0
    released_digest: str = ''
    keys_of: str = 'the released architecture'
    is_folder: bool = False

    def repository_of(self, variant: str) -> str:
        """Return the repository of a variant, ``''`` being the usual one.

        Raises
        ------
        InputError
            No such variant.
        """
        if not variant:
            return self.repository
        if variant not in self.variants:
            known = ', '.join(self.variants) or 'none'
            raise InputError(
                'estimator',
                f'estimator {self.name!r} has no variant {variant!r}; variants: {known}.',
            )
        return self.variants[variant]


# Whether their weights are shipped is told by the manifest of the weights.
_OWN_LICENSE = 'Apache-2.0, as this package; trained on simulated worlds only'
_STUDENT_CARD = "Apache-2.0 by the authors' model card"
_DEPTHVLM_LICENSE = (
    'code and the Qwen3-VL that it is made from: Apache-2.0; what the card of the weights says is '
    'not known here'
)

# No file of weights was read for these lists.
_DEPTHVLM_KEYS = "the authors' class, built with the configuration of Qwen3-VL-{}-Instruct"

MODELS: Mapping[str, Model] = {
    model.name: model
    for model in (
        Model(
            'compact_teacher',
            'depth from an image and any metric prompt, made for the CPU of a robot',
            None,
            '',
            '',
            _OWN_LICENSE,
        ),
        Model(
            'compact_student',
            'depth and focal length of one image, made for the CPU of a robot',
            None,
            '',
            '',
            _OWN_LICENSE,
        ),
        Model(
            'student_depthmap',
            'metric depth of one image whose focal length is known',
            876_664_001,
            'yjh001/metricanything_student_depthmap',
            'student_depthmap.pt',
            f"{_STUDENT_CARD}; its transformer is Meta's DINOv3, so the DINOv3 License holds too: "
            'commercial use is allowed; military, nuclear, espionage and weapons uses are not; '
            'whoever passes the weights on must pass that license on with them, and publications '
            'must acknowledge DINOv3',
            released_keys=668,
            released_digest='01607f78a83ff58ee44950176066ba20e8882a420bcd47e7b3426a66c0af4dc5',
        ),
        Model(
            'student_pointmap',
            'metric depth and camera of one image (MoGe-2)',
            326_209_221,
            'yjh001/metricanything_student_pointmap',
            'student_pointmap.pt',
            f'{_STUDENT_CARD}; code MIT (MoGe) and Apache-2.0 (DINOv2)',
            released_keys=483,
            released_digest='d8fd0f88f455af25329dea7a39721a62200d86633547d450f2285811d8934c85',
        ),
        Model(
            'lingbot_depth',
            'completion of the depth of RGB-D cameras and of sparse points',
            321_161_858,
            'robbyant/lingbot-depth-pretrain-vitl-14-v0.5',
            'model.pt',
            "Apache-2.0 by the authors' model card",
            {'completion': 'robbyant/lingbot-depth-postrain-dc-vitl14'},
            released_keys=473,
            released_digest='7275c6cfd29729d6873b0c8de4a5fb1538cb2808d44aea26826a357a87197b00',
        ),
        Model(
            'depth_pro',
            'metric depth and focal length of one image; the prior of the teacher',
            951_991_330,
            'apple/DepthPro',
            'depth_pro.pt',
            'by where it comes from: the copy on Hugging Face is under the Apple Machine Learning '
            'Research Model License, for research only, no product of any kind; the copy that '
            "Apple's own repository links is under its sample code license: use, change and "
            "passing on with Apple's notice, no patent rights, no use of Apple's name",
            released_keys=1119,
            released_digest='646e43bbef735c23dc8e9bf2965fac45d17a605aaacb7b605b314b8b76de20b8',
        ),
        Model(
            'teacher',
            'prompted metric depth (MetricAnything); needs a prior, depth_pro unless named',
            888_657_217,
            '',
            '',
            'weights are unreleased; the architecture is here for weights of your own',
        ),
        Model(
            'depthvlm',
            'metric depth of one image whose focal length is known, and words about it (4B)',
            4_472_961_729,
            'JonnyYu828/DepthVLM-4B',
            '',
            _DEPTHVLM_LICENSE,
            released_keys=776,
            released_digest='f792aee98950488b883916a2086a81bfb862d52aa398fcfe0d8d2927911ae52b',
            keys_of=_DEPTHVLM_KEYS.format('4B'),
            is_folder=True,
        ),
        Model(
            'depthvlm_8b',
            'as depthvlm, with twice the parameters; in the paper, its weights not published',
            8_806_598_065,
            '',
            '',
            _DEPTHVLM_LICENSE,
            released_keys=812,
            released_digest='81d64f23e70c06a0eeba57cc1212b062b30db71cdb4debfbbcc6da5568e6cb90',
            keys_of=_DEPTHVLM_KEYS.format('8B'),
            is_folder=True,
        ),
        Model(
            'depthlm',
            'distance of single pixels, asked of a language model (Pixtral 12B)',
            12_682_739_712,
            'facebook/DepthLM',
            '',
            'FAIR CC BY-NC 4.0 of code and weights: no commercial use; the Pixtral that they are '
            'made from: Apache-2.0',
            is_folder=True,
        ),
    )
}
