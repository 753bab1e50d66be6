"""Prepares batches of clips of several layouts for one encoder."""
import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout, get_layout
from mmskelssl.models.preprocessor import SkeletonPreprocessor
from mmskelssl.registry import MODELS


@MODELS.register_module()
class PoolPreprocessor(SkeletonPreprocessor):
    """Prepare the clips of each layout with a preprocessor of their own, and join them in the union of the layouts.

    Mirror pairs, bones and body parts are those of the clip's own layout in augmentations, alignment and streams. Only
    the result is moved to the joints of the union, where joints that a layout lacks are zero. Training with
    ``data.stores`` selects this class and fills in its layouts.

    Args:
        layout: The union of the layouts, which is the layout of the encoder.
        layouts: Layouts of the clips.
        **kwargs: Arguments of :class:`SkeletonPreprocessor`.
    """

    def __init__(self, layout: str | dict | SkeletonLayout, layouts: Sequence[str | dict | SkeletonLayout], **kwargs):
        given = [get_layout(one) for one in layouts]
        if len({one.name for one in given}) < len(given) or not given:
            raise UserError(f'data_preprocessor.layouts is {", ".join(one.name for one in given) or "empty"}: it must '
                            'be layouts of different names')
        super().__init__(layout, **copy.deepcopy(kwargs))  # an augmentation keeps the first layout that it gets
        self.members = {one.name: SkeletonPreprocessor(one, union=self.layout, **copy.deepcopy(kwargs))
                        for one in given}
        for member in self.members.values():
            member.active = self.active  # a curriculum changes it

    def forward(self, data: dict, training: bool = False) -> dict:
        """Prepare a batch.

        Args:
            data: ``inputs``, a dict from layout name to clips (N_i, C, T, V_i, M_i), and ``data_samples``, a dict of
                tensors of length N, in the order of the clips.
            training: Draw the views.

        Returns:
            The same keys. ``inputs`` is a dict of views in training and otherwise the clips (N, C, T, V, M).
        """
        data = self.cast_data(data)
        groups = data['inputs']
        if not isinstance(groups, dict) or not groups.keys() <= self.members.keys():
            found = ', '.join(groups) if isinstance(groups, dict) else 'none'
            raise UserError(f'the clips state the layouts {found}; the model was trained on '
                            f'{", ".join(self.members)}: open it for the layout of the clips')
        sizes = [len(clips) for clips in groups.values()]
        frames = (data.get('data_samples') or {}).get('num_frames')
        lengths = [None] * len(sizes) if frames is None else frames.split(sizes)
        generator = None
        if training and self.views:
            generator = self.generator(next(iter(groups.values())).device)
        made = [self.members[name].prepare(clips, length, generator)
                for (name, clips), length in zip(groups.items(), lengths, strict=True)]
        return {**data, 'inputs': _joined(made)}


def _joined(parts: list) -> Tensor | dict[str, Tensor]:
    if isinstance(parts[0], dict):
        return {view: torch.cat([part[view] for part in parts]) for view in parts[0]}
    return torch.cat(parts)


def narrowed_config(config: dict, layout: str | dict) -> dict:
    """Return the config of a preprocessor for clips of one layout, from that of a :class:`PoolPreprocessor`."""
    kept = {key: value for key, value in config.items() if key != 'layouts'}
    return {**kept, 'type': 'SkeletonPreprocessor', 'layout': layout, 'union': config['layout']}


def narrowed(model, preprocessor: SkeletonPreprocessor):
    """Return a model that shares all weights with ``model`` and has another preprocessor."""
    twin = copy.copy(model)
    twin._modules = dict(model._modules)
    twin.data_preprocessor = preprocessor.to(model.data_preprocessor.device)
    return twin
