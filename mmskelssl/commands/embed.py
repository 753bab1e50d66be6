"""Write the features that a pre-trained encoder computes for the clips of a store, for use in other programs.

The file is a plain npz with: features (N, D) float32; labels (N,) int64, -1 for clips without a label; ids (N,), the
names of the clips; classes, the names of the labels, empty if the store has none. numpy.load reads it without pickles.

Examples:
  mmskelssl embed work_dirs/aimclr_toy/epoch_16.pth --out features.npz
  mmskelssl embed CKPT --data data/nwucla --split test --out nwucla_test.npz --device cuda
  mmskelssl embed work_dirs/official/actclr.pth --like actclr_ntu60 --data data/ntu60
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint, or a work_dir to use its last one')
    parser.add_argument('--data', metavar='STORE', help='default: the store that it was trained on')
    parser.add_argument('--like', metavar='CONFIG',
                        help='preprocess as this config does; for a checkpoint that does not describe its own '
                             'preprocessing, such as a converted one')
    parser.add_argument('--split', default='all', help='split of the store (default all)')
    parser.add_argument('--out', metavar='FILE', help='npz to write; default: '
                        'DIR_OF_CKPT/NAME_OF_CKPT_features_STORE_SPLIT.npz')
    parser.add_argument('--batch-size', type=int, default=256, help='clips per batch (default 256)')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.engine.work_dir import last_checkpoint
    from mmskelssl.evaluation.features import extract_features
    from mmskelssl.inference.encoder import build_encoder, move_to, pair_with_data
    from mmskelssl.names import file_name
    import_plugins(args.imports)
    checkpoint = last_checkpoint(args.checkpoint)
    encoder = pair_with_data(checkpoint, *build_encoder(checkpoint, args.like), args.data)
    move_to(encoder.model, args.device)
    features = extract_features(encoder.model, encoder.dataset(args.split), args.batch_size)
    out = args.out or f'{osp.splitext(checkpoint)[0]}_features_{file_name(f"{encoder.data}_{args.split}")}.npz'
    save_features(out, features, encoder.store.classes)
    print(f'{out}: features {features.feats.shape} of split {args.split!r}')


def save_features(path: str, features, classes: list[str]) -> None:
    """Write ``features``, ``labels``, ``ids`` and ``classes`` atomically to an npz.

    Raises:
        UserError: If the file cannot be written.
    """
    import io

    import numpy as np

    from mmskelssl.atomic import write_atomically
    data = io.BytesIO()
    np.savez(data, features=features.feats, labels=features.labels, ids=np.array(features.ids, dtype=str),
             classes=np.array(classes, dtype=str))
    try:
        write_atomically(path, data.getvalue())
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another place with --out') \
            from error
