"""Write the features of a store's clips, as a pre-trained encoder makes them, for any other program.

The file is a plain npz: features (N, D) float32; labels (N,) int64, -1 where there is none; ids (N,), the clips' names;
classes, the names of the labels, empty where the store has none. numpy.load reads it without pickles.

Examples:
  mmskelssl embed work_dirs/aimclr_toy/epoch_16.pth --out features.npz
  mmskelssl embed CKPT --data data/nwucla --split test --out nwucla_test.npz --device cuda
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CKPT')
    parser.add_argument('--data', metavar='STORE', help='default the store that it was trained on')
    parser.add_argument('--split', default='all', help='split of the store (default all)')
    parser.add_argument('--out', metavar='FILE', help='npz to write; default DIR_OF_CKPT/NAME_OF_CKPT_features.npz')
    parser.add_argument('--batch-size', type=int, default=256, help='clips encoded at once (default 256)')
    parser.add_argument('--device', help='such as cuda; default the GPU where there is one')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.encoder import move_to, pair_with_data
    from mmskelssl.engine.checkpoint import build_from_checkpoint
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.evaluation.features import extract_features
    import_plugins(args.imports)
    encoder = pair_with_data(args.checkpoint, *build_from_checkpoint(args.checkpoint), args.data)
    move_to(encoder.model, args.device)
    features = extract_features(encoder.model, encoder.dataset(args.split), args.batch_size)
    out = args.out or osp.splitext(args.checkpoint)[0] + '_features.npz'
    save_features(out, features, encoder.store.classes)
    print(f'{out}: features {features.feats.shape} of split {args.split!r}')


def save_features(path: str, features, classes: list[str]) -> None:
    """Write ``features``, ``labels``, ``ids`` and ``classes`` as an npz, whole or not at all."""
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
