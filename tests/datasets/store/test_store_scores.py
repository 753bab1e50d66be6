"""Scores of joints: a separate column next to the coordinates, which every command on stores preserves."""
import json

import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.datasets.store.convert import convert
from mmskelssl.datasets.store.merge import merge
from mmskelssl.datasets.store.repair import repair
from mmskelssl.datasets.store.subset import subset
from mmskelssl.datasets.store.verify import verify
from mmskelssl.errors import UserError
from mmskelssl.layouts import get_layout

COCO = get_layout('coco17')


def clips(channels=2):
    rng = np.random.default_rng(0)
    return [(rng.uniform(100, 200, (1 + i % 2, 4 + i, 17, channels)).astype(np.float32),
             rng.uniform(.1, 1, (1 + i % 2, 4 + i, 17)).astype(np.float32)) for i in range(4)]


def write(path, scored=True, **options):
    with StoreWriter(path, 'coco17', 2, 'px', ['a', 'b'], scores=scored, third='score' if scored else 'none',
                     **options) as writer:
        for i, (keypoints, scores) in enumerate(clips()):
            writer.add(f's{i}', keypoints, i % 2, scores=scores if scored else None)
        writer.set_split('train', ['s0', 's1'])
        writer.set_split('test', ['s2', 's3'])
    return SkeletonStore(path)


def reasons(store, kind):
    return {entry['id']: entry['reason'] for entry in store.index['provenance'][kind]}


def test_scores_come_back(tmp_path):
    store = write(tmp_path / 's')
    assert store.has_scores and store.head['third'] == 'score' and store.head['units'] == 'px' and store.channels == 2
    for i, (keypoints, scores) in enumerate(clips()):
        np.testing.assert_array_equal(store.keypoints(i), keypoints)
        np.testing.assert_array_equal(store.scores(i), scores)
    store.verify_hash()
    assert not verify(store.path)
    (tmp_path / 's' / 'index.npz').unlink()  # the columns are those of index.json
    assert SkeletonStore(tmp_path / 's').data_hash == store.data_hash
    assert SkeletonStore(tmp_path / 's').head == store.head


def test_scores_are_part_of_the_hash_and_their_absence_changes_none(tmp_path):
    """Caches and checkpoints of stores without scores stay valid: the hash is that of the version before scores."""
    plain = write(tmp_path / 'plain', scored=False)
    assert plain.scores(0) is None and not plain.has_scores and not (tmp_path / 'plain' / 'scores.npy').exists()
    assert 'scores_sha256' not in plain.index and plain.data_hash == '0278ba81d23e57b6'
    assert write(tmp_path / 'scored').data_hash != plain.data_hash


def test_large_stores_are_written_in_parts(tmp_path):
    """More rows than go through memory at once."""
    rng = np.random.default_rng(1)
    keypoints, scores = rng.normal(size=(1, 12_000, 17, 3)), rng.random((1, 12_000, 17))
    with StoreWriter(tmp_path / 's', 'coco17', scores=True) as writer:
        writer.add('x', keypoints, scores=scores)
    store = SkeletonStore(tmp_path / 's')
    np.testing.assert_array_equal(store.keypoints(0), keypoints.astype(np.float32))
    np.testing.assert_array_equal(store.scores(0), scores.astype(np.float32))


def test_what_the_writer_does_with_bad_scores(tmp_path):
    keypoints, scores = clips()[0]
    with StoreWriter(tmp_path / 's', 'coco17', 2, scores=True) as writer:
        bad = scores.copy()
        bad[0, 0, :3] = np.nan, -1, np.inf
        writer.add('bad', keypoints, scores=bad)
        gap = keypoints.copy()
        gap[0, 1, 5] = np.nan
        writer.add('gap', gap, scores=scores)
        hidden = keypoints.copy()
        hidden[0, :, 7] = 0
        writer.add('none', hidden)
        with pytest.raises(UserError, match=r'sample wide: scores have shape \(1, 4, 17, 1\)'):
            writer.add('wide', keypoints, scores=scores[..., None])
    store = SkeletonStore(tmp_path / 's')
    assert not store.scores(0)[0, 0, :3].any() and np.array_equal(store.scores(0)[0, 1:], scores[0, 1:])
    assert reasons(store, 'repaired')['bad'] == '3 scores were not non-negative numbers and were set to 0'
    assert store.keypoints(1)[0, 1, 5].any() and store.scores(1)[0, 1, 5] == 0  # filled in, but not seen
    expected = np.ones((1, 4, 17))
    expected[0, :, 7] = 0
    np.testing.assert_array_equal(store.scores(2), expected)
    assert reasons(store, 'noted') == {'none': 'no scores: joints away from the origin get 1'}
    with StoreWriter(tmp_path / 't', 'coco17', 2) as writer:
        with pytest.raises(UserError, match='was described without scores'):
            writer.add('x', keypoints, scores=scores)
        writer.add('x', keypoints)


def change(path, edit):
    array = np.load(path / 'scores.npy')
    np.save(path / 'scores.npy', edit(array))


def _set(value):
    def edit(array):
        array[3, 2] = value
        return array
    return edit


@pytest.mark.parametrize('edit, faults', [
    (_set(.5), ['the scores have changed since they were written (another sha256)']),
    (_set(np.nan), ['the scores have changed since they were written (another sha256)',
                    'a score is not a non-negative number']),
    (_set(-1), ['the scores have changed since they were written (another sha256)',
                'a score is not a non-negative number'])], ids=['changed', 'nan', 'negative'])
