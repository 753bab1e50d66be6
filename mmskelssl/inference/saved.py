"""The folder of a saved model: ``config.json``, ``model.safetensors`` and ``README.md``.

``config.json`` contains plain data: the frame rate, the classes, and for each member the description of its model and
its preprocessing, with the same schema and the same allow-list as in a checkpoint. ``model.safetensors`` contains the
tensors of member ``i`` under ``i.``. Loading executes nothing.
"""
import json
import math
import os
import os.path as osp
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
import torch

from mmskelssl import __version__
from mmskelssl.atomic import write_atomically
from mmskelssl.datasets.skeleton_dataset import about_data, describe_data
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import is_name
from mmskelssl.engine.checkpoint import load_whole
from mmskelssl.engine.checkpoint_schema import check_description, check_fields, decode_object
from mmskelssl.engine.rebuild import MAX_BYTES, MAX_TENSORS, build_model
from mmskelssl.errors import UserError
from mmskelssl.inference.change import check_fps
from mmskelssl.models.base import SkeletonEncoder
from mmskelssl.shipped import PACKAGE

CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
FORMAT, VERSION = 'mmskelssl', 1
ZOO = PACKAGE / 'zoo'
MAX_CONFIG, MAX_HEADER = 1 << 24, 1 << 24  # bytes
MAX_MEMBERS, MAX_CLASSES = 16, 100_000
_DTYPES = {torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int64, torch.int32, torch.uint8,
           torch.bool}
# Keys of a checkpoint's description that a saved model keeps. The path of the store is not among them.
_KEPT = ('method', 'stream', 'seed', 'epoch', 'iteration', 'data_hash', 'config_hash', 'source', 'spec_version')
_HUB_ID = re.compile(r'[\w-][\w.-]*/[\w-][\w.-]*')


@dataclass
class Member:
    """An encoder of a saved model.

    Args:
        model: A :class:`~mmskelssl.models.FrozenEncoder`, or a :class:`~mmskelssl.models.SkeletonClassifier`.
        info: Its description, with ``model`` and ``dataset`` as dicts.
    """
    model: SkeletonEncoder
    info: dict


def model_config(config: dict, kind: str = 'FrozenEncoder', **arguments) -> dict:
    """Return the config of the encoder inside a model, without what only pre-training needs.

    Args:
        config: Config of the model.
        kind: Type of the new model.
        **arguments: Further arguments of it.
    """
    preprocessor = {key: value for key, value in config['data_preprocessor'].items() if key != 'views'}
    return dict(type=kind, backbone=config['backbone'], data_preprocessor=preprocessor,
                pooling=config.get('pooling', 'mean'), **arguments)


def member_of(model: SkeletonEncoder, info: dict, kind: str = 'FrozenEncoder', **arguments) -> Member:
    """Return the encoder of a model as a member, with a copy of its weights.

    Args:
        model: Any model whose features are those of its pooled backbone.
        info: Its description, see :func:`~mmskelssl.engine.checkpoint.build_from_checkpoint`.
        kind, **arguments: As for :func:`model_config`.

    Raises:
        UserError: If the model computes its features in another way.
    """
    if type(model).extract_feat is not SkeletonEncoder.extract_feat or type(model).pool is not SkeletonEncoder.pool:
        raise UserError(f'{type(model).__name__} computes its features in its own way (extract_feat), so its encoder '
                        'cannot be saved by itself')
    config = model_config(info['model'], kind, **arguments)
    made = build_model(config, info.get('method') or kind)
    made.backbone.load_state_dict(model.backbone.state_dict())
    dataset, about = info['dataset'], about_data(info['dataset'])
    if dataset.get('store'):
        about.setdefault('name', osp.basename(osp.abspath(dataset['store'])))
    if dataset.get('train_split'):
        about.setdefault('split', dataset['train_split'])
    if (store := training_store(dataset)) and store.head.get('units'):
        about.setdefault('units', store.head['units'])
    kept = {key: info[key] for key in _KEPT if info.get(key) is not None}
    described = {key: dataset[key] for key in ('pipeline', 'scores') if key in dataset}
    return Member(made.eval(), dict(kept, model=config, dataset=describe_data(described, **about)))


