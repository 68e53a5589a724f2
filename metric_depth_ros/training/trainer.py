# SPDX-License-Identifier: Apache-2.0
"""The loop: batches in, weights out, with a journal, figures, pictures and checkpoints.

Every step is a function of the seed, the step and the weights before it. A training that stops
after any checkpoint therefore goes on to the same weights, and several processes make the same
step as one.
"""

from __future__ import annotations

import itertools
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from metric_depth_ros.errors import InputError
from metric_depth_ros.training import checkpoints
from metric_depth_ros.training.batches import (
    Sources,
    StepSampler,
    TrainingExamples,
    ValidationExamples,
    training_batches,
    validation_examples,
)
from metric_depth_ros.training.config import (
    FREE_ON_RESUME,
    SourceConfig,
    TrainingConfig,
    section_from,
)
from metric_depth_ros.training.devices import (
    create_engine,
    moved,
    splits_optimizer,
    splits_weights,
)
from metric_depth_ros.training.interrupts import stop_requests
from metric_depth_ros.training.journal import (
    JOURNAL_NAME,
    Figures,
    best_score,
    cut_after,
    score_of,
    write_line,
)
from metric_depth_ros.training.recipes import Recipe, create_recipe
from metric_depth_ros.training.running_mean import RunningMean
from metric_depth_ros.training.schedule import kept_settings, parameter_groups, set_rates
from metric_depth_ros.training.starting_weights import start_from
from metric_depth_ros.training.validation import figures_of, means, picture_sheet

if TYPE_CHECKING:
    from accelerate import Accelerator

WEIGHTS_NAME = 'weights.safetensors'
BEST_NAME = 'best.safetensors'
PICTURES = 'pictures'
_ENGINE = 'engine'  # what only the engine can read again, in a checkpoint
_PICTURED = 6