def test_verify_reads_the_scores(tmp_path, edit, faults):
    write(tmp_path / 's')
    change(tmp_path / 's', edit)
    assert [fault.what for fault in verify(str(tmp_path / 's')) if fault.fatal] == faults
    with pytest.raises(UserError, match='scores.npy has changed since it was written'):
        SkeletonStore(tmp_path / 's').verify_hash()


@pytest.mark.parametrize('edit, reason', [
    (lambda array: array[:-1], r'scores.npy is float32 of shape \(\d+, 17\), but index.json describes'),
    (lambda array: array.astype(np.float64), 'scores.npy is float64'),
    (None, 'scores.npy cannot be read .it is missing')], ids=['cut', 'type', 'missing'])
def test_a_store_with_other_scores_than_it_says_is_not_opened(tmp_path, edit, reason):
    write(tmp_path / 's')
    if edit:
        change(tmp_path / 's', edit)
    else:
        (tmp_path / 's' / 'scores.npy').unlink()
    with pytest.raises(UserError, match=reason):
        SkeletonStore(tmp_path / 's')


def test_an_index_with_another_third_number_is_damaged(tmp_path):
    write(tmp_path / 's')
    file = tmp_path / 's' / 'index.json'
    file.write_text(json.dumps(json.loads(file.read_text()) | dict(third='maybe')))
    with pytest.raises(UserError, match='third "maybe": expected score, depth, none'):
        SkeletonStore(tmp_path / 's')


def test_repair_keeps_scores_with_their_joints(tmp_path):
    write(tmp_path / 's')
    rows, index = np.load(tmp_path / 's' / 'keypoints.npy'), json.loads((tmp_path / 's' / 'index.json').read_text())
    second = index['samples'][1]
    start, frames = second['offset'], second['frames']
    rows[0, 3] = np.nan                        # sample 0, frame 0
    rows[start:start + frames] = 0             # sample 1, the first person
    rows[start + frames + 2] = 0               # and a frame of the second one
    np.save(tmp_path / 's' / 'keypoints.npy', rows)
    change(tmp_path / 's', _set(np.nan))
    repair(str(tmp_path / 's'), str(tmp_path / 'mended'))
    mended = SkeletonStore(tmp_path / 'mended')
    assert not [fault for fault in verify(mended.path) if fault.fatal] and mended.head['third'] == 'score'
    expected = clips()[0][1].copy()
    expected[0, 0, 3] = expected[0, 3, 2] = 0
    np.testing.assert_array_equal(mended.scores(0), expected)
    np.testing.assert_array_equal(mended.scores(1), np.delete(clips()[1][1][1:], 2, 1))
    np.testing.assert_array_equal(mended.keypoints(1), np.delete(clips()[1][0][1:], 2, 1))


def test_subset_and_convert(tmp_path):
    old = write(tmp_path / 's')
    subset(old.path, str(tmp_path / 'part'), split='test')
    part = SkeletonStore(tmp_path / 'part')
    np.testing.assert_array_equal(part.scores(1), old.scores(3))
    assert part.head['third'] == 'score'
    convert(old.path, str(tmp_path / 'ntu'), 'ntu25')
    new, layout = SkeletonStore(tmp_path / 'ntu'), get_layout('ntu25')
    left, right = COCO.joints.index('left_hip'), COCO.joints.index('right_hip')
    np.testing.assert_array_equal(new.scores(1)[..., layout.named['left_wrist']],
                                  old.scores(1)[..., COCO.named['left_wrist']])
    np.testing.assert_allclose(new.scores(1)[..., layout.named['pelvis']],
                               old.scores(1)[..., [left, right]].mean(-1), rtol=1e-6)


def test_merge_of_stores_with_and_without_scores(tmp_path, capsys):
    scored, plain = write(tmp_path / 'scored'), write(tmp_path / 'plain', scored=False)
    merge([scored.path, plain.path], str(tmp_path / 'pool'))
    pool = SkeletonStore(tmp_path / 'pool')
    np.testing.assert_array_equal(pool.scores(1), scored.scores(1))
    assert (pool.scores(5) == 1).all() and 'plain has no scores: joints away' in capsys.readouterr().out
    assert 'third' not in pool.head  # they differ
    merge([scored.path, plain.path], str(tmp_path / 'union'), names=True)
    assert SkeletonStore(tmp_path / 'union').scores(0).shape[2] == SkeletonStore(tmp_path / 'union').layout.num_joints
    merge([plain.path, write(tmp_path / 'other', scored=False).path], str(tmp_path / 'bare'))
    assert not SkeletonStore(tmp_path / 'bare').has_scores


def test_an_interrupted_import_goes_on_with_its_scores(tmp_path):
    about, items = dict(source='x', resume=True, scores=True), [f's{i}' for i in range(4)]

    def run(stop=None):
        with StoreWriter(tmp_path / 's', 'coco17', 2, **about) as writer:
            left = writer.unfinished(items, lambda *what: False)
            for name in left:
                if name == stop:
                    raise KeyboardInterrupt
                keypoints, scores = clips()[int(name[1])]
                writer.add(name, keypoints, scores=scores)
                writer.finish(name)
        return left
    with pytest.raises(KeyboardInterrupt):
        run('s2')
    assert run() == ['s2', 's3']
    store = SkeletonStore(tmp_path / 's')
    for i, (keypoints, scores) in enumerate(clips()):
        np.testing.assert_array_equal(store.keypoints(i), keypoints)
        np.testing.assert_array_equal(store.scores(i), scores)
