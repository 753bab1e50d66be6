"""Detects the format of a folder, archive or file, and suggests an import command."""
import io
import os.path as osp
import re
import shlex
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import PurePosixPath

import numpy as np

from mmskelssl.datasets.importers.array_files import clips_in
from mmskelssl.datasets.importers.labels import is_table
from mmskelssl.datasets.importers.pose.contract import Options
from mmskelssl.datasets.importers.pose.recognise import ENDINGS, recognise
from mmskelssl.datasets.importers.pose.skeletons import layout_for
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.datasets.importers.source import Source
from mmskelssl.errors import UserError
from mmskelssl.layouts import LAYOUTS
from mmskelssl.npz import loaded, read_npz

# Pattern of file names, description and importer.
_NAMES = (
    (r'S\d{3}C\d{3}P\d{3}R\d{3}A(0[0-5]\d|060)\.skeleton', 'NTU RGB+D 60', 'ntu60'),
    (r'S\d{3}C\d{3}P\d{3}R\d{3}A\d{3}\.skeleton', 'NTU RGB+D 120', 'ntu120'),
    (r'a\d+_s\d+_e\d+_v\d+\.json', 'NW-UCLA', 'nwucla'),
    (r'a\d+_s\d+_e\d+_skeleton3D\.txt', 'MSR Action3D', 'msr'),
    (r'a\d+_s\d+_t\d+_skeleton\.mat', 'UTD-MHAD', 'utd'),
    (r'P\d{3}S\d+G\d+B\d+H\d+UC\d+LC\d+A\d{3}R\d+_\d+\.txt', 'UAV-Human', 'uavhuman'),
    (r'data_[23]d_h36m.*\.npz', 'Human3.6M as VideoPose3D keeps it', 'h36m'),
    (r'joints_s\d+_e\d+\.txt', 'UTKinect-Action3D', 'utkinect'),
    (r'skeleton_pos\.txt', 'SBU Kinect Interaction', 'sbu'),
    (r'[A-Z0-9]+-[LMR]\.txt', 'PKU-MMD', 'pkummd'),
    (r'skeletons?_world\.txt', 'hand gestures of DHG or SHREC', 'dhg'),
    (r'Florence_dataset_WorldCoordinates\.txt', 'Florence 3D Actions', 'florence'),
    (r'(train|val|test)_(position|data_joint|data|data_joint_pad)\.npy', 'arrays of ST-GCN and related methods',
     'official_npy'),
    (r'.*\.(amc|bvh)', 'motion capture', 'cmu'),
    (r'.*\.(trc|c3d)', 'tracks of markers', 'markers'))
LOOKS = 20
_PREPARE = 'mmskelssl prepare'


def detect(path: str) -> Iterator[str]:
    """Yield lines that describe the data at a path, and an import command to copy.

    Args:
        path: A folder, an archive or a file.

    Raises:
        UserError: No importer reads the data; the message describes it.
    """
    source = Source(path)
    if osp.isfile(osp.join(path, 'index.json')) and (osp.isfile(osp.join(path, 'keypoints.npy'))
                                                     or osp.isdir(osp.join(path, 'shards'))):
        yield f'{path}: a store; nothing to import'
        return
    names = [name for name in source.files('') if not is_table(name)]
    called = [PurePosixPath(source.called(name)).name for name in names]
    for pattern, what, importer in _NAMES:
        count = sum(bool(re.fullmatch(pattern, name, re.IGNORECASE)) for name in called)
        if count and 2 * count >= sum(not name.lower().endswith(('.md', '.pdf', '.asf')) for name in called) or (
                count and importer in ('utkinect', 'sbu', 'dhg', 'official_npy', 'pkummd')):
            if importer == 'ntu60' and any(re.fullmatch(_NAMES[1][0], name) and not re.fullmatch(pattern, name)
                                           for name in called):
                continue
            yield f'{path}: looks like {what}, {count} files'
            folders = {PurePosixPath(name).parent.as_posix() for name, own in zip(names, called, strict=True)
                       if re.fullmatch(pattern, own, re.IGNORECASE)}
            more = ('--layout', 'LAYOUT.json') if importer == 'markers' else ()
            for folder in sorted(folders) if importer == 'official_npy' else ['.']:  # the importer takes one folder
                yield _command(importer, path if folder == '.' else osp.join(path, folder), *more)
            return
    endings = Counter(PurePosixPath(name).suffix.lower() for name in called)
    for kinds, look in ((('.pkl', '.pickle'), _pickle), (('.npy', '.npz'), _arrays), (ENDINGS[:3], _pose),
                        (('.csv', '.tsv'), _pose), (('.txt',), _pose)):
        found = [name for name, own in zip(names, called, strict=True) if own.lower().endswith(kinds)]
        if found:
            yield from look(source, found)
            return
    found_endings = ', '.join(f'{count} {ending or "without an ending"}' for ending, count in endings.most_common(5))
    raise UserError(f'{path}: no files that an importer reads; it holds {found_endings or "nothing"}')


def suggestions(path: str) -> list[list[str]]:
    """Return the arguments of ``mmskelssl prepare`` that :func:`detect` suggests, none for a store.

    An option whose value cannot be detected has a placeholder: ``LAYOUT``, ``LAYOUT.json`` or ``pictures|clips``.
    """
    return [shlex.split(line)[2:] for line in detect(path) if line.startswith(_PREPARE)]


