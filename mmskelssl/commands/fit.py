"""Fit a classifier on a labelled store, and save it with calibrated probabilities and a model card.

With several checkpoints, such as the streams of one method, their scores are averaged. The probabilities are calibrated
on clips that are held out of the training split. The card states the accuracy on the test splits of the store.

Examples:
  mmskelssl fit work_dirs/mine/epoch_300.pth --data data/mine --out models/mine
  mmskelssl fit JOINT.pth BONE.pth MOTION.pth --data data/nwucla --reject 0.05 --out models/nwucla
  mmskelssl fit CKPT --data data/mine --recipe finetune:small --out models/tuned
  mmskelssl fit zoo/simclr-nwucla-joint --data data/mine --out models/mine
"""
import argparse

from mmskelssl.commands.arguments import add_imports, refuse_twice, seed


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoints', nargs='+', metavar='CKPT',
                        help='checkpoints, work_dirs to use their last ones, saved encoders, or zoo/NAME')
    parser.add_argument('--data', required=True, metavar='STORE', help='labelled store')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to create')
    parser.add_argument('--recipe', metavar='NAME',
                        help='linear recipe (logreg-cv, logreg, paper, ...) or finetune:NAME, such as finetune:small; '
                             'default: logreg-cv, which chooses C on training clips, and logreg for the benchmarks')
    parser.add_argument('--train-split', default='train', metavar='SPLIT', help='split to fit on (default train), or '
                        'all')
    parser.add_argument('--test-splits', nargs='*', metavar='SPLIT', help='splits to measure on; default: those of the '
                        'store that belong to the training split')
    parser.add_argument('--reject', type=float, metavar='SHARE', help='answer "unknown" below a threshold that refuses '
                        'at most this share of held-out clips, such as 0.05; default: refuse none')
    parser.add_argument('--left-out', type=int, metavar='N', help='classes to leave out in turn, to measure unknown '
                        'movements; default: up to 20, and none for finetune')
    parser.add_argument('--fps', type=float, help='frames per second of the clips, if the store does not say it')
    parser.add_argument('--data-licence', metavar='TEXT', help='licence of the data, for the card')
    parser.add_argument('--seed', type=seed, default=0, help='seed of the held-out parts and of the recipe (default 0)')
    parser.add_argument('--batch-size', type=int, default=256, help='clips per batch (default 256)')
    parser.add_argument('--device', help='such as cuda; default: the GPU if there is one')
    parser.add_argument('--overwrite', action='store_true', help='replace a saved model')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.inference.extractor import open_encoder
    from mmskelssl.inference.fit import fit_classifier
    from mmskelssl.inference.saved.write import check_place
    check_place(args.out, args.overwrite)  # now, not after the training
    refuse_twice(args.checkpoints)
    extractors = [open_encoder(path, args.device, args.batch_size, args.imports) for path in args.checkpoints]
    classifier = fit_classifier(extractors, args.data, args.recipe, args.train_split, args.test_splits, args.reject,
                                args.left_out, args.seed, args.fps, args.data_licence)
    classifier.save_pretrained(args.out, overwrite=args.overwrite)
    for line in summary(classifier.config['report']):
        print(line)
    print(f'{args.out}: classifier of {len(classifier.classes)} classes, with its card in README.md')


def summary(report: dict) -> list[str]:
    """Return the measurements of a classifier in a few lines."""
    from mmskelssl.errors import printable
    from mmskelssl.inference.card import accuracy
    lines = [f'{printable(row["split"])}: top-1 {accuracy(row)} %, n={row["num_test"]}, calibration error '
             f'{row["ece_before"]:.1f} -> {row["ece"]:.1f} %' + (f', {row["rejected"]:.1f} % unknown'
                                                                  if report['threshold'] else '')
             for row in (*report['tests'], report['held_out'])]
    if report.get('C'):
        lines.insert(0, f'{report["recipe"]}: C = {", ".join(f"{value:.3g}" for value in report["C"])}, chosen on the '
                        'training clips')
    if not report['tests']:
        lines.append('note: the store has no test split for this training split; the accuracy is that of held-out '
                     'training clips')
    if report['left_out']:
        lines.append(f'note: never predicted, without training clips: {printable(", ".join(report["left_out"]))}')
    unknown = report['unknown']
    if unknown['auroc'] is not None:
        lines.append(f'unknown movements: mean AUROC {unknown["auroc"]:.3f} over {unknown["classes"]} classes left out '
                     'in turn (0.5 is chance)')
    return lines
