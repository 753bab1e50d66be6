"""Checkpoints and annotation pickles that are sound files of unsound content, drawn by Hypothesis.

Example:
  python tests/faults/fuzz_structure.py checkpoint --minutes 5

Anything but a result or an error that the user can mend is a finding.
"""
import argparse
import copy
import json
import os
import pickle
import tempfile
import time
from collections import Counter, OrderedDict

import hypothesis
import numpy as np
import torch
from hostile import DATASET, MODEL, content
from hypothesis import strategies as st

from mmskelssl.apis import FeatureExtractor
from mmskelssl.datasets.importers.pyskl import import_pyskl
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.engine.checkpoint import load_checkpoint
from mmskelssl.engine.checkpoint_schema import check_resumable
from mmskelssl.errors import UserError

CLIP = np.random.default_rng(0).normal(size=(2, 9, 25, 3)).astype(np.float32)
NAMES = st.sampled_from(['type', 'backbone', 'layout', 'init_cfg', '_scope_', 'norm_cfg', 'views', 'frames', 'p', 'x'])
TEXTS = st.one_of(st.text(max_size=6), NAMES, st.sampled_from([
    'SimCLR', 'STGCN', 'BiGRU', 'os.system', 'mmengine.Compose', 'KeyMapper', 'BN', 'coco17', 'ntu25', '../x', '[red]',
    '\x1b[2J', 'PackSkeleton', 'SelectPersons', 'Shear', 'motion', 'both', 'mean_max']))
LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 12), st.integers(), st.floats(), TEXTS)
PLAIN = st.recursive(LEAVES, lambda inner: st.one_of(
    st.lists(inner, max_size=4), st.dictionaries(TEXTS, inner, max_size=4)), max_leaves=8)
TENSORS = st.sampled_from([
    torch.ones(3), torch.ones(4, 4), torch.zeros(0), torch.ones(2).long(), torch.tensor(True),
    torch.full((4,), torch.nan), torch.ones(2, dtype=torch.float16), torch.zeros(1).expand(9),
    torch.eye(3).to_sparse(), torch.ones(2, dtype=torch.complex64), torch.ones(3, 3).t(),
    torch.empty(5, device='meta')])
ANY = st.one_of(PLAIN, TENSORS, st.sampled_from([
    np.ones((2, 3), np.float32), np.float64(2), np.int64(3), np.array(['a']), np.bool_(True), OrderedDict(a=1),
    Counter('ab'),    (1, 2), {1, 2}, b'x', bytearray(b'y'), 1j]))


def spoil(draw, node, values) -> object:
    """Insert one to three drawn values into a nested structure, or remove parts of it."""
    node = copy.deepcopy(node)
    for _ in range(draw(st.integers(1, 3))):
        target = node
        while True:
            keys = list(target) if isinstance(target, dict) else list(range(len(target)))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(target[key], (dict, list)) and target[key] and draw(st.integers(0, 4)):
                target = target[key]
                continue
            action = draw(st.integers(0, 4))
            if action == 0:
                del target[key]
            elif action == 1 and isinstance(target, dict):
                target[draw(TEXTS)] = draw(values)
            else:
                target[key] = draw(values)
            break
    return node


@st.composite
def checkpoints(draw) -> object:
    """The content of a checkpoint, damaged as a whole or in its descriptions."""
    base, part = _base(), draw(st.integers(0, 3))
    if part in (0, 1):
        key, config = [('model', MODEL), ('dataset', {**DATASET, 'store': 'none'})][part]
        base['meta']['mmskelssl'][key] = json.dumps(spoil(draw, config, PLAIN))
        return base
    return spoil(draw, base, ANY) if part == 2 else {**base, 'meta': spoil(draw, base['meta'], ANY)}


_made: dict = {}


def _base() -> dict:
    if not _made:
        _made.update(content('none'), param_schedulers=[dict(last_step=3)],
                     optimizer=dict(state={0: dict(exp_avg=torch.ones(3))}, param_groups=[dict(lr=.1, params=[0, 1])]),
                     message_hub=dict(log_scalars={}, runtime_info=dict(a=1), resumed_keys=dict(a=True)))
    return copy.deepcopy(_made)


@st.composite
def annotations(draw) -> object:
    """The damaged content of a pyskl pickle."""
    sample = dict(frame_dir='a', label=1, keypoint=CLIP, total_frames=9)
    made = dict(split=dict(train=['a'], test=['b']), classes=['x', 'y'],
                annotations=[sample, dict(sample, frame_dir='b', label=0)])
    numbers = st.one_of(PLAIN, st.sampled_from([CLIP[0], CLIP[:, :0], CLIP[..., :2], CLIP.astype(int), CLIP * np.nan,
                                                np.array(['a']), np.int64(1), np.float32(.5), CLIP.astype('>f8')]))
    return spoil(draw, made, numbers)


def read_checkpoint(made, folder: str) -> bool:
    """Save and use the content. Returns whether it was accepted."""
    path = os.path.join(folder, 'a.pth')
    torch.save(made, path)
    try:
        check_resumable(load_checkpoint(path), path)
    except UserError as error:
        _check(error)
    try:
        FeatureExtractor(path, 'cpu')([CLIP])
        return True
    except UserError as error:
        _check(error)
        return False


def read_annotations(made, folder: str) -> bool:
    path = os.path.join(folder, 'a.pkl')
    with open(path, 'wb') as file:
        pickle.dump(made, file)
    try:
        with tempfile.TemporaryDirectory(dir=folder) as out, StoreWriter(os.path.join(out, 'store')) as writer:
            import_pyskl(path, writer, layout='ntu25')
        return True
    except UserError as error:
        _check(error)
        return False


def _check(error: UserError) -> None:
    assert '\n' not in str(error) and len(str(error)) < 5000, str(error)


KINDS = dict(checkpoint=(checkpoints(), read_checkpoint), annotations=(annotations(), read_annotations))


def run(kind: str, examples: int, folder: str, seed: int | None = None) -> Counter:
    """Draw and try examples. Returns the numbers of accepted and refused ones."""
    strategy, read = KINDS[kind]
    counts: Counter = Counter()

    @hypothesis.settings(max_examples=examples, deadline=None, database=None, derandomize=seed is None,
                         suppress_health_check=list(hypothesis.HealthCheck), print_blob=False,
                         report_multiple_bugs=False)
    @hypothesis.given(strategy)
    def attempt(made):
        counts['read' if read(made, folder) else 'refused'] += 1

    (attempt if seed is None else hypothesis.seed(seed)(attempt))()
    return counts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('kind', choices=KINDS)
    parser.add_argument('--minutes', type=float, default=5)
    args = parser.parse_args()
    total, end, seed = Counter(), time.monotonic() + 60 * args.minutes, time.time_ns()
    with tempfile.TemporaryDirectory() as folder:
        while time.monotonic() < end:
            total += run(args.kind, 300, folder, seed := seed + 1)
    print(f'{args.kind}: {dict(total)}')


if __name__ == '__main__':
    main()
