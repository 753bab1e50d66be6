"""Measure encoders with the papers' protocols, and write results.json, scores by sample id, pictures and a table.

{protocols}
  all        all of these
  transfer   linear and finetune on another store (--data)
  ensemble   several checkpoints, such as streams, or .npz files of scores, fused by sample id

The last epoch is reported. Nothing is selected on a test split.

Examples:
  mmskelssl evaluate all work_dirs/aimclr_toy/epoch_16.pth --untrained
  mmskelssl evaluate knn work_dirs/aimclr_toy
  mmskelssl evaluate knn zoo/simclr-nwucla-joint --data data/nwucla
  mmskelssl evaluate linear CKPT --recipe paper --data data/nwucla --split-pairs train:test xsub_train:xsub_test
  mmskelssl evaluate transfer CKPT --data data/msr
  mmskelssl evaluate cluster CKPT --data data/without_labels
  mmskelssl evaluate ensemble JOINT.pth BONE.pth MOTION.pth --of linear finetune --weights validation
  mmskelssl evaluate ensemble a_eval/scores/A.npz b_eval/scores/B.npz --out work_dirs/fused
"""
import argparse
import os.path as osp
import textwrap

from mmskelssl.commands.arguments import add_imports, add_launcher, seed
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.description = __doc__.replace('{protocols}', describe_protocols())
    parser.add_argument('protocol', metavar='PROTOCOL', help='one of those above, or from a plug-in')
    parser.add_argument('checkpoints', nargs='+', metavar='CKPT',
                        help='checkpoints, work_dirs to use their last ones, saved encoders, or zoo/NAME (whose '
                        'results are in work_dirs/NAME_eval)')
    add_common(parser)
    parser.add_argument('--of', nargs='+', metavar='PROTOCOL',
                        help='ensemble: protocols whose scores are fused (default linear)')
    add_weights(parser, 'ensemble: equal (default), validation (chosen on a held-out fifth of the training clips), a '
                        'number for each checkpoint, or the fixed weights of a paper, which were tuned on the test '
                        'split')
    parser.add_argument('--clusters', type=int, metavar='K',
                        help='cluster: find K clusters without labels, and draw them; for a store without any label, '
                             'the default is the number with the best silhouette')
    parser.add_argument('--names', nargs='+', default=[], metavar='NAME',
                        help='names of the encoders in the table, one for each checkpoint, for example for runs of one '
                             'method with different options; runs of different seeds may share a name; default: their '
                             'methods')


def add_weights(parser: argparse.ArgumentParser, help: str) -> None:
    """Add ``--weights``. The help lists the names of weights."""
    from mmskelssl.evaluation.ensemble import PUBLISHED, TOGETHER
    named = '; '.join(f'{name} (equal, for {", ".join(streams)})' for name, streams in TOGETHER.items())
    parser.add_argument('--weights', nargs='+', metavar='WEIGHT',
                        help=f'{help}: {", ".join(PUBLISHED)}; {named}')


def describe_protocols() -> str:
    """Return the summary and the recipes of each protocol."""
    from mmskelssl.evaluation.protocols import PROTOCOLS
    lines = []
    for name, protocol in PROTOCOLS.items():
        lines.append(f'  {name:<10} {(protocol.__doc__ or "").partition(chr(10))[0].rstrip(".")}')
        lines += textwrap.wrap('recipes: ' + ' '.join(protocol.RECIPES), 120, initial_indent=' ' * 15,
                               subsequent_indent=' ' * 17, break_on_hyphens=False)
    return '\n'.join(lines)


def default_recipes() -> str:
    """Return the names of the default recipes of all protocols."""
    from mmskelssl.evaluation.protocols import PROTOCOLS
    return ' '.join(dict.fromkeys(name for protocol in PROTOCOLS.values() for name in protocol.DEFAULTS)) + \
        ' (logreg-cv instead of logreg on your own data)'