class Training:
    """A training in progress, in one of its processes.

    Parameters
    ----------
    config
        What is trained.
    recipe
        Its recipe.
    out
        Folder for everything that it writes.
    device
        ``'auto'``, ``'cpu'`` or ``'cuda'``.
    resumed
        Whether `resume` is called next, which needs no weights to start from.
    """

    def __init__(
        self,
        config: TrainingConfig,
        recipe: Recipe,
        out: Path,
        device: str,
        *,
        resumed: bool = False,
    ) -> None:
        self.config = config
        self.out = out
        self.step = 0
        self._recipe = recipe
        _refuse_unscaled(config, recipe)
        self._engine: Accelerator = create_engine(config, device)
        self._sources = Sources(config.data, config.seed, config.window)
        self._validation = Sources(config.validation)
        torch.manual_seed(config.seed)
        network = recipe.build()
        if config.start_from is not None and not resumed:
            start_from(
                network,
                Path(config.start_from),
                recipe.new_prefixes,
                recipe.backbone_prefixes,
                recipe.unused_prefixes,
            )
        groups = parameter_groups(network, config.optimizer, recipe.backbone_prefixes)
        optimizer = torch.optim.AdamW(groups, betas=config.optimizer.betas)
        prepared = self._engine.prepare(network, optimizer)
        self._network: nn.Module = prepared[0]
        self._optimizer: Any = prepared[1]
        self._bare: nn.Module = self._engine.unwrap_model(self._network)
        self._mean = RunningMean(self._bare, config.ema_decay) if config.ema_decay else None
        self._best = float('inf')

    @property
    def is_main(self) -> bool:
        """Whether this process writes and talks."""
        return bool(self._engine.is_main_process)

    def resume(self) -> None:
        """Go on from the newest checkpoint that can be read.

        Raises
        ------
        InputError
            There is none, or it is of another training.
        """
        folder, state = checkpoints.newest_checkpoint(self.out)
        _refuse_another_training(folder, _spelled_out(state['config'], folder), self._identity())
        self.step = state['step']
        if splits_optimizer(self._engine):
            with kept_settings(self._bare_optimizer()):
                self._engine.load_state(str(folder / _ENGINE))
        else:
            names = self._bare.state_dict().keys()
            self._bare.load_state_dict(checkpoints.read_tensors(folder, 'network', names))
            checkpoints.load_optimizer(self._bare_optimizer(), folder, 'optimizer')
        if self._mean is not None:
            self._mean.load(checkpoints.read_tensors(folder, 'mean', self._mean.weights))
        self._best = best_score(self.out / JOURNAL_NAME, self.step, self._validated())
        self._engine.wait_for_everyone()
        if self.is_main:
            cut_after(self.out / JOURNAL_NAME, self.step)

    def _identity(self) -> dict[str, Any]:
        """Return what a checkpoint is of: all values, and how many examples there were.

        What the configuration leaves out has values too, which change with the package.
        """
        return {
            **self.config.plain(),
            'options': self._recipe.plain_options,
            'network': self._recipe.model_config(),
            'examples': self._sources.sizes,
        }

    def _validated(self) -> dict[str, Any]:
        """Return which examples the scores are of, as JSON has it."""
        return {
            'sources': [asdict(source) for source in self.config.validation],
            'examples': self._validation.sizes,
            'count': self.config.validation_count,
        }

    def run(
        self,
        progress: Callable[[int, Figures], None] = lambda step, figures: None,
        until: int | None = None,
    ) -> bool:
        """Train to the last step, or until a signal asks to stop.

        Parameters
        ----------
        progress
            Called by the main process after every step that is logged.
        until
            Stop after this step, or at once where it has been made.

        Returns
        -------
        bool
            Whether the last step was reached.
        """
        every = self.config.every
        last = self.config.steps if until is None else min(until, self.config.steps)
        if self.step >= last:
            return self.step >= self.config.steps
        told, told_step = time.monotonic(), self.step
        self._write(
            'start',
            {
                'processes': self._engine.num_processes,
                'device': self._engine.device.type,
                'validated': self._validated(),
            },
        )
        with stop_requests() as stop:
            batches = self._batches()
            recent: list[dict[str, Tensor]] = []  # since the last line of the journal
            while True:
                recent.append(self._train_step(batches))
                self.step += 1
                done = self.step == self.config.steps
                stopping = self._agreed(stop.is_set()) or self.step == last
                saving = self._due(every.checkpoint) or stopping
                if self._due(every.log) or saving:
                    figures = self._means(recent)
                    recent.clear()
                    figures['seconds'] = time.monotonic() - told
                    figures['steps_per_s'] = (self.step - told_step) / figures['seconds']
                    told, told_step = time.monotonic(), self.step
                    figures['rate'] = self._bare_optimizer().param_groups[0]['lr']
                    self._write('train', figures)
                    _refuse_divergence(figures, self.step)
                    if self.is_main:
                        progress(self.step, figures)
                if self._due(every.validate) or done:
                    self._validate()
                if self._due(every.pictures) or done:
                    self._draw()
                if saving:
                    self._save()
                if stopping:
                    return done

    def _train_step(self, batches: Iterator[dict[str, Any]]) -> dict[str, Tensor]:
        """Update the weights once, and return the losses of this process."""
        self._network.train()
        torch.manual_seed(_step_seed(self.config.seed, self.step, self._engine.process_index))
        set_rates(
            self._bare_optimizer().param_groups,
            self.config.optimizer,
            self.step,
            self.config.steps,
        )
        passes = self.config.accumulate
        total: dict[str, Tensor] = {}
        for _ in range(passes):
            batch = moved(next(batches), self._engine.device)
            with self._engine.accumulate(self._network):
                losses = self._recipe.losses(self._network, batch)
                self._engine.backward(losses['loss'])
                if self._engine.sync_gradients:
                    norm = self._engine.clip_grad_norm_(
                        self._network.parameters(), self.config.optimizer.clip_norm
                    )
                self._optimizer.step()
                self._optimizer.zero_grad()
            for name, value in losses.items():
                total[name] = total.get(name, 0.0) + value.detach() / passes
        if self._mean is not None:
            self._mean.update(self.step + 1)
        return {**total, 'gradient_norm': torch.as_tensor(0.0 if norm is None else norm)}

    def _batches(self) -> Iterator[dict[str, Any]]:
        examples = TrainingExamples(self._sources, self._recipe, self.config.seed)
        sampler = StepSampler(
            self.config,
            self._recipe,
            self.step,
            self._engine.process_index,
            self._engine.num_processes,
        )
        return training_batches(examples, sampler, self._recipe, self.config.workers)

    def _validate(self) -> None:
        if not self.config.validation:
            return
        together = splits_weights(self._engine)
        part = (0, 1) if together else (self._engine.process_index, self._engine.num_processes)
        loader = validation_examples(self._validation_examples(), self.config.workers, *part)
        with self._mean_weights() as network:
            rows = figures_of(network, self._recipe, loader, self._engine.device)
        if part[1] > 1:
            from accelerate.utils import gather_object

            rows = gather_object(rows)
        figures = means(rows)
        self._write('validation', figures)
        score = score_of(figures)
        if score is not None and score < self._best:
            self._best = score
            self._export(BEST_NAME)

    def _draw(self) -> None:
        if not self.is_main or not self.config.validation or splits_weights(self._engine):
            return
        import cv2

        examples = self._validation_examples()
        step = max(1, len(examples) // _PICTURED)
        chosen = (examples[number] for number in range(0, len(examples), step))
        with self._mean_weights() as network:
            sheet = picture_sheet(
                network, self._recipe, itertools.islice(chosen, _PICTURED), self._engine.device
            )
        if sheet is not None:
            folder = self.out / PICTURES
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f'step_{self.step:08d}.png'), sheet[..., ::-1])

    def _validation_examples(self) -> ValidationExamples:
        return ValidationExamples(self._validation, self._recipe, self.config.validation_count)

    @contextmanager
    def _mean_weights(self) -> Iterator[nn.Module]:
        """Yield the network with the mean weights, for inference."""
        self._bare.eval()
        with nullcontext() if self._mean is None else self._mean.swapped_in():
            yield self._bare
        self._bare.train()

    def _save(self) -> None:
        """Write a checkpoint and the weights as they would be shipped."""
        folder = checkpoints.checkpoint_folder(self.out, self.step)
        tensors: dict[str, Mapping[str, Tensor]] = {}
        if self._mean is not None:
            tensors['mean'] = self._mean.whole()
        if not splits_optimizer(self._engine):
            tensors['network'] = self._bare.state_dict()
            tensors['optimizer'] = checkpoints.optimizer_tensors(self._bare_optimizer())
        if self.is_main:
            checkpoints.write_checkpoint(self.out, self.step, tensors, self._identity())
        self._engine.wait_for_everyone()
        if splits_optimizer(self._engine):
            self._engine.save_state(str(folder / _ENGINE))
        self._export(WEIGHTS_NAME)
        if self.is_main:
            checkpoints.remove_old(self.out, self.config.every.keep)

    def _export(self, name: str) -> None:
        """Write the mean weights; all processes take part."""
        state = dict(self._engine.get_state_dict(self._network))
        if self._mean is not None:
            state |= self._mean.whole()
        if not self.is_main:
            return
        translate = getattr(self._bare, 'to_official', None)
        about = {
            'model_config': self._recipe.model_config(),
            'recipe': self.config.recipe,
            'step': self.step,
            'seed': self.config.seed,
        }
        checkpoints.write_weights(
            self.out / name, state if translate is None else translate(state), about
        )

    def _write(self, what: str, figures: Mapping[str, Any]) -> None:
        if self.is_main:
            write_line(self.out / JOURNAL_NAME, self.step, what, figures)

    def _due(self, period: int) -> bool:
        return bool(period) and self.step % period == 0

    def _agreed(self, stop: bool) -> bool:
        """Whether any process was asked to stop: all of them stop after the same step."""
        if self._engine.num_processes == 1:
            return stop
        asked = torch.tensor(float(stop), device=self._engine.device)
        return bool(self._engine.reduce(asked, 'sum') > 0)

    def _means(self, steps: Sequence[Mapping[str, Tensor]]) -> Figures:
        """Return the mean losses of some steps, over all processes."""
        names = list(steps[0])
        values = [
            torch.stack([step[name].float().to(self._engine.device) for name in names])
            for step in steps
        ]
        mean: Tensor = self._engine.reduce(torch.stack(values).mean(0), 'mean')
        return dict(zip(names, mean.tolist(), strict=True))

    def _bare_optimizer(self) -> torch.optim.Optimizer:
        """Return the optimizer without the engine's wrapper, which hides its state."""
        bare: torch.optim.Optimizer = getattr(self._optimizer, 'optimizer', self._optimizer)
        return bare


