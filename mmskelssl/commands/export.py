"""Write a model for other programs. The suffix of the file chooses the format.

  .safetensors  weights of the encoder and their description, for sharing; the file can only contain tensors and text
  .onnx         a graph for onnxruntime and other ONNX runtimes, without PyTorch and this package
  .pt2          a program for torch.export.load

A graph takes prepared clips (N, C, T, V, M), the output of the pipeline, or with --whole one raw clip (M, T, V, C) of
any length: preprocessing, stream and encoder are part of it. An encoder gives features, and a classifier probabilities.

Examples:
  mmskelssl export work_dirs/aimclr_ntu60/epoch_300.pth aimclr_ntu60.safetensors
  mmskelssl export work_dirs/aimclr_toy encoder.onnx
  mmskelssl export models/mine classifier.onnx --whole
  mmskelssl export models/mine small.onnx --whole --int8 --data data/mine
"""
import argparse
import json
import os.path as osp

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError

# Keys of meta['mmskelssl'] that describe how to build the encoder and where it comes from.
EXPORTED = ('model', 'dataset', 'method', 'stream', 'seed', 'epoch', 'iteration', 'data_hash', 'config_hash', 'source',
            'world_size', 'epoch_length', 'spec_version')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint', metavar='CKPT | DIR', help='checkpoint, work_dir to use its last one, or folder '
                        'of a saved encoder or classifier')
    parser.add_argument('out', help='file to write: .safetensors, .onnx or .pt2')
    parser.add_argument('--whole', action='store_true', help='.onnx and .pt2: the whole way from a raw clip')
    parser.add_argument('--int8', action='store_true', help='.onnx: dynamic quantisation to 8-bit integers; measures '
                        'what it costs in accuracy')
    parser.add_argument('--data', metavar='STORE', help='--int8: store to measure on; default: the store that the '
                        'encoder was trained on')
    parser.add_argument('--like', metavar='CONFIG', help='.onnx and .pt2: preprocess as this config does, for a '
                        'checkpoint that does not describe its own preprocessing')
    parser.add_argument('--layout', help='.onnx and .pt2: layout of the clips, for an encoder of several layouts')
    parser.add_argument('--prefix', help='.safetensors: prefix of the tensors to write (default: that of the '
                        'encoder whose features are used, usually backbone.)')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.engine.plugins import import_plugins
    suffix = osp.splitext(args.out)[1].lower()
    _check(args, suffix)
    import_plugins(args.imports)
    if suffix not in ('.onnx', '.pt2'):
        from mmskelssl.engine.work_dir import last_checkpoint
        from mmskelssl.inference.saved import WEIGHTS
        from mmskelssl.inference.saved.hub import find_folder, is_saved
        path = args.checkpoint
        if is_saved(path):
            raise UserError(f'{path} is a saved model: its weights are already in {find_folder(path)}/{WEIGHTS}')
        print(f'{export_weights(last_checkpoint(path), args.out, args.prefix)} tensors written to {args.out}')
        return
    from mmskelssl.inference.graphs import open_model
    from mmskelssl.inference.onnx import export_onnx, export_program, write_file
    model = open_model(args.checkpoint, args.like, args.layout)
    if suffix == '.pt2':
        export_program(model, args.out, args.whole)
    else:
        data = export_onnx(model, args.out, args.whole, write=not args.int8)
        if args.int8:
            from mmskelssl.inference.quantised import measure_cost, quantise
            small = quantise(data, args.out)
            cost = measure_cost(model, data, small, args.whole, args.data)
            write_file(args.out, small)
            print(f'{len(data) / 1e6:.2f} MB in float32, {len(small) / 1e6:.2f} MB in int8; {cost}')
    print(f'{args.out}: {osp.getsize(args.out) / 1e6:.2f} MB')


def _check(args: argparse.Namespace, suffix: str) -> None:
    """Refuse options that have no effect."""
    graph = suffix in ('.onnx', '.pt2')
    if not graph and suffix != '.safetensors':
        raise UserError(f'{args.out}: the suffix must be .safetensors, .onnx or .pt2')
    for name, possible, where in (('whole', graph, '.onnx and .pt2'), ('like', graph, '.onnx and .pt2'),
                                  ('layout', graph, '.onnx and .pt2'),
                                  ('int8', suffix == '.onnx', '.onnx'), ('data', args.int8, '--int8'),
                                  ('prefix', not graph, '.safetensors')):
        if getattr(args, name) and not possible:
            raise UserError(f'--{name} is for {where}: leave it out, or choose another file than {args.out}')


def export_weights(checkpoint: str, out: str, prefix: str | None = None) -> int:
    """Write the tensors below ``prefix``, with the prefix removed, and the description of their module.

    Args:
        checkpoint: Path of a checkpoint of this package.
        out: Path of the ``.safetensors`` file. Its header contains ``mmskelssl``: JSON with the keys :data:`EXPORTED`.
        prefix: Prefix of a part of the model. By default, that of the encoder whose features are used.

    Returns:
        The number of tensors.

    Raises:
        UserError: If no tensor has the prefix, weights are not finite, or the file cannot be written.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise UserError('safetensors is not installed: pip install safetensors') from None
    from mmskelssl.atomic import write_atomically
    from mmskelssl.engine.checkpoint import evaluated_prefix, load_checkpoint
    content = load_checkpoint(checkpoint)
    prefix = prefix or evaluated_prefix(content)
    tensors = {name.removeprefix(prefix): value.detach().contiguous().clone()  # copied, because it may share memory
               for name, value in content['state_dict'].items() if name.startswith(prefix)}
    if not tensors:
        raise UserError(f'{checkpoint}: no tensor begins with {prefix!r}; there are '
                        f'{", ".join(sorted({name.split(".")[0] for name in content["state_dict"]}))}')
    if '__metadata__' in tensors:
        raise UserError(f"{checkpoint}: a tensor is called '__metadata__', which safetensors reserves")
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(f'{checkpoint}: {prefix}{bad[0]} holds NaN or infinite values; take an earlier checkpoint')
    given = content['meta'].get('mmskelssl') or {}
    try:
        write_atomically(out, save(tensors, {'mmskelssl': json.dumps({k: given[k] for k in EXPORTED if k in given})}))
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error.strerror or error}; choose another place') from error
    return len(tensors)
