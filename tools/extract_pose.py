"""Estimate the poses of the persons in videos, and write a store of 17 COCO keypoints with x and y in pixels.

This needs rtmlib (RTMPose in ONNX; `pip install rtmlib`), which downloads its weights on first use and caches them.
Without a network, pass the two .onnx files with --detector and --pose. An interrupted run continues where it stopped.

Examples:
  python tools/extract_pose.py clips/*.mp4 --out data/clips
  python tools/extract_pose.py clips/*/*.mp4 --out data/clips --labels folders --mode performance --device cuda
"""
import argparse
import os.path as osp
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from rich.progress import track

from mmskelssl.datasets.importers.import_files import add_or_skip
from mmskelssl.datasets.importers.labels import Labels, check_share, set_splits
from mmskelssl.datasets.importers.pose.values import MAX_FRAMES
from mmskelssl.datasets.importers.source import changed, note_file
from mmskelssl.datasets.pose_tracking import track_persons
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.threads import limit_spinning

Estimator = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def rtmpose(mode: str, device: str, detector: str | None = None, pose: str | None = None) -> Estimator:
    """Create an estimator from rtmlib's person detector and RTMPose.

    Returns:
        A function from a picture (H,W,3) BGR to keypoints (P,17,2) in pixels and scores (P,17).

    Raises:
        UserError: If rtmlib is missing or cannot load its weights.
    """
    try:
        from rtmlib import Body
    except ModuleNotFoundError as error:
        raise UserError(f'rtmlib is missing ({error}): pip install rtmlib onnxruntime') from error
    for file in filter(None, (detector, pose)):
        if not osp.isfile(file):
            raise UserError(f'{file}: no such file of weights')
    sizes = dict(det_input_size=Body.MODE[mode]['det_input_size'], pose_input_size=Body.MODE[mode]['pose_input_size'])
    try:
        body = Body(det=detector, pose=pose, mode=mode, backend='onnxruntime', device=device, **sizes)
    except Exception as error:  # downloads, zip files and ONNX Runtime may raise anything
        raise UserError(f'rtmlib cannot load its weights ({str(error).splitlines()[0][:200] or type(error).__name__}): '
                        'it needs the network once, or --detector and --pose FILE.onnx') from error

    def estimate(picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        boxes = body.det_model(picture)
        if not len(boxes):  # Body would use the whole picture as one person
            return np.zeros((0, 17, 2)), np.zeros((0, 17))
        return body.pose_model(picture, bboxes=boxes)

    return estimate


def people_of(video: str, estimator: Estimator, every: int = 1) -> Iterator[np.ndarray]:
    """Yield the persons (P,17,3) of every k-th frame of a video, with one frame in memory at a time.

    Raises:
        ValueError: If the video cannot be read or is too long.
    """
    if not osp.isfile(video):
        raise ValueError('no such file')
    import mmcv  # here, so that a missing OpenCV is reported in one line
    reader = mmcv.VideoReader(video, cache_capacity=1)
    if not reader.opened or reader.frame_cnt < 1:
        raise ValueError('OpenCV cannot read it as a video')
    frame, count = reader.read(), 0
    while frame is not None:
        if count >= MAX_FRAMES:
            raise ValueError(f'longer than {MAX_FRAMES} frames: cut it')
        if count % every == 0:
            keypoints, scores = estimator(frame)
            people = np.concatenate([np.asarray(keypoints, np.float64).reshape(-1, 17, 2),
                                     np.asarray(scores, np.float64).reshape(-1, 17, 1)], -1)
            yield np.where(people[..., 2:] > 0, people, 0)
        frame, count = reader.read(), count + 1
    if not count:
        raise ValueError('it has no frames that OpenCV can read')


def extract(videos: Sequence[str], writer: StoreWriter, estimator: Estimator, persons: int = 2, every: int = 1,
            labels: str = 'none', test_share: float | None = None, seed: int = 0) -> None:
    """Add one sample per video. Videos that cannot be read or show nobody are skipped with a reason.

    Args:
        videos: Video files. The name of a sample is the name of its file without the suffix.
        writer: Writer of a store with layout ``coco17``, two channels, and scores.
        estimator: Function from a picture (H,W,3) BGR to keypoints (P,17,2) in pixels and scores (P,17).
        persons: Maximum number of persons M, matched by :func:`~mmskelssl.datasets.pose_tracking.track_persons`.
        every: Use every k-th frame.
        labels: ``none``, ``folders``, or a csv file with the columns name, label, subject, split.
        test_share, seed: Share of each class drawn for the test split if no split is given, and its seed.
    """
    import cv2
    about = Labels(None, videos, labels)
    writer.index['classes'] = about.classes
    for video in track(writer.unfinished(videos, changed), 'estimating poses'):
        name = about.names[video]
        note_file(video)
        try:
            keypoints, notes = track_persons(people_of(video, estimator, every), persons, scores=True)
            known = about.of(video)
            known['note'] = '; '.join([*notes, *filter(None, [known.get('note')])])
            add_or_skip(writer, name, keypoints=keypoints[..., :2], scores=keypoints[..., 2], **known)
        except (OSError, ValueError, cv2.error) as error:
            writer.skip(name, str(error).strip().splitlines()[0])
        writer.finish(video)
    about.report_lost(writer)
    set_splits(writer, test_share, seed)


@one_line_errors
def main() -> None:
    limit_spinning()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('videos', nargs='+', metavar='VIDEO')
    parser.add_argument('--out', required=True, metavar='STORE', help='folder to create')
    parser.add_argument('--labels', default='none', metavar='none|folders|CSV',
                        help='none; folders: the name of the folder of a video; or a csv file with a header and the '
                        'columns name, label, subject, split, of which only name is required (default none)')
    parser.add_argument('--test-share', type=float,
                        help='share of each class in the test split if no split is given (default 0.2, and 0 for '
                             'videos without a label)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the test split (default 0)')
    parser.add_argument('--persons', type=int, default=2, help='number of most visible persons to keep (default 2)')
    parser.add_argument('--every', type=int, default=1, metavar='K', help='use every K-th frame (default 1)')
    parser.add_argument('--mode', default='balanced', choices=('lightweight', 'balanced', 'performance'),
                        help='size of the networks (default balanced)')
    parser.add_argument('--device', default='cpu', help='cpu, cuda, or mps (default cpu)')
    parser.add_argument('--detector', metavar='ONNX', help="person detector; default rtmlib's YOLOX")
    parser.add_argument('--pose', metavar='ONNX', help="pose network; default rtmlib's RTMPose")
    parser.add_argument('--overwrite', action='store_true', help='replace an existing store')
    args = parser.parse_args()
    if args.persons < 1 or args.every < 1:
        raise UserError('--persons and --every must be 1 or more')
    check_share(args.test_share)
    writer = StoreWriter(args.out, 'coco17', channels=2, units='px', scores=True, third='score',
                         source=f'video {" ".join(args.videos)}',
                         options=dict(vars(args), estimator='rtmlib'), overwrite=args.overwrite, resume=True)
    estimator = rtmpose(args.mode, args.device, args.detector, args.pose)
    with writer:
        extract(args.videos, writer, estimator, args.persons, args.every, args.labels, args.test_share,
                args.seed)
    store = SkeletonStore(args.out)
    skipped = store.index['provenance']['skipped']
    print(f'{args.out}: {len(store)} videos, skipped {len(skipped)}')
    for entry in skipped:
        print(f'  skipped {entry["id"]}: {entry["reason"]}')


if __name__ == '__main__':
    main()