def training_store(dataset: dict) -> SkeletonStore | None:
    """Return the store that a description names, if it is there and has not changed since."""
    try:
        store = SkeletonStore(dataset['store'])
    except (KeyError, UserError):
        return None
    return store if store.data_hash == about_data(dataset).get('data_hash') else None


def write_folder(folder: str | os.PathLike, kind: str, members: list[Member], card: str, half: bool = False,
                 overwrite: bool = False, **about) -> None:
    """Write a saved model. Each file is written atomically, and the config last.

    Args:
        folder: Folder to create.
        kind: ``encoder`` or ``classifier``.
        members: Its encoders.
        card: Text of ``README.md``.
        half: Store floating-point weights as float16, except the statistics of normalisation layers.
        overwrite: Replace a saved model.
        **about: Further entries of ``config.json``.

    Raises:
        UserError: If something else is in the way, a weight is not finite, or the folder cannot be written.
    """
    path = os.fspath(folder)
    check_place(path, overwrite)
    tensors = {f'{i}.{name}': _stored(name, value, half) for i, member in enumerate(members)
               for name, value in member.model.state_dict().items()}
    bad = [name for name, value in tensors.items() if value.is_floating_point() and not value.isfinite().all()]
    if bad:
        raise UserError(f'{path}: {bad[0]} contains NaN or infinite values'
                        + (' in float16: save it in full precision' if half else ''))
    config = dict(format=FORMAT, version=VERSION, kind=kind, written_by=__version__, **about,
                  members=[_plain_member(member) for member in members])
    text = json.dumps(config, indent=1, allow_nan=False, default=list) + '\n'
    try:
        write_atomically(osp.join(path, WEIGHTS), safetensors.torch.save(tensors, {'format': 'pt'}))
        write_atomically(osp.join(path, CARD), card.encode())
        write_atomically(osp.join(path, CONFIG), text.encode())
    except OSError as error:
        raise UserError(f'{path} cannot be written: {error.strerror or error}; choose another folder') from error


def check_place(path: str, overwrite: bool) -> None:
    """Refuse to save a model where something else is, or another model without ``overwrite``."""
    if osp.lexists(path) and not (osp.isdir(path) and not os.listdir(path)):
        if not osp.isfile(osp.join(path, CONFIG)):
            raise UserError(f'{path} exists and is not a saved model: choose another folder')
        if not overwrite:
            raise UserError(f'{path} exists: choose another folder, or add --overwrite')


def _plain_member(member: Member) -> dict:
    return {key: value for key, value in member.info.items() if key in (*_KEPT, 'model', 'dataset')}


def _stored(name: str, value: torch.Tensor, half: bool) -> torch.Tensor:
    value = value.detach().cpu().contiguous().clone()  # copied, because tensors may share memory
    keep = not value.is_floating_point() or name.endswith(('running_mean', 'running_var'))
    return value.half() if half and not keep else value


def find_folder(source: str | os.PathLike, revision: str | None = None) -> str:
    """Return the local folder of a saved model.

    Args:
        source: A folder; ``zoo/NAME`` for a model that ships with this package; or the id ``OWNER/NAME`` of a
            repository on the Hugging Face hub, which is downloaded. An existing folder is never looked up on the hub.
        revision: Branch, tag or commit on the hub.
    """
    name = os.fspath(source)
    if name.startswith('zoo/') and not osp.isdir(name):
        if name.removeprefix('zoo/') not in (names := zoo_names()):
            raise UserError(f'{name}: no such model; the zoo has {", ".join(names) or "none"}')
        return str(ZOO / name.removeprefix('zoo/'))
    if osp.isdir(name):
        return name
    if osp.lexists(name):
        raise UserError(f'{name} is not a folder: a saved model is a folder with {CONFIG}')
    if not _HUB_ID.fullmatch(name):
        raise UserError(f'{name}: no such folder')
    hub = _hub(f'{name}: no such folder; to download a model of this name from the Hugging Face hub')
    try:
        return hub.snapshot_download(name, revision=revision, allow_patterns=[CONFIG, WEIGHTS, CARD])
    except Exception as error:  # noqa: BLE001  the hub's errors are of many kinds
        raise UserError(f'{name}: no such folder, and the hub does not provide it: '
                        f'{" ".join(str(error).split())[:200]}') from error


