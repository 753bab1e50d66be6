"""A data set over several stores, also of different layouts, for one pre-training."""
import hashlib
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.data import Dataset

from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError
from mmskelssl.layouts import SkeletonLayout
from mmskelssl.layouts.union import union_layout
from mmskelssl.registry import DATASETS


class Pool:
    """The stores of a run, as :class:`~mmskelssl.datasets.store.reader.SkeletonStore` describes a single one.

    Args:
        stores: Name -> store.

    Attributes:
        layouts: The different layouts, in the order of the stores.
        layout: The layout of all stores, or the union of their layouts.

    Raises:
        UserError: If the stores do not fit together. The message names the store.
    """

    def __init__(self, stores: Mapping[str, SkeletonStore]):
        self.stores = dict(stores)
        self.layouts: list[SkeletonLayout] = []
        for name, store in self.stores.items():
            if store.layout in self.layouts:
                continue
            if store.layout.name in [layout.name for layout in self.layouts]:
                raise UserError(f'data.stores: {name} ({store.path}) has another layout of the name '
                                f'{store.layout.name!r} than an earlier store: import one of them again under another '
                                'name')
            self.layouts.append(store.layout)
        self.layout = self.layouts[0] if len(self.layouts) == 1 else union_layout(self.layouts)
        first, *others = self.stores.values()
        other = next((store for store in others if store.channels != first.channels), None)
        if other is not None:
            raise UserError(f'data.stores: {first.path} has {first.channels} coordinates a joint, and {other.path} '
                            f'{other.channels}: leave out one of them')
        self.channels = first.channels

    @property
    def path(self) -> str:
        """The folders of the stores, for messages."""
        return ', '.join(store.path for store in self.stores.values())

    @property
    def data_hash(self) -> str:
        """Hash of the contents of all stores, in order."""
        hashes = ' '.join(store.data_hash for store in self.stores.values())
        return hashlib.sha256(hashes.encode()).hexdigest()

    def remarks(self) -> list[str]:
        """Return what a user should know about the stores: joints that are left out, units that differ."""
        lines = []
        if len(self.layouts) > 1:
            for name, store in self.stores.items():
                layout = store.layout
                unnamed = [layout.joints[joint] for joint in range(layout.num_joints)
                           if joint not in layout.named.values()]
                if unnamed:
                    lines.append(f'the encoder does not get the joints {", ".join(unnamed)} of {name}: they have no '
                                 'canonical name')
        units = {name: store.head.get('units') or 'unknown' for name, store in self.stores.items()}
        if len(set(units.values())) > 1:
            found = ', '.join(f'{name} {unit}' for name, unit in units.items())
            lines.append(f'the stores have different units ({found}): import them in the same ones, or put FitRange '
                         'into data.pipeline')
        return lines


@DATASETS.register_module()
class PooledDataset(Dataset):
    """The training clips of several stores. A batch mixes the stores, in shares that :class:`PoolSampler` draws.

    Clips of one layout form a tensor; clips of different layouts have different joints and stay apart until
    :class:`~mmskelssl.models.pool_preprocessor.PoolPreprocessor` has prepared them.

    Args:
        stores: Configs of the data sets, one for each store.
        names: Name of each store.
        weights: Share of each store in a batch, relative to the others.

    Raises:
        UserError: If the clips of two stores differ in length or channels. The message names them.
    """

    def __init__(self, stores: Sequence[Mapping], names: Sequence[str], weights: Sequence[float]):
        self.members = [DATASETS.build(dict(config)) for config in stores]
        self.names, self.weights = list(names), list(weights)
        self.sizes = [len(member) for member in self.members]
        self.ends = np.cumsum(self.sizes)
        self.layouts = [member.metainfo['layout'] for member in self.members]
        # Unique numbers of clips: some methods must recognise a clip that they have seen.
        self.offsets = np.cumsum([0, *(len(member.store) for member in self.members)])
        shapes = [tuple(member[0]['inputs'].shape) for member in self.members]  # (C, T, V, M)
        self.num_persons = max(shape[3] for shape in shapes)
        for name, shape in zip(self.names, shapes, strict=True):
            if shape[:2] != shapes[0][:2]:
                raise UserError(f'data.stores: the clips of {name} have {shape[1]} frames of {shape[0]} channels after '
                                f'the pipeline, and those of {self.names[0]} {shapes[0][1]} of {shapes[0][0]}: give '
                                'all stores the same ResizeFrames in data.pipeline')
        hashes = [member.metainfo['data_hash'] for member in self.members]
        self.metainfo = dict(classes=[], data_hash=' '.join(hashes))

    def __len__(self) -> int:
        return int(self.ends[-1])

    @property
    def ids(self) -> list[str]:
        """``STORE/ID`` of each clip."""
        return [f'{name}/{clip}' for name, member in zip(self.names, self.members, strict=True) for clip in member.ids]

    def name_of(self, index: int) -> str:
        """Return ``STORE/ID`` of the clip with this ``index`` in ``data_samples``."""
        number = int(np.searchsorted(self.offsets, index, 'right')) - 1
        return f'{self.names[number]}/{self.members[number].store.ids[index - self.offsets[number]]}'

    def __getitems__(self, indices: list[int]) -> dict:
        """Return a batch.

        Returns:
            ``inputs``: clips (N, C, T, V, M), or for stores of several layouts a dict from layout name to clips.
            ``data_samples``: ``index``, unique over all stores; ``num_frames``; and ``store``, the number of the
            clip's store. They are in the order of the clips, grouped by store, which is not that of ``indices``.
            There is no label, because the classes of different stores differ.
        """
        chosen = np.asarray(indices)
        numbers = np.searchsorted(self.ends, chosen, 'right')
        groups: dict[str, list[dict]] = {name: [] for name in dict.fromkeys(self.layouts)}
        for number, member in enumerate(self.members):
            rows = chosen[numbers == number] - (self.ends[number] - self.sizes[number])
            if len(rows):
                batch = member.__getitems__(rows.tolist())
                samples = {key: batch['data_samples'][key] for key in ('index', 'num_frames')}
                samples['index'] = samples['index'] + int(self.offsets[number])
                samples['store'] = torch.full((len(rows),), number)
                groups[self.layouts[number]].append(dict(inputs=batch['inputs'], data_samples=samples))
        parts = [batch for group in groups.values() for batch in group]
        samples = {key: torch.cat([part['data_samples'][key] for part in parts]) for key in parts[0]['data_samples']}
        inputs = {name: _joined([batch['inputs'] for batch in group]) for name, group in groups.items() if group}
        return dict(inputs=inputs if len(groups) > 1 else next(iter(inputs.values())), data_samples=samples)

    def __getitem__(self, index: int) -> dict:
        """Return one clip, as in a batch but without the first axis."""
        batch = self.__getitems__([index])
        clips = batch['inputs']
        single = {name: one[0] for name, one in clips.items()} if isinstance(clips, dict) else clips[0]
        return dict(inputs=single, data_samples={key: value[0] for key, value in batch['data_samples'].items()})


def _joined(clips: Sequence[torch.Tensor]) -> torch.Tensor:
    """Concatenate clips (N, C, T, V, M) after adding absent persons where there are fewer."""
    persons = max(part.shape[4] for part in clips)
    return torch.cat([F.pad(part, (0, persons - part.shape[4])) if part.shape[4] < persons else part
                      for part in clips])
