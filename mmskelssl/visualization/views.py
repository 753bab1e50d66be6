"""Show the effect of a config on a clip, step by step: the deterministic pipeline, then the augmentations per view."""
import numpy as np
import torch
from mmengine.config import Config

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.models.preprocessor import SkeletonPreprocessor, only_present
from mmskelssl.registry import MODELS, TRANSFORMS, explain_unknown
from mmskelssl.visualization.panels import Panel, Row

# Number of further clips in the batch, because some augmentations mix the clips of a batch.
COMPANIONS = 7


class ViewSteps:
    """The steps of a config, for the samples of any store with a matching layout.

    The steps show the clips as returned by the augmentations. Alignment, stream and velocity, which the preprocessor
    applies afterwards, are not shown.

    Args:
        store: Store of the samples. The store named in the config is not used.
        cfg: Config with ``data.pipeline`` and ``model.data_preprocessor``.
        where: Config file, for messages.
        seed: Base seed of the random draws. The same seed, store and sample give the same clips.
    """

    def __init__(self, store: SkeletonStore, cfg: Config, where: str, seed: int = 0):
        self.store, self.where = store, where
        data, model = cfg.get('data') or {}, cfg.get('model') or {}
        steps, preprocessor = data.get('pipeline'), model.get('data_preprocessor')
        if not steps or not preprocessor:
            raise UserError(f'{where} has no {"model.data_preprocessor" if steps else "data.pipeline"}: '
                            'use a training config')
        self.transforms = [self._build(TRANSFORMS, step, 'data.pipeline') for step in steps]
        self.preprocessor = self._build(MODELS, {'layout': store.layout, **preprocessor, 'seed': seed},
                                        'model.data_preprocessor')
        if not isinstance(self.preprocessor, SkeletonPreprocessor):
            raise UserError(f'{where}: model.data_preprocessor is a {type(self.preprocessor).__name__}; only a '
                            'SkeletonPreprocessor has views to show')
        if self.preprocessor.layout != store.layout:
            raise UserError(f'{where} is for layout {self.preprocessor.layout.name!r}, but {store.path} has '
                            f'{store.layout.name!r}: choose another store or config')

    def _build(self, registry, config, key: str):
        try:
            return registry.build(dict(config))
        except UserError as error:
            raise UserError(f'{self.where}: {error}') from error
        except (KeyError, TypeError, ValueError) as error:
            reason = explain_unknown(error) or ' '.join(str(error).split())
            raise UserError(f'{self.where}: {key}: {reason}') from error

    def rows(self, i: int) -> list[Row]:
        """Return the rows for :func:`draw_panels` of sample ``i``: the pipeline, then each view with augmentations."""
        panels, packed = self._pipeline(i)
        others = np.linspace(0, len(self.store) - 1, COMPANIONS + 2).round().astype(int)
        batch = [packed, *(self._pipeline(int(k))[1] for k in others[1:-1])]
        shapes = {sample['inputs'].shape for sample in batch}
        if len(shapes) > 1:
            raise UserError(f'{self.where}: samples of {self.store.path} have shapes {sorted(shapes)} after the '
                            'pipeline: put SelectPersons, and ResizeFrames or PadFrames, into data.pipeline')
        x = torch.from_numpy(np.stack([sample['inputs'] for sample in batch]))
        return [Row('pipeline', panels), *self._views(x, packed['num_frames'], i)]

    def _pipeline(self, i: int) -> tuple[list[Panel], dict]:
        keypoints = np.array(self.store.keypoints(i))
        sample = dict(keypoint=keypoints, total_frames=keypoints.shape[1], frame_dir=self.store.ids[i],
                      layout=self.store.layout)
        if self.store.has_scores:
            sample['scores'] = np.array(self.store.scores(i))
        panels = [Panel('as stored', keypoints, f'{keypoints.shape[1]} frames')]
        for transform in self.transforms:
            before = sample['keypoint']
            sample = transform(sample)
            if not isinstance(sample, dict) or not {'keypoint', 'inputs'} & set(sample):
                break
            if 'keypoint' in sample:
                clip = np.array(sample['keypoint'])
                total, frames = clip.shape[1], sample.get('num_frames', clip.shape[1])
                note = 'unchanged' if np.array_equal(clip, before) else ''
                if total != before.shape[1]:
                    note = f'{total} frames' if frames == total else f'{frames} of {total} frames'
                panels.append(Panel(f'+ {type(transform).__name__}', clip[:, :frames], note))
        if not isinstance(sample, dict) or 'inputs' not in sample:
            raise UserError(f'{self.where}: data.pipeline must end with dict(type="PackSkeleton")')
        return panels, sample

    def _views(self, x: torch.Tensor, frames: int, draw: int) -> list[Row]:
        """Return the rows of the first clip of the batch ``x`` (N, C, T, V, M), which has ``frames`` real frames."""
        preprocessor = self.preprocessor
        preprocessor.set_progress(draw)  # each sample has its own draws
        generator = preprocessor.generator(x.device)

        def panel(caption: str, clip: torch.Tensor, note: str = '') -> Panel:
            clip = only_present(clip[:1], x[:1]) if preprocessor.keep_absent else clip[:1]
            return Panel(caption, clip[0, :, :frames].permute(3, 1, 2, 0).numpy(), note)

        clips: dict[str, torch.Tensor] = {}
        rows = []
        for name, ops in preprocessor.views.items():
            origin = preprocessor.origin.get(name)
            clip = clips[origin] if origin else x
            panels = [panel(f'{origin or "pipeline"}, before', clip)]
            for k in preprocessor.active[name]:
                before, clip = clip, ops[k](clip, generator)
                same = torch.equal(before[0], clip[0])
                panels.append(panel(f'+ {type(ops[k]).__name__}', clip, 'not this time' if same else ''))
            clips[name] = clip
            if len(panels) > 1:
                rows.append(Row(f'view {name}', panels, same_scale=True))
        return rows