def is_saved(source: str) -> bool:
    """Return whether a name on a command line is that of a saved model on this machine."""
    return osp.isfile(osp.join(source, CONFIG)) or (source.startswith('zoo/') and not osp.exists(source))


def zoo_names() -> list[str]:
    """Return the names of the models that ship with this package."""
    return sorted(path.parent.name for path in Path(ZOO).glob(f'*/{CONFIG}'))


def push_folder(save: Callable[[str], None], repo_id: str, private: bool = False, token: str | None = None) -> str:
    """Save a model and upload it to the Hugging Face hub. The repository is created if necessary.

    Args:
        save: Saves the model to a folder.
        repo_id: ``OWNER/NAME``.
        private: Whether a new repository is private.
        token: Token of the hub. By default, the one that huggingface_hub finds.

    Returns:
        The address of the upload.
    """
    api = _hub('To upload models').HfApi(token=token)
    with tempfile.TemporaryDirectory() as parent:
        folder = osp.join(parent, 'model')
        save(folder)
        api.create_repo(repo_id, private=private, exist_ok=True)
        return str(api.upload_folder(repo_id=repo_id, folder_path=folder, commit_message='Upload with mmskelssl'))


def _hub(why: str):
    try:
        import huggingface_hub
    except ImportError:
        raise UserError(f'{why}, install huggingface_hub: pip install huggingface_hub') from None
    return huggingface_hub


def read_folder(folder: str, kind: str) -> tuple[dict, list[Member]]:
    """Read and check a saved model.

    Args:
        folder: Local folder, see :func:`find_folder`.
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
    tensors = _read_weights(osp.join(folder, WEIGHTS))
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
    data = _read(path, MAX_CONFIG)
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
    return _read(path, MAX_CONFIG).decode(errors='replace') if osp.isfile(path) else ''


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


def _read(path: str, most: int) -> bytes:
    if not osp.isfile(path):  # a pipe would block
        raise UserError(f'{path}: no such file: a saved model has {CONFIG} and {WEIGHTS}')
    try:
        with open(path, 'rb') as file:
            data = file.read(most + 1)
    except OSError as error:
        raise UserError(f'{path}: cannot be read: {error.strerror or error}') from error
    if len(data) > most:
        raise UserError(f'{path}: larger than {most >> 20} MiB; refused')
    return data


def _read_weights(path: str) -> dict[str, torch.Tensor]:
    """Read tensors. The library checks that the header matches the file, and sizes are limited first."""
    data = _read(path, MAX_BYTES)
    length = int.from_bytes(data[:8], 'little')
    if len(data) < 8 or length > min(MAX_HEADER, len(data) - 8):
        raise UserError(f'{path}: not a safetensors file, or its header is larger than {MAX_HEADER >> 20} MiB')
    try:
        tensors = safetensors.torch.load(data)
    except Exception as error:  # noqa: BLE001  a damaged or crafted file can fail in any way
        raise UserError(f'{path}: damaged ({" ".join(str(error).split())[:200]}); take another copy') from error
    if len(tensors) > MAX_TENSORS:
        raise UserError(f'{path}: more than {MAX_TENSORS:,} tensors; refused')
    odd = next((name for name, value in tensors.items() if value.dtype not in _DTYPES), None)
    if odd is not None:
        raise UserError(f'{path}: {odd} has the type {tensors[odd].dtype}, which is not read')
    return tensors
