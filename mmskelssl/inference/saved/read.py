"""Reads and checks saved models. No value of a file is trusted, and nothing in it is executed."""
import math
import os.path as osp

from mmskelssl.datasets.store.schema import is_name
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_whole
from mmskelssl.engine.checkpoint_schema import check_description, check_fields, decode_object
from mmskelssl.engine.rebuild import build_model
from mmskelssl.errors import UserError
from mmskelssl.inference.change import check_fps
from mmskelssl.inference.saved import CARD, CONFIG, FORMAT, VERSION, WEIGHTS
from mmskelssl.inference.saved.hub import find_folder, is_saved
from mmskelssl.inference.saved.member import Member
from mmskelssl.inference.weights import read_file, read_weights
from mmskelssl.models.base import SkeletonEncoder

MAX_CONFIG = 1 << 24  # bytes
MAX_MEMBERS, MAX_CLASSES = 16, 100_000
_HINT = f': a saved model has {CONFIG} and {WEIGHTS}'


def read_encoder(source: str) -> tuple[SkeletonEncoder, dict]:
    """Return the model and the description of an encoder.

    Args:
        source: A checkpoint, the folder of a saved encoder, or ``zoo/NAME``.
    """
    if not is_saved(source):
        return build_from_checkpoint(source)
    _, (member,) = read_folder(find_folder(source), 'encoder')
    return member.model, member.info


def read_folder(folder: str, kind: str) -> tuple[dict, list[Member]]:
    """Read and check a saved model.

    Args:
        folder: Local folder, see :func:`~mmskelssl.inference.saved.hub.find_folder`.
        kind: Kind that is expected: ``encoder`` or ``classifier``.

    Returns:
        The content of ``config.json`` and the members, with their weights.

    Raises:
        UserError: If a file is missing, damaged or crafted. The message names it.
    """
    config = read_config(folder)
    where = osp.join(folder, CONFIG)
    if config['kind'] != kind:
        other = 'SkeletonClassifier' if config['kind'] == 'classifier' else 'FeatureExtractor'
        raise UserError(f'{folder} is a saved {config["kind"]}, not a saved {kind}: load it with '
                        f'{other}.from_pretrained')
    tensors = read_weights(osp.join(folder, WEIGHTS), _HINT)
    members = []
    for i, info in enumerate(config['members']):
        model = build_model(info['model'], where)
        own = {name: tensors.pop(name) for name in [*tensors] if name.startswith(f'{i}.')}
        load_whole(model, dict(state_dict={name.partition('.')[2]: value for name, value in own.items()}),
                   osp.join(folder, WEIGHTS), '')
        members.append(Member(model.eval(), info))
    if tensors:
        raise UserError(f'{osp.join(folder, WEIGHTS)}: {min(tensors)!r} belongs to no member of the model')
    return config, members


def read_config(folder: str) -> dict:
    """Read and check ``config.json``, without the weights."""
    path = osp.join(folder, CONFIG)
    data = read_file(path, MAX_CONFIG, _HINT)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UserError(f'{path}: not text in UTF-8 (byte {error.start})') from error
    config = decode_object(text, 'content', path)
    if config.get('format') != FORMAT or type(config.get('version')) is not int:
        raise UserError(f'{path}: not the config of a model that mmskelssl has saved')
    if not 1 <= config['version'] <= VERSION:
        raise UserError(f'{path}: format version {config["version"]}, this program reads 1 to {VERSION}: upgrade '
                        'mmskelssl')
    if config.get('kind') not in ('encoder', 'classifier'):
        raise UserError(f'{path}: kind is neither encoder nor classifier')
    config['fps'] = check_fps(config.get('fps'), f'{path}: fps')
    members = config.get('members')
    most = 1 if config['kind'] == 'encoder' else MAX_MEMBERS
    if not isinstance(members, list) or not 1 <= len(members) <= most \
            or not all(isinstance(member, dict) for member in members):
        raise UserError(f'{path}: members is not a list of 1 to {most} objects')
    expected = 'FrozenEncoder' if config['kind'] == 'encoder' else 'SkeletonClassifier'
    for i, info in enumerate(members):
        check_fields(info, path, f'members[{i}]', decoded=('model', 'dataset'))
        if not {'model', 'dataset'} <= set(info):
            raise UserError(f'{path}: members[{i}] has no model or no dataset')
        members[i] = info = check_description(info, path)
        if info['model']['type'] != expected:
            raise UserError(f'{path}: members[{i}].model is not a {expected}')
    if config['kind'] == 'classifier':
        _check_classifier(config, path)
    return config


def read_card(folder: str) -> str:
    """Return the text of the card, or an empty one if there is none."""
    path = osp.join(folder, CARD)
    return read_file(path, MAX_CONFIG, _HINT).decode(errors='replace') if osp.isfile(path) else ''


def _check_classifier(config: dict, path: str) -> None:
    classes = config.get('classes')
    if not isinstance(classes, list) or not 2 <= len(classes) <= MAX_CLASSES or not all(map(is_name, classes)) \
            or len(set(classes)) < len(classes):
        raise UserError(f'{path}: classes is not a list of two or more different names')
    weights = config.get('weights')
    if not isinstance(weights, list) or len(weights) != len(config['members']) \
            or not all(_number(weight) for weight in weights):
        raise UserError(f'{path}: weights is not a list of one number for each member')
    if not _number(config.get('temperature')) or not 1e-6 <= config['temperature'] <= 1e6:
        raise UserError(f'{path}: temperature is not a number from 1e-6 to 1e6')
    if not _number(config.get('threshold')) or not 0 <= config['threshold'] <= 1:
        raise UserError(f'{path}: threshold is not a probability')
    for i, info in enumerate(config['members']):
        if info['model'].get('num_classes') != len(classes):
            raise UserError(f'{path}: members[{i}].model.num_classes is not the number of classes, {len(classes)}')


def _number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
