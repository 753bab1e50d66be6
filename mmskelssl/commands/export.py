"""Write an encoder's weights for sharing: a safetensors file, which can hold nothing but tensors and text.

Examples:
  mmskelssl export work_dirs/aimclr_ntu60/epoch_300.pth aimclr_ntu60.safetensors
"""
import argparse
import json

from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('checkpoint')
    parser.add_argument('out', help='path of the .safetensors file')
    parser.add_argument('--prefix', default='backbone.', help='part of the model (default backbone.)')


def run(args: argparse.Namespace) -> None:
    print(f'{export_weights(**vars(args))} tensors written to {args.out}')


def export_weights(checkpoint: str, out: str, prefix: str = 'backbone.') -> int:
    """Write the tensors below ``prefix``, without it, and how to build their module.

    Args:
        checkpoint: Of ours.
        out: Path of the ``.safetensors`` file. Its header has ``mmskelssl``: JSON with model, data hash and so on.
        prefix: Part of the model.

    Returns:
        The number of tensors.
    """
    try:
        from safetensors.torch import save
    except ImportError:
        raise UserError('safetensors is not installed: pip install safetensors') from None
    from mmskelssl.atomic import write_atomically
    from mmskelssl.engine.checkpoint import load_checkpoint
    content = load_checkpoint(checkpoint)
    tensors = {name.removeprefix(prefix): value.contiguous() for name, value in content['state_dict'].items()
               if name.startswith(prefix)}
    if not tensors:
        raise UserError(f'{checkpoint}: no tensor begins with {prefix!r}; there are '
                        f'{", ".join(sorted({name.split(".")[0] for name in content["state_dict"]}))}')
    info = {key: value for key, value in content['meta'].get('mmskelssl', {}).items() if key != 'decisive'}
    write_atomically(out, save(tensors, {'mmskelssl': json.dumps(info)}))
    return len(tensors)
