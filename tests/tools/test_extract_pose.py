"""Videos written by OpenCV are processed with a stand-in for the pose network. A missing rtmlib is reported."""
import os
import subprocess
import sys
import types

import cv2
import numpy as np
import pytest

from mmskelssl.datasets import SkeletonStore, StoreWriter
from mmskelssl.errors import UserError
from tools.extract_pose import extract, main, people_of, rtmpose

SHAPE = np.stack([np.arange(17) % 5 * 3., np.arange(17) * 1.5], -1)  # a person whose nose is a white disc


def write_video(path, noses, size=(96, 128)):
    """A dark video with white discs at ``noses``, (T,P,2)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 25, size[::-1])
    assert writer.isOpened()
    for frame in noses:
        picture = np.zeros((*size, 3), np.uint8)
        for x, y in frame:
            cv2.circle(picture, (round(x), round(y)), 5, (255, 255, 255), -1)
        writer.write(picture)
    writer.release()
    return str(path)


def find_discs(picture):
    """An estimator for such videos, which finds one person per disc."""
    count, _, _, centres = cv2.connectedComponentsWithStats((picture[..., 0] > 128).astype(np.uint8))
    return centres[1:, None] + SHAPE[None], np.full((count - 1, 17), .8)


def walk(frames=12):
    """Two persons who walk towards each other, one above the other, (T,2,2)."""
    t = np.arange(frames)[:, None, None]
    return np.array([[10., 20], [100, 70]]) + t * np.array([[4., 0], [-4, 0]])


def run(tmp_path, videos, **options):
    with StoreWriter(tmp_path / 's', 'coco17', 2, 'px', overwrite=True, scores=True) as writer:
        extract(videos, writer, find_discs, **options)
    store = SkeletonStore(tmp_path / 's')
    return store, {entry['id']: entry['reason'] for entry in store.index['provenance']['skipped']}


def test_two_persons_over_a_video(tmp_path):
    video = write_video(tmp_path / 'two persons é.avi', walk())
    store, skipped = run(tmp_path, [video])
    assert store.ids == ['two persons é'] and not skipped
    clip = store.keypoints(0)
    assert clip.shape == (2, 12, 17, 2) and np.allclose(store.scores(0), .8)
    got = clip[np.argsort(clip[:, 0, 0, 1]), :, 0, :2]  # the upper one first
    np.testing.assert_allclose(got, walk().transpose(1, 0, 2), atol=.75)
    store, _ = run(tmp_path, [video], every=5, persons=1)
    assert store.keypoints(0).shape == (1, 3, 17, 2)


def test_frames_are_those_of_the_video(tmp_path):
    """All frames are read once, in order, as BGR pictures."""
    video, seen = write_video(tmp_path / 'v.avi', walk(7)), []

    def estimator(picture):
        seen.append(picture)
        return np.zeros((0, 17, 2)), np.zeros((0, 17))
    assert [people.shape for people in people_of(video, estimator)] == [(0, 17, 3)] * 7
    assert all(picture.shape == (96, 128, 3) and picture.dtype == np.uint8 for picture in seen)
    np.testing.assert_allclose([find_discs(picture)[0][0, 0] for picture in seen], walk(7)[:, 0], atol=.75)


def test_labels_and_bad_videos(tmp_path):
    good = [write_video(tmp_path / 'wave' / 'a.avi', walk()), write_video(tmp_path / 'bow' / 'b.avi', walk()[:, :1])]
    dark = write_video(tmp_path / 'bow' / 'dark.avi', np.zeros((5, 0, 2)))
    (tmp_path / 'bow' / 'text.mp4').write_text('no video')
    (tmp_path / 'bow' / 'empty.mp4').write_bytes(b'')
    data = open(good[0], 'rb').read()
    (tmp_path / 'bow' / 'cut.avi').write_bytes(data[:200])
    videos = [*good, dark, *(str(tmp_path / 'bow' / name) for name in ('text.mp4', 'empty.mp4', 'cut.avi', 'none.mp4'))]
    store, skipped = run(tmp_path, videos, labels='folders')
    assert store.ids == ['a', 'b'] and store.classes == ['bow', 'wave'] and store.labels.tolist() == [1, 0]
    assert skipped.pop('none') == 'no such file' and skipped.pop('dark') == 'no frame shows a person'
    assert sorted(skipped) == ['cut', 'empty', 'text'] and all('OpenCV' in reason for reason in skipped.values())


def test_an_interrupted_run_goes_on(tmp_path):
    videos = [write_video(tmp_path / f'{name}.avi', walk()) for name in 'abc']
    seen = []

    def estimator(picture):
        seen.append(1)
        if len(seen) == 15:  # in the second video
            raise KeyboardInterrupt
        return find_discs(picture)
    for _ in range(2):
        try:
            with StoreWriter(tmp_path / 's', 'coco17', 2, 'px', scores=True, source='x', resume=True) as writer:
                extract(videos, writer, estimator)
        except KeyboardInterrupt:
            assert not (tmp_path / 's').exists()
    store = SkeletonStore(tmp_path / 's')
    assert store.ids == ['a', 'b', 'c'] and len(seen) == 15 + 24  # the first one was not processed again
    np.testing.assert_array_equal(store.keypoints(0), store.keypoints(1))


def test_the_tool_with_a_library_of_that_shape(tmp_path, monkeypatch, capsys):
    """A stub of ``rtmlib.Body`` as the tool calls it, without the network."""
    calls = []

    class Body:
        MODE = dict(balanced=dict(det_input_size=(640, 640), pose_input_size=(192, 256)))

        def __init__(self, **options):
            calls.append(options)

        def det_model(self, picture):
            return [[x, y, x + 15, y + 30] for x, y in find_discs(picture)[0][:, 0]]

        def pose_model(self, picture, bboxes):
            assert len(bboxes)  # rtmlib would take the whole picture
            return find_discs(picture)

    monkeypatch.setitem(sys.modules, 'rtmlib', types.SimpleNamespace(Body=Body))
    video = write_video(tmp_path / 'v.avi', [[], *walk()])
    monkeypatch.setattr('sys.argv', ['extract_pose.py', video, '/nowhere.mp4', '--out', str(tmp_path / 's')])
    main()
    out = capsys.readouterr().out
    assert '1 videos, skipped 1' in out and 'skipped nowhere: no such file' in out
    store = SkeletonStore(tmp_path / 's')
    assert store.keypoints(0).any((0, 2, 3)).tolist() == [False] + [True] * 12
    assert store.layout.name == 'coco17' and store.index['units'] == 'px' and len(store) == 1
    assert calls == [dict(det=None, pose=None, mode='balanced', backend='onnxruntime', device='cpu',
                          det_input_size=(640, 640), pose_input_size=(192, 256))]
    with pytest.raises(UserError, match='x.onnx: no such file of weights'):
        rtmpose('balanced', 'cpu', 'x.onnx')

    def offline(self, **options):
        raise OSError('<urlopen error>\nmore')
    monkeypatch.setattr(Body, '__init__', offline)
    with pytest.raises(UserError, match=r'cannot load its weights \(<urlopen error>\): it needs the network once'):
        rtmpose('balanced', 'cpu')


def test_without_the_library_one_line_says_what_to_install(tmp_path):
    code = "import sys; sys.modules['rtmlib'] = None; sys.argv[0] = 'x'; from tools.extract_pose import main; main()"
    done = subprocess.run([sys.executable, '-c', code, 'v.avi', '--out', str(tmp_path / 's')], capture_output=True,
                          text=True, cwd=os.getcwd())
    assert done.returncode == 2 and done.stderr.count('\n') == 1
    assert done.stderr.startswith('error: rtmlib is missing') and 'pip install rtmlib' in done.stderr
    assert not (tmp_path / 's').exists()
