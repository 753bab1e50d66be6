"""Write an encoder's weights for sharing to a safetensors file, which can only contain tensors and text.

Examples:
  mmskelssl export work_dirs/aimclr_ntu60/epoch_300.pth aimclr_ntu60.safetensors
"""
import argparse
import json

from mmskelssl.errors import UserError

# Keys of meta['mmskelssl'] that describe how to build the encoder and where it comes from.
EXPORTED = ('model', 'dataset', 'method', 'stream', 'seed', 'epoch', 'iteration', 'data_hash', 'config_hash', 'source',
            'world_size', 'epoch_length', 'spec_version')


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint')
    parser.add_argument('out', help='path of the .safetensors file')
    parser.add_argument('--prefix', default='backbone.', help='prefix of the tensors to write (default backbone.)')


def run(args: argparse.Namespace) -> None:
    print(f'{export_weights(**vars(args))} tensors written to {args.out}')


def export_weights(checkpoint: str, out: str, prefix: str = 'backbone.') -> int:
    """Write the tensors below ``prefix``, with the prefix removed, and the description of their module.

    Args:
        checkpoint: Path of a checkpoint of this package.
        out: Path of the ``.safetensors`` file. Its header contains ``mmskelssl``: JSON with the keys :data:`EXPORTED`.
        prefix: Prefix of a part of the model.

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
    from mmskelssl.engine.checkpoint import load_checkpoint
    content = load_checkpoint(checkpoint)
    tensors = {name.removeprefix(prefix): value.detach().contiguous().clone()  # copied, because it may share memory
               for name, value in content['state_dict'].items() if name.startswith(prefix)}
    if not tensors:
        raise UserError(f'{checkpoint}: no tensor begins with {prefix!r}; there are '
                        f'{", ".join(sorted({name.split(".")[0] for name in content["state_dict"]}))}')
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(f'{checkpoint}: {prefix}{bad[0]} holds NaN or infinite values; take an earlier checkpoint')
    given = content['meta'].get('mmskelssl') or {}
    try:
        write_atomically(out, save(tensors, {'mmskelssl': json.dumps({k: given[k] for k in EXPORTED if k in given})}))
    except OSError as error:
        raise UserError(f'{out} cannot be written: {error.strerror or error}; choose another place') from error
    return len(tensors)