def _command(importer: str, path: str, *options: str) -> str:
    name = re.sub(r'\W+', '_', PurePosixPath(path.rstrip('/')).name.split('.')[0]).strip('_').lower() or 'store'
    return ' '.join([_PREPARE, importer, shlex.quote(path), *options, '--out', f'data/{name}'])


def _pose(source: Source, files: list[str]) -> Iterator[str]:
    error = ''
    for name in files[:LOOKS]:
        try:
            found = recognise(source.called(name), source.read(name), Options())
            clip, people = next((clip, [one for frame in clip.frames for one in frame]) for clip in found.clips
                                if any(clip.frames))
        except StopIteration:
            continue
        except ValueError as failure:
            error = error or f'{source.called(name)}: {failure}'
            continue
        count = len(people[0].points)
        try:
            layout, options = layout_for(count, clip.joints, found.layouts, None)[0].name, []
        except (UserError, ValueError):
            named = _layouts((count, 3)) if not clip.joints else []
            layout = f'unknown, perhaps {" or ".join(named[:4])}' if named else 'unknown'
            options = ['--layout', named[0] if named else 'LAYOUT.json']
        yield (f'{source.path}: looks like {found.what}, {count} joints: layout {layout}; {len(files)} files, the '
               f'first one with {len(found.clips)} clip{"s" * (len(found.clips) > 1)} of {len(clip.frames)} frames')
        if not found.sure and len(files) == 1:
            options += ['--files', 'pictures|clips']
        yield _command('pose', source.path, *options)
        return
    raise UserError(f'{source.path}: {len(files)} files of an unknown program; {error or "they show no person"}')


def _layouts(shape: tuple[int, ...]) -> list[str]:
    """Return the layouts with as many joints as an axis of the array.

    Those that match the last axis but one come first, and the most common first among them.
    """
    common = ('ntu25', 'kinect20', 'coco17', 'halpe26', 'smpl22')
    ordered = sorted(LAYOUTS, key=lambda name: (name not in common, name))
    sizes = dict.fromkeys((*shape[::-1][1:], shape[-1]))
    found = [name for size in sizes for name in ordered if LAYOUTS[name].num_joints == size]
    flat = [name for size in (3, 2) for name in ordered if LAYOUTS[name].num_joints * size == shape[-1]]
    return found or (flat if len(shape) > 1 else [])


def _arrays(source: Source, files: list[str]) -> Iterator[str]:
    error = ''
    for name in files[:LOOKS]:
        try:
            data = source.read(name)
            called = source.called(name)
            if called.lower().endswith('.npz'):
                shapes = {key: array.shape for key, array in read_npz(data).items()}
                if any(key.startswith('x_train') for key in shapes):
                    width = next(shape[-1] for key, shape in shapes.items() if key.startswith('x_train'))
                    persons = _layouts((0, 0, width // 2)) + _layouts((0, 0, width))
                    fitting = [name for name in persons if width % (3 * LAYOUTS[name].num_joints) == 0]
                    yield (f'{source.path}: looks like the arrays of CTR-GCN and related methods; the joints could be '
                           f'{" or ".join(fitting[:4]) or "of an unknown layout"}')
                    yield _command('arrays', source.path, '--layout', fitting[0] if fitting else 'LAYOUT.json')
                    return
                shape = max(shapes.values(), key=len)
            else:
                shape = loaded(partial(np.load, io.BytesIO(data), allow_pickle=False)).shape
        except Exception as failure:  # noqa: BLE001  a damaged file can raise anything
            error = error or f'{source.called(name)}: {failure}'
            continue
        layouts = _layouts(shape)
        yield (f'{source.path}: arrays, {len(files)} files, the first one of shape {shape}; '
               + (f'the joints could be {" or ".join(layouts[:4])}' if layouts else 'no axis is the joints of a known '
                  'layout'))
        options = ['--layout', layouts[0] if layouts else 'LAYOUT.json']
        try:
            clips_in(called, data, LAYOUTS[layouts[0]].num_joints if layouts else shape[-2])
        except (IndexError, ValueError) as failure:
            if match := re.search(r'--axes (\w+(?: or \w+)*)', str(failure)):
                orders = match[1].split(' or ')
                options += ['--axes', next((order for order in orders if order[0] == 'N'), orders[0])]
        yield _command('arrays', source.path, *options)
        return
    raise UserError(f'{source.path}: no array can be read; {" ".join(error.split())}')


def _pickle(source: Source, files: list[str]) -> Iterator[str]:
    path = source.path if files[0] == '.' else osp.join(source.path, files[0])
    if source.is_zip:
        raise UserError(f'{source.path}: unpack {files[0]} first; pickles are not read from archives')
    data = load_pickle(path)
    annotations = data.get('annotations') if isinstance(data, dict) else data
    annotations = annotations if isinstance(annotations, list) else []
    sample = next((one for one in annotations if isinstance(one, dict) and 'keypoint' in one), None)
    if sample is None:
        raise UserError(f'{path}: a pickle, but not annotations of pyskl or mmaction2')
    shape = np.shape(sample['keypoint'])
    layouts = _layouts(shape[-2:]) if len(shape) in (3, 4) else []
    yield (f'{path}: looks like annotations of pyskl or mmaction2, {len(annotations)} samples, keypoints of shape '
           f'{shape}' + (f'; the joints could be {" or ".join(layouts[:4])}' if layouts else ''))
    yield _command('pyskl', path, '--layout', layouts[0] if layouts else 'LAYOUT')