def add_common(parser: argparse.ArgumentParser) -> None:
    """Add the options shared with the command ``test``."""
    parser.add_argument('--data', metavar='STORE', help='store to measure on; default: the one it was trained on, or '
                        'each of several')
    parser.add_argument('--out', metavar='DIR', help='folder for results.json; default: DIR_OF_CKPT/NAME_OF_CKPT_eval')
    parser.add_argument('--recipe', nargs='+', metavar='NAME[:FIELD=VALUE,...]',
                        help=f'recipes to run; default: {default_recipes()}; a protocol without any of them is '
                             'skipped. Settings are changed after a colon, as in paper-actclr:epochs=150,steps=80/120')
    parser.add_argument('--split-pairs', nargs='+', metavar='TRAIN:TEST', help='default: every pair in the '
                        'store; only the pair used for pre-training follows the published protocol')
    parser.add_argument('--untrained', action='store_true', help='also measure the same encoder before training')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the probe and of the label subsets')
    parser.add_argument('--batch-size', type=int, default=256, help='batch size of feature extraction; does not change '
                        'any result')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    parser.add_argument('--no-pictures', action='store_true', help='do not draw confusion matrices')
    add_imports(parser)
    add_launcher(parser)


def common(args: argparse.Namespace) -> dict:
    """Return the options of :func:`add_common` as arguments of mmskelssl.commands.measure."""
    return dict(recipes=args.recipe, pairs=args.split_pairs, untrained=args.untrained, seed=args.seed, data=args.data,
                batch_size=args.batch_size, device=args.device, imports=args.imports, pictures=not args.no_pictures)


def default_out(path: str) -> str:
    """Return the folder of the results about a checkpoint or a saved encoder."""
    if path.startswith('zoo/') and not osp.exists(path):
        path = osp.join('work_dirs', path.removeprefix('zoo/'))
    return (path.rstrip('/') if osp.isdir(path) else osp.splitext(path)[0]) + '_eval'


def run(args: argparse.Namespace) -> None:
    from mmskelssl.engine.distributed import launched
    with launched(args.launcher):
        run_here(args)


def run_here(args: argparse.Namespace) -> None:
    """Run in this process, which may be one of several."""
    from mmskelssl.commands import measure
    from mmskelssl.commands.clusters import cluster_checkpoints, without_labels
    from mmskelssl.engine.plugins import import_plugins
    from mmskelssl.engine.work_dir import last_checkpoint
    from mmskelssl.evaluation.ensemble import parse_weights
    from mmskelssl.evaluation.protocols import PROTOCOLS
    from mmskelssl.inference.saved.hub import is_saved
    import_plugins(args.imports)
    if args.protocol != 'ensemble' and (args.weights or args.of):
        raise UserError('--weights and --of are for the protocol ensemble')
    args.checkpoints = [path if is_saved(path) else last_checkpoint(path) for path in args.checkpoints]
    out = args.out or default_out(args.checkpoints[-1])
    if args.protocol == 'ensemble':
        if args.names:
            raise UserError('--names: the members of an ensemble go by their methods and streams')
        if args.launcher != 'none' and args.checkpoints[0].endswith('.npz'):
            raise UserError('--launcher: files of scores are fused in one process')
        weights = parse_weights(args.weights or 'equal')
        measure.ensemble_checkpoints(args.checkpoints, out, weights, args.of or ['linear'], **common(args))
    elif args.protocol == 'cluster' and (args.clusters is not None or without_labels(args.checkpoints[0], args.data)):
        if args.names or args.recipe or args.split_pairs or args.untrained or args.launcher != 'none':
            raise UserError('clusters without labels take no --names, --recipe, --split-pairs, --untrained or '
                            '--launcher')
        cluster_checkpoints(args.checkpoints, out, args.clusters, args.data, seed=args.seed,
                            batch_size=args.batch_size, device=args.device, pictures=not args.no_pictures)
    elif args.clusters is not None:
        raise UserError('--clusters is for the protocol cluster')
    elif args.protocol == 'transfer':
        measure.transfer_checkpoints(args.checkpoints, out, names=args.names, **common(args))
    else:
        protocols = list(PROTOCOLS) if args.protocol == 'all' else [args.protocol]
        measure.evaluate_checkpoints(args.checkpoints, protocols, out, names=args.names, **common(args))
