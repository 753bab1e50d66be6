"""Write the features that a pre-trained encoder computes for the clips of a store, for use in other programs.

The file is a plain npz with: features (N, D) float32; labels (N,) int64, -1 for clips without a label; ids (N,), the
names of the clips; classes, the names of the labels, empty if the store has none. numpy.load reads it without pickles.
A .parquet file is a table of id, label, class and feature instead (needs pyarrow).

Examples:
  mmskelssl embed work_dirs/aimclr_toy/epoch_16.pth --out features.npz
  mmskelssl embed CKPT --data data/nwucla --split test --out nwucla_test.npz --device cuda
  mmskelssl embed work_dirs/official/actclr.pth --like actclr_ntu60 --data data/ntu60
  mmskelssl embed models/nwucla --data my_clips/ --fps 30 --out features.npz
  mmskelssl embed CKPT --out features.parquet --tensorboard work_dirs/projector
  mmskelssl embed CKPT --data day.npy --window 2 --stride 0.5 --fps 30 --out day.npz

--data also takes files, folders and archives in any format that mmskelssl detect recognises, and - for JSON lines on
standard input, as mmskelssl predict does. With --window, the file also has recording, person, start and end (seconds).
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_imports, add_launcher
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint, a work_dir to use its last one, the folder of '
                        'a saved encoder, or zoo/NAME')
    parser.add_argument('--data', metavar='STORE', help='store, or files; default: the store that it was trained on')
    parser.add_argument('--like', metavar='CONFIG',
                        help='preprocess as this config does; for a checkpoint that does not describe its own '
                             'preprocessing, such as a converted one')
    parser.add_argument('--split', default='all', help='split of the store (default all)')
    parser.add_argument('--out', metavar='FILE', help='npz or .parquet to write; default: '
                        'DIR_OF_CKPT/NAME_OF_CKPT_features_STORE_SPLIT.npz')
    parser.add_argument('--tensorboard', metavar='DIR', help="also write them for TensorBoard's projector, with a "
                        'picture of each clip')
    parser.add_argument('--batch-size', type=int, default=256, help='clips per batch (default 256)')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    parser.add_argument('--layout', help='layout of files that do not state theirs: a name, or a json file')
    parser.add_argument('--convert', action='store_true', help='convert clips of another layout, if each joint of the '
                        'model has a counterpart')
    parser.add_argument('--fps', type=float, help='frames per second of clips that do not state theirs')
    parser.add_argument('--window', type=float, metavar='SECONDS', help='features of windows of this duration')
    parser.add_argument('--stride', type=float, metavar='SECONDS', help='from one window to the next (default 0.5)')
    parser.add_argument('--persons', choices=['each', 'together'], help='windows of each person (the default), or of '
                        'all together')
    add_imports(parser)
    add_launcher(parser)


def run(args: argparse.Namespace) -> None:
    if args.launcher == 'none':
        return run_here(args)
    if _of_clips(args):
        raise UserError('--launcher: several processes share the clips of a store only')
    from mmskelssl.engine.distributed import launched
    with launched(args.launcher):
        run_here(args)


def run_here(args: argparse.Namespace) -> None:
    """Run in this process, which may be one of several."""
    if args.out and osp.splitext(args.out)[1].lower() not in ('.npz', '.parquet'):
        raise UserError(f'--out {args.out}: the suffix must be .npz or .parquet')
    if args.tensorboard:
        from mmskelssl.visualization.projector import check_new
        check_new(args.tensorboard)
    if _of_clips(args):
        return run_on_clips(args)
    from mmengine.dist import is_main_process

    from mmskelssl.commands.feature_files import save_features, save_projector
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.engine.work_dir import last_checkpoint
    from mmskelssl.evaluation.features import extract_features
    from mmskelssl.evaluation.processes import together
    from mmskelssl.inference.encoder import build_encoder, move_to, pair_with_data
    from mmskelssl.names import file_name
    import_plugins(args.imports)
    checkpoint = last_checkpoint(args.checkpoint)
    encoder = pair_with_data(checkpoint, *build_encoder(checkpoint, args.like), args.data)
    move_to(encoder.model, args.device)
    with together():
        features = extract_features(encoder.model, encoder.dataset(args.split), args.batch_size)
    if not is_main_process():
        return
    out = args.out or f'{osp.splitext(checkpoint)[0]}_features_{file_name(f"{encoder.data}_{args.split}")}.npz'
    save_features(out, features, encoder.store.classes)
    print(f'{out}: features {features.feats.shape} of split {args.split!r}')
    if args.tensorboard:
        store = encoder.store
        print(save_projector(args.tensorboard, features, store.classes,
                             lambda i: store.keypoints(store.positions[features.ids[i]]), store.layout))


def _of_clips(args: argparse.Namespace) -> bool:
    """Return whether the clips are read one by one: not from a store as it is, or for a saved encoder."""
    from mmskelssl.inference.saved.hub import is_saved
    # A name that is no path may be that of a store which the encoder was trained on.
    plain = args.data is None or osp.isfile(osp.join(args.data, 'index.json')) or (
        args.data != '-' and osp.basename(args.data) == args.data and not osp.lexists(args.data))
    options = (args.window, args.stride, args.persons, args.layout, args.fps)
    return args.convert or any(value is not None for value in options) or not plain or is_saved(args.checkpoint)


def run_on_clips(args: argparse.Namespace) -> None:
    """Extract the features of clips from any source, or of the windows of recordings."""
    import tempfile

    import numpy as np

    from mmskelssl.commands.clip_sources import read_clips, refuse_inputs
    from mmskelssl.commands.feature_files import save_features, save_projector
    from mmskelssl.evaluation.features import Features
    from mmskelssl.inference.extractor import open_encoder
    from mmskelssl.inference.windows import columns, cut
    if args.data and args.out:
        refuse_inputs([args.data], args.out)
    if not (args.data and args.out):
        raise UserError('--data CLIPS and --out FILE are needed for a saved encoder, for files and for windows')
    if args.window is None and (args.stride is not None or args.persons):
        raise UserError('--stride and --persons are for long recordings: add --window SECONDS')
    extractor = open_encoder(args.checkpoint, args.device, args.batch_size, args.imports, args.like)
    parts: list[Features] = []
    extra: dict[str, list] = {}
    classes: list[str] = []
    pictured: list[np.ndarray] = []
    with tempfile.TemporaryDirectory() as folder:
        for clips in read_clips([args.data], extractor, folder, args.split, args.layout, args.fps):
            classes = classes or list(clips.classes)
            if args.window is not None:
                rate = clips.fps or extractor.fps
                if rate is None:
                    raise UserError('the frame rate of the recordings is not known: add --fps')
                stride = .5 if args.stride is None else args.stride
                recordings = clips
                clips, windows = cut(clips, args.window, stride, rate, args.persons != 'together')
                for key, values in columns(recordings.ids, windows).items():
                    extra[key] = [*extra.get(key, []), *values]
            parts.append(extractor.of_clips(clips, args.convert))
            if args.tensorboard:  # kept, because their files may be temporary
                pictured += [np.array(clips.read(i)[0]) for i in range(len(clips))]
                layout = clips.layout
    features = Features(np.concatenate([part.feats for part in parts]), np.concatenate([part.labels for part in parts]),
                        [name for part in parts for name in part.ids])
    more = {key: np.array([-1 if value is None else value for value in values]) for key, values in extra.items()}
    save_features(args.out, features, classes, more)
    print(f'{args.out}: features {features.feats.shape}')
    if args.tensorboard:
        print(save_projector(args.tensorboard, features, classes, pictured.__getitem__, layout, more))
