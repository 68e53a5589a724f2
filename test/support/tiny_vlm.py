# SPDX-License-Identifier: Apache-2.0
"""Tiny random language models that see: the real classes, in folders like released ones."""

import json
from dataclasses import asdict

import torch
from official_weights import official_state
from safetensors.torch import save_file
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from metric_depth_ros.networks.depthvlm import DepthVlm, DepthVlmConfig, Prompted
from metric_depth_ros.networks.depthvlm_head import DptHeadConfig, MlpHeadConfig

_SPECIAL = (
    '<|im_start|>',
    '<|im_end|>',
    '<|vision_start|>',
    '<|vision_end|>',
    '<|image_pad|>',
    '<|video_pad|>',
)
_BYTES = sorted(pre_tokenizers.ByteLevel.alphabet())
_FIRST = len(_BYTES)
VOCABULARY = _FIRST + len(_SPECIAL)
_IDS = {token: _FIRST + index for index, token in enumerate(_SPECIAL)}
_QWEN = {
    'text_config': {
        'vocab_size': VOCABULARY,
        'hidden_size': 32,
        'intermediate_size': 48,
        'num_hidden_layers': 3,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'head_dim': 16,
        'max_position_embeddings': 4096,
        'rope_parameters': {
            'rope_type': 'default',
            'rope_theta': 5_000_000,
            'mrope_section': [4, 2, 2],
            'mrope_interleaved': True,
        },
    },
    'vision_config': {
        'depth': 4,
        'hidden_size': 16,
        'intermediate_size': 24,
        'num_heads': 2,
        'out_hidden_size': 32,
        'num_position_embeddings': 64,
        'deepstack_visual_indexes': [0, 1, 3],
    },
    'image_token_id': _IDS['<|image_pad|>'],
    'video_token_id': _IDS['<|video_pad|>'],
    'vision_start_token_id': _IDS['<|vision_start|>'],
    'vision_end_token_id': _IDS['<|vision_end|>'],
    'tie_word_embeddings': True,
}


def tiny_depthvlm(head=None):
    """Return a DepthVLM with random weights."""
    torch.manual_seed(5)
    head = head or DptHeadConfig(8, (6, 8, 10, 12))
    network = DepthVlm(DepthVlmConfig(_QWEN, head)).eval()
    with torch.no_grad():
        for parameter in network.language.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.15)
    return network


def prompted(network, rows, columns):
    """Return noise of so many tokens, with a few words around it."""
    rng = torch.Generator().manual_seed(7)
    words = [3, 5, 8]
    tokens = [*words, *[network.image_token] * (rows * columns), *words[::-1]]
    return Prompted(
        torch.randn(4 * rows * columns, 1536, generator=rng),
        torch.tensor([[1, 2 * rows, 2 * columns]]),
        torch.tensor([tokens]),
        torch.ones(1, len(tokens), dtype=torch.long),
    )


def end_tokens(answer):
    """Return the last token of an answer that none before it is equal to, as what ends one."""
    last = max(index for index, token in enumerate(answer) if token not in answer[:index])
    return frozenset({answer[last]})


def write_tokenizer(folder, special=_SPECIAL, end='<|im_end|>'):
    """Write a tokenizer that knows bytes and what marks images."""
    vocabulary = {character: index for index, character in enumerate(_BYTES)}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens(list(special))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token=end).save_pretrained(folder)


def config_json(config):
    """Return the ``config.json`` of a folder with such a network, parsed."""
    head = {f'depth_head_{name}': value for name, value in asdict(config.head).items()}
    kind = 'mlp' if isinstance(config.head, MlpHeadConfig) else 'dpt'
    values = {'model_type': 'qwen3_vl', **config.language_model, **head, 'depth_head_type': kind}
    return json.loads(json.dumps(values))


def write_depthvlm(folder, network=None):
    """Write a DepthVLM as it is released: configuration, tokenizer, weights in two files."""
    network = network or tiny_depthvlm()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / 'config.json').write_text(json.dumps(config_json(network.config)))
    write_tokenizer(folder)
    state = {key: tensor.contiguous() for key, tensor in official_state(network).items()}
    del state['lm_head.weight']  # as files leave it out where it is the input's
    halves = sorted(state)[::2], sorted(state)[1::2]
    files = [f'model-0000{index}-of-00002.safetensors' for index in (1, 2)]
    for keys, name in zip(halves, files, strict=True):
        save_file({key: state[key] for key in keys}, folder / name)
    where = {key: name for keys, name in zip(halves, files, strict=True) for key in keys}
    (folder / 'model.safetensors.index.json').write_text(json.dumps({'weight_map': where}))
    return folder


