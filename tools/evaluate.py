"""Measure encoders under the papers' protocols: results.json, scores by sample id, pictures and a table.

  knn        nearest neighbours among the training clips          1nn 20nn
  linear     a linear layer on frozen features                    logreg paper paper-actclr paper-skeattnclr paper-crrl
  finetune   encoder and linear layer                             small paper-actclr paper-skeattnclr paper-crrl
  semi       the same with 1, 5 and 10 % of the labels            small paper-actclr paper-skeattnclr
  retrieval  mAP and recall of training clips                     cosine
  cluster    k-means against the classes: NMI, ARI, accuracy      kmeans
  all        all of these
  transfer   linear and finetune on another store (--data)
  ensemble   several checkpoints, such as streams, or .npz of scores, joined by sample id

The last epoch counts; nothing is chosen on a test split.

Examples:
  python tools/evaluate.py all work_dirs/aimclr_toy/epoch_16.pth --untrained
  python tools/evaluate.py linear CKPT --recipe paper --data data/nwucla --split-pairs train:test xsub_train:xsub_test
  python tools/evaluate.py transfer CKPT --data data/msr
  python tools/evaluate.py ensemble JOINT.pth BONE.pth MOTION.pth --of linear finetune --weights validation
  python tools/evaluate.py ensemble a_eval/scores/A.npz b_eval/scores/B.npz --out work_dirs/fused
"""
import argparse
import os.path as osp

from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.evaluation.ensemble import FUSIONS
from mmskelssl.evaluation.protocols import PROTOCOLS

RECIPES = list(dict.fromkeys(name for protocol in PROTOCOLS.values() for name in protocol.RECIPES))


def add_common(parser: argparse.ArgumentParser) -> None:
    """Options shared with tools/test.py."""
    parser.add_argument('--data', metavar='STORE', help='store to measure on; default the one it was trained on')
    parser.add_argument('--out', metavar='DIR', help='where results.json goes; default DIR_OF_CKPT/NAME_OF_CKPT_eval')
    parser.add_argument('--recipe', nargs='+', choices=RECIPES, metavar='NAME', help=f'some of {", ".join(RECIPES)}; '
                        'default 1nn 20nn logreg paper small cosine kmeans; a protocol with none of them is left out')
    parser.add_argument('--split-pairs', nargs='+', metavar='TRAIN:TEST', help='default: every pair that the '
                        'store has; only the one that was pre-trained on is the published protocol')
    parser.add_argument('--untrained', action='store_true', help='also measure the same encoder before training')
    parser.add_argument('--seed', type=int, default=0, help='of the probe, and of the choice of few labels')
    parser.add_argument('--batch-size', type=int, default=256, help='of feature extraction; changes no number')
    parser.add_argument('--device', help='such as cuda; default the GPU where there is one')
    parser.add_argument('--no-pictures', action='store_true', help='draw no confusion matrices')
    parser.add_argument('--imports', nargs='+', default=[], metavar='PLUGIN',
                        help='modules, or paths of packages and files, to import first')


def common(args: argparse.Namespace) -> dict:
    """What :func:`add_common` added, as arguments of mmskelssl.commands.measure."""
    return dict(recipes=args.recipe, pairs=args.split_pairs, untrained=args.untrained, seed=args.seed, data=args.data,
                batch_size=args.batch_size, device=args.device, imports=args.imports, pictures=not args.no_pictures)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('protocol', choices=[*PROTOCOLS, 'all', 'transfer', 'ensemble'])
    parser.add_argument('checkpoints', nargs='+', metavar='CKPT')
    add_common(parser)
    parser.add_argument('--of', nargs='+', choices=['knn', 'linear', 'finetune', 'semi'], default=['linear'],
                        help='ensemble: protocols whose scores are joined (default linear)')
    parser.add_argument('--weights', choices=FUSIONS, default='equal',
                        help='ensemble: equal (default), chosen on a held-out fifth of the training clips, or a '
                             "paper's fixed ones, which were tuned on test")
    parser.add_argument('--names', nargs='+', default=[], metavar='NAME',
                        help='what the encoders are called in the table, one for each checkpoint (runs of one method '
                             'with other options, say); default their methods')
    return parser.parse_args()


@one_line_errors
def main() -> None:
    args = parse_args()
    from mmskelssl.commands import measure as command
    out = args.out or osp.splitext(args.checkpoints[-1])[0] + '_eval'
    if args.protocol == 'ensemble':
        if args.names:
            raise UserError('--names: the members of an ensemble go by their methods and streams')
        command.ensemble_checkpoints(args.checkpoints, out, args.weights, args.of, **common(args))
    elif args.protocol == 'transfer':
        command.transfer_checkpoints(args.checkpoints, out, names=args.names, **common(args))
    else:
        protocols = list(PROTOCOLS) if args.protocol == 'all' else [args.protocol]
        command.evaluate_checkpoints(args.checkpoints, protocols, out, names=args.names, **common(args))


if __name__ == '__main__':
    main()
