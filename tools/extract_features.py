"""Write the features of a store's clips, as a pre-trained encoder makes them, for any other program.

The file is a plain npz: features (N, D) float32; labels (N,) int64, -1 where there is none; ids (N,), the clips' names;
classes, the names of the labels, empty where the store has none. numpy.load reads it without pickles.

Examples:
  python tools/extract_features.py work_dirs/aimclr_toy/epoch_16.pth --out features.npz
  python tools/extract_features.py CKPT --data data/nwucla --split test --out nwucla_test.npz --device cuda
"""
import argparse
import io
import os.path as osp

import numpy as np

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.evaluation.features import Features


def save_features(path: str, features: Features, classes: list[str]) -> None:
    """Write ``features``, ``labels``, ``ids`` and ``classes`` as an npz, whole or not at all."""
    data = io.BytesIO()
    np.savez(data, features=features.feats, labels=features.labels, ids=np.array(features.ids, dtype=str),
             classes=np.array(classes, dtype=str))
    try:
        write_atomically(path, data.getvalue())
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another place with --out') \
            from error


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('checkpoint', metavar='CKPT')
    parser.add_argument('--data', metavar='STORE', help='default the store that it was trained on')
    parser.add_argument('--split', default='all', help='split of the store (default all)')
    parser.add_argument('--out', metavar='FILE', help='npz to write; default DIR_OF_CKPT/NAME_OF_CKPT_features.npz')
    parser.add_argument('--batch-size', type=int, default=256, help='clips encoded at once (default 256)')
    parser.add_argument('--device', help='such as cuda; default the GPU where there is one')
    parser.add_argument('--imports', nargs='+', default=[], metavar='PLUGIN',
                        help='modules, or paths of packages and files, to import first')
    args = parser.parse_args()
    from mmskelssl.apis import FeatureExtractor
    from mmskelssl.datasets.store.reader import SkeletonStore
    extractor = FeatureExtractor(args.checkpoint, args.device, args.batch_size, args.imports)
    features = extractor.of_store(args.data, args.split)
    out = args.out or osp.splitext(args.checkpoint)[0] + '_features.npz'
    save_features(out, features, SkeletonStore(args.data or extractor.store).classes)
    print(f'{out}: features {features.feats.shape} of split {args.split!r}')


if __name__ == '__main__':
    main()
