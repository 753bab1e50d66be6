"""Convert an official checkpoint to the format of this package.

Examples:
  mmskelssl convert actclr epoch300_model.pt work_dirs/official/actclr.pth
  mmskelssl convert skeletonclr weights.pt out.pth --layout ntu25
  mmskelssl convert slim ntu60_xsub/model.safetensors work_dirs/official/slim.pth
"""
import argparse

METHODS = dict(actclr='ActCLR', aimclr='AimCLR', skeletonclr='SkeletonCLR', slim='SLiM')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('kind', choices=sorted(METHODS))
    parser.add_argument('source', help='official .pt file, or model.safetensors of SLiM')
    parser.add_argument('target', help='.pth file to write')
    parser.add_argument('--layout', default='ntu25', help='layout of the joints (default ntu25)')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.official import convert
    convert(METHODS[args.kind], args.source, args.target, args.layout)