_PIXTRAL_SPECIAL = ('<s>', '</s>', '[INST]', '[/INST]', '[IMG]', '[IMG_BREAK]', '[IMG_END]')


def write_depthlm(folder, answer, steps=60):
    """Write a tiny Pixtral that has learned one answer by heart, as DepthLM is released."""
    from transformers import (
        AutoTokenizer,
        LlavaConfig,
        LlavaForConditionalGeneration,
        MistralConfig,
        PixtralVisionConfig,
    )
    from transformers.models.pixtral.image_processing_pil_pixtral import PixtralImageProcessorPil

    from metric_depth_ros.networks.depthlm_text import pixtral_prompt

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder, _PIXTRAL_SPECIAL, '</s>')
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(3)
    ids = {token: _FIRST + index for index, token in enumerate(_PIXTRAL_SPECIAL)}
    text = MistralConfig(
        vocab_size=_FIRST + len(_PIXTRAL_SPECIAL),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=16,
        max_position_embeddings=1024,
        sliding_window=None,
        bos_token_id=ids['<s>'],
        eos_token_id=ids['</s>'],
    )
    vision = PixtralVisionConfig(
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=64,
        patch_size=16,
    )
    config = LlavaConfig(
        vision_config=vision,
        text_config=text,
        image_token_index=ids['[IMG]'],
        projector_hidden_act='gelu',
        vision_feature_select_strategy='full',
        vision_feature_layer=-1,
    )
    model = LlavaForConditionalGeneration(config)
    model.generation_config.eos_token_id = ids['</s>']
    model.generation_config.pad_token_id = ids['</s>']
    asked = tokenizer(
        pixtral_prompt().replace('[IMG]', '[IMG_END]'), add_special_tokens=False
    ).input_ids
    learned = tokenizer(answer + '</s>', add_special_tokens=False).input_ids
    _learn(model.model.language_model, model.lm_head, asked, learned, steps)
    model.save_pretrained(folder)
    size = {'longest_edge': 64}
    PixtralImageProcessorPil(size=size, patch_size=16).save_pretrained(folder)
    return folder


def _learn(words, output, asked, learned, steps):
    """Teach an answer to a question, whatever is seen."""
    tokens = torch.tensor([[*asked, *learned]])
    labels = torch.tensor(learned)
    parameters = [*words.parameters(), *output.parameters()]
    optimizer = torch.optim.Adam(parameters, lr=1e-2)
    for _ in range(steps):
        hidden = words(input_ids=tokens).last_hidden_state[0, len(asked) - 1 : -1]
        loss = torch.nn.functional.cross_entropy(output(hidden), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def write_qwen_depthlm(folder, answer, steps=80):
    """Write a tiny Qwen2.5-VL that has learned one answer by heart."""
    from transformers import AutoTokenizer, Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil

    from metric_depth_ros.networks.depthlm_text import qwen_prompt

    folder.mkdir(parents=True, exist_ok=True)
    write_tokenizer(folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    torch.manual_seed(2)
    end = _IDS['<|im_end|>']
    text = {
        'vocab_size': VOCABULARY,
        'hidden_size': 32,
        'intermediate_size': 64,
        'num_hidden_layers': 2,
        'num_attention_heads': 2,
        'num_key_value_heads': 1,
        'max_position_embeddings': 4096,
        'rope_parameters': {
            'rope_type': 'default',
            'rope_theta': 1e6,
            'mrope_section': [2, 3, 3],
        },
        'bos_token_id': 0,
        'eos_token_id': end,
    }
    vision = {
        'depth': 2,
        'hidden_size': 16,
        'intermediate_size': 32,
        'num_heads': 2,
        'out_hidden_size': 32,
        'fullatt_block_indexes': [1],
        'patch_size': 14,
        'window_size': 56,
    }
    marks = {key: value for key, value in _QWEN.items() if key.endswith('token_id')}
    model = Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(text_config=text, vision_config=vision, **marks)
    )
    model.generation_config.eos_token_id = model.generation_config.pad_token_id = end
    prompt = qwen_prompt().replace('<|image_pad|>', '<|image_pad|>' * 4)
    asked = tokenizer(prompt, add_special_tokens=False).input_ids
    learned = tokenizer(answer + '<|im_end|>', add_special_tokens=False).input_ids
    _learn(model.model.language_model, model.lm_head, asked, learned, steps)
    model.save_pretrained(folder)
    pixels = 56 * 56
    size = {'shortest_edge': pixels, 'longest_edge': pixels}
    Qwen2VLImageProcessorPil(size=size).save_pretrained(folder)
    return folder
