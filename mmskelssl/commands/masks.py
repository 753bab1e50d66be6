"""Draws masks on clips, and compares them with the movement of the joints."""
import os
import os.path as osp
from collections.abc import Sequence

import cv2
import numpy as np
import torch
from torch.nn.functional import interpolate

from mmskelssl.commands.output import free_name
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.engine.checkpoint import build_from_checkpoint
from mmskelssl.engine.rebuild import build_dataset
from mmskelssl.engine.work_dir import last_checkpoint
from mmskelssl.errors import UserError
from mmskelssl.evaluation.attention import masks_of, quarter_shares, uniform_shares
from mmskelssl.evaluation.metrics import bootstrap_mean
from mmskelssl.evaluation.results import add_results, identity, read_results
from mmskelssl.inference.pools import pool_of
from mmskelssl.names import file_name
from mmskelssl.visualization.clips import strip


def attention(checkpoints: Sequence[str], out: str, data: str | None = None, split: str = 'test', clips: int = 512,
              sample: str | None = None) -> list[dict]:
    """Measure and draw the mask of each checkpoint. Writes a picture and a row of ``results.json`` for each to ``out``.

    Args:
        data: Store. Default: the store that an encoder was trained on.
        clips: Number of clips to measure, evenly spaced over the split.
        sample: Id of the clip to draw. Default: the first of the split.

    Returns:
        A row for each checkpoint, see :func:`measure`.

    Raises:
        UserError: If a checkpoint does not name its data, its method has no mask, or the sample does not exist.
    """
    os.makedirs(out, exist_ok=True)
    earlier = {identity(row): row for row in read_results(osp.join(out, 'results.json'))}
    rows: list[dict] = []
    names: set[str] = set()
    for path in map(last_checkpoint, checkpoints):
        model, info = build_from_checkpoint(path)
        if pool_of(info):
            raise UserError(f'{path}: masks are drawn for encoders that were trained on one store')
        if 'dataset' not in info or not (data or info['dataset'].get('store')):
            raise UserError(f'{path}: does not name its data; add --data STORE to a checkpoint of tools/train.py')
        if not hasattr(model, 'attention_map'):
            raise UserError(f'{path}: {info["method"]} has no mask to draw')
        torch.manual_seed(0)
        row = measure(path, model, info, data, split, clips)
        rows.append(row)
        print(f'{row["encoder"]}: {row["most_moving"]:.1f} % of the mask on the most moving quarter of the joints '
              f'(95 % interval {row["ci95"][0]:.1f} to {row["ci95"][1]:.1f}; uniform {row["uniform"][3]:.1f})')
        store = SkeletonStore(data or info['dataset']['store'])
        drawn = sample or store.ids[store.split(split)[0]]
        base = file_name('_'.join((row['encoder'].lower(), row['stream'], row['data'], drawn)))
        row['picture'] = free_name(out, base, 'png', names, earlier.get(identity(row), {}))
        draw(path, model, info, data, drawn, osp.join(out, row['picture']))
    hashes = {row['config_hash'] for row in rows}
    add_results(out, rows, hashes.pop() if len(hashes) == 1 else None, store.data_hash)
    return rows


def measure(path: str, model, info: dict, data: str | None, split: str, clips: int) -> dict:
    """Return a row with the shares of the mask on each quarter of the joints, over evenly spaced clips of a split."""
    dataset = build_dataset({**info['dataset'], **({'store': data} if data else {})}, split, path)
    rows = np.arange(min(clips, len(dataset))) * len(dataset) // min(clips, len(dataset))
    shares = quarter_shares(*masks_of(model, dataset, rows))
    return dict(encoder=info['method'], data=osp.basename(osp.abspath(dataset.store.path)), split=split,
                stream=info.get('stream', 'joint'), protocol='attention', epoch=info.get('epoch'),
                config_hash=info.get('config_hash'),
                checkpoint=path, num_clips=len(rows), quarters=(100 * shares.mean(0)).tolist(),
                uniform=[100 * share for share in uniform_shares(dataset.store.layout.num_joints)],
                most_moving=100 * float(shares[:, 3].mean()),
                ci95=[100 * value for value in bootstrap_mean(shares[:, 3])])


def draw(path: str, model, info: dict, data: str | None, sample: str, out: str) -> None:
    """Draw a film strip of the clip, with its joints coloured by the mask."""
    store = SkeletonStore(data or info['dataset']['store'])
    if sample not in store.positions:
        raise UserError(f'{store.path} has no sample {sample!r}; the first is {store.ids[0]!r}')
    dataset = build_dataset({**info['dataset'], 'store': store.path}, 'all', path)
    # ActCLR's anchor is the average clip of a batch, so the batch needs other clips.
    others = [i for i in range(0, len(dataset), max(1, len(dataset) // 128)) if dataset.ids[i] != sample]
    mask, _ = masks_of(model, dataset, [dataset.ids.index(sample), *others])
    keypoints = store.keypoints(store.positions[sample])
    resized = interpolate(mask[:1], (keypoints.shape[1], store.layout.num_joints), mode='bilinear')[0]
    weights = resized[:len(keypoints)].numpy()
    picture = strip(keypoints, store.layout, weights=weights,
                    title=f'{info["method"]}, {sample}: mask {weights.min():.2f} (grey) - {weights.max():.2f} (orange)')
    if not cv2.imwrite(out, picture):
        raise UserError(f'cannot write {out}')
    print(out)