def _step_seed(seed: int, step: int, process: int) -> int:
    """Return the seed of the network's own random numbers (dropout) in one step."""
    return (seed * 1_000_003 + step) * 1_009 + process


def _refuse_unscaled(config: TrainingConfig, recipe: Recipe) -> None:
    """Refuse depth without a scale where there is nothing to learn from it."""
    for number, source in enumerate(config.data):
        if not (source.metric or recipe.learns_without_scale):
            raise InputError(
                'training_config',
                f'data[{number}]: metric is false for {source.path}, but the recipe '
                f'{config.recipe} learns meters here: leave that source out.',
            )


def _spelled_out(stored: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return what a checkpoint is of with every value of its network and its data.

    Checkpoints once had the network as the configuration wrote it, and keys of data are added.
    """
    name, network = stored.get('recipe', ''), stored.get('network', {})
    recipe = create_recipe(name, network, {}, str(folder))
    data = stored.get('data')
    if isinstance(data, list):
        data = [asdict(section_from(SourceConfig, entry, f'{folder}: data')) for entry in data]
    return {**stored, 'network': recipe.model_config(), 'data': data}


def _refuse_another_training(
    folder: Path, stored: Mapping[str, Any], wanted: Mapping[str, Any]
) -> None:
    before, now = (dict(_leaves(json.loads(json.dumps(values)))) for values in (stored, wanted))
    # What one of them lacks is of another version of the package; but a network has all values.
    different = [
        key
        for key in {**now, **before}
        if (key.startswith('network.') or (key in before and key in now))
        and key.split('.')[0] not in FREE_ON_RESUME
        and before.get(key) != now.get(key)
    ]
    if different:
        key = different[0]
        raise InputError(
            'training_checkpoint',
            f'{folder} is of another training: {", ".join(different)} differ ({key} was '
            f'{before.get(key)!r}, is {now.get(key)!r}). Choose another --out, or the same '
            'configuration and examples.',
        )


def _leaves(values: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
    """Yield values by dotted name."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f'{prefix}{key}.')
        else:
            yield prefix + key, value


def _refuse_divergence(figures: Figures, step: int) -> None:
    """Refuse a loss and a gradient that are no numbers: such a gradient spoils all weights."""
    for name in ('loss', 'gradient_norm'):
        if not math.isfinite(figures[name]):
            raise InputError(
                'training_diverged',
                f'the {name} is {figures[name]} at step {step}: lower optimizer.rate or raise '
                'warmup_steps, and resume from the last checkpoint.',
            )
