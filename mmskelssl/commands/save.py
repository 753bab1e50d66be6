"""Save the encoder of a checkpoint to a folder that can be shared: config.json, model.safetensors and a model card.

Load it in Python with FeatureExtractor.from_pretrained(FOLDER), or give the folder to other commands in place of the
checkpoint. A classifier is saved by mmskelssl fit.

Examples:
  mmskelssl save work_dirs/simclr_nwucla/epoch_300.pth --out models/nwucla --fps 30 --results results.json
"""
import argparse

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CKPT', help='checkpoint, or a work_dir to use its last one')
    parser.add_argument('--out', required=True, metavar='DIR', help='folder to create')
    parser.add_argument('--half', action='store_true', help='store the weights as float16, in half the space')
    parser.add_argument('--fps', type=float, help='frames per second of the training data, if the store does not say')
    parser.add_argument('--data-licence', metavar='TEXT', help='licence of the training data, for the card')
    parser.add_argument('--results', metavar='FILE', help='results.json with rows of this encoder, for the card')
    parser.add_argument('--overwrite', action='store_true', help='replace a saved model')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    import os.path as osp

    from mmskelssl.engine.work_dir import last_checkpoint
    from mmskelssl.evaluation.results import read_results
    from mmskelssl.inference.extractor import FeatureExtractor
    from mmskelssl.inference.saved.hub import find_folder, is_saved
    if args.results and not osp.isfile(args.results):
        raise UserError(f'{args.results}: no such file')
    if is_saved(args.checkpoint):
        raise UserError(f'{args.checkpoint} is a saved model already: copy its folder, {find_folder(args.checkpoint)}')
    extractor = FeatureExtractor(last_checkpoint(args.checkpoint), 'cpu', imports=args.imports, fps=args.fps)
    extractor.save_pretrained(args.out, args.half, args.overwrite, args.data_licence,
                              read_results(args.results) if args.results else ())
    print(f'{args.out}: encoder of {extractor.checkpoint}')
