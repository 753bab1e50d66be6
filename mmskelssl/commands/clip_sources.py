"""Reads the clips that a command names: stores, files of any format that ``prepare`` imports, or JSON lines."""
import argparse
import contextlib
import json
import os.path as osp
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import replace

from mmskelssl.commands import prepare
from mmskelssl.datasets.importers.detect import suggestions
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.datasets.store.schema import is_name, unique_keys
from mmskelssl.errors import UserError, printable
from mmskelssl.inference.change import check_fps
from mmskelssl.inference.clips import ClipSet, clips_in_memory, clips_of_store
from mmskelssl.layouts import LAYOUTS, SkeletonLayout, get_layout
from mmskelssl.layouts.library import read_layout

MAX_LINE = 1 << 26  # characters of a JSON line
_OPTIONS = re.compile(r'--(axes|files|joints|labels|model|scale|third|up)\b')  # of importers
_UNKNOWN = ('LAYOUT', 'LAYOUT.json')


def say(text: str) -> None:
    """Print a note to stderr, because stdout is for the results."""
    print(f'note: {printable(text)}', file=sys.stderr)


def refuse_inputs(paths: Sequence[str], *outputs: str | None) -> None:
    """Refuse to write over the clips that are read, or two outputs to one file."""
    files = [out for out in outputs if out]
    for i, out in enumerate(files):
        if any(path != '-' and osp.exists(path) and osp.exists(out) and osp.samefile(path, out) for path in paths):
            raise UserError(f'{out} holds the clips: choose another file to write')
        if osp.realpath(out) in map(osp.realpath, files[:i]):
            raise UserError(f'{out} is given twice: choose another file for one of the outputs')


def read_clips(paths: Sequence[str], model, folder: str, split: str = 'all', layout: str | None = None,
               fps: float | None = None) -> list[ClipSet]:
    """Return the clips of all paths, in order.

    Args:
        paths: Stores; files, folders and archives that ``mmskelssl detect`` recognises; or ``-`` for JSON lines on
            standard input.
        model: The model, with ``layout``, ``channels`` and ``fps``.
        folder: Folder for temporary stores. It has to exist as long as the clips are used.
        split: Split of the stores among the paths.
        layout: Layout of files that do not state theirs. By default, that of the model if the number of joints fits.
        fps: Frames per second of clips that do not state theirs.

    Raises:
        UserError: If a path cannot be read. What is skipped or changed in a file is printed.
    """
    check_fps(fps, '--fps')
    sets: list[ClipSet] = []
    places: list[str] = []  # of each set
    for number, path in enumerate(paths):
        if path == '-':
            sets += json_lines(sys.stdin, model, fps, layout)
        elif osp.isfile(osp.join(path, 'index.json')):
            store = SkeletonStore(path)
            sets.append(_named(clips_of_store(store, split, fps), path, len(paths) > 1))
        else:
            if split != 'all':
                raise UserError(f'{path} is no store, so it has no split {split!r}: leave out --split, or import it '
                                'with mmskelssl prepare, and give the store')
            stores = _import(path, model, osp.join(folder, str(number)), layout)
            sets += [_named(clips_of_store(store, 'all', fps), path, len(paths) > 1) for store in stores]
        places += [path] * (len(sets) - len(places))
    for clips, path in zip(sets, places, strict=True):
        _say_unused(clips, path, layout, fps)
    if model.fps and any(clips.fps is None for clips in sets):
        say(f'the frame rate of the clips is not known: {model.fps:g} frames per second are assumed, as in training '
            '(--fps)')
    return sets


def _say_unused(clips: ClipSet, path: str, layout: str | None, fps: float | None) -> None:
    """Print that clips state another layout or frame rate than the options, which are for clips that state none."""
    where = 'standard input' if path == '-' else path
    if layout and read_layout(layout) != clips.layout:
        say(f'{where}: its clips state the layout {clips.layout.name!r}, so --layout {layout} does not apply to them')
    if fps and clips.fps != fps:
        say(f'{where}: its clips state {clips.fps:g} frames per second, so --fps {fps:g} does not apply to them')


def _named(clips: ClipSet, path: str, several: bool) -> ClipSet:
    """A single clip of a file is named after the file; with several paths, ids begin with the path."""
    if osp.isfile(path) and len(clips) == 1:
        return replace(clips, ids=[path])
    return replace(clips, ids=[f'{path.rstrip("/")}/{name}' for name in clips.ids]) if several else clips


def _import(path: str, model, folder: str, layout: str | None) -> list[SkeletonStore]:
    stores = []
    for number, argv in enumerate(suggestions(path)):
        out = f'{folder}-{number}'
        argv = _with_layout(argv, path, model, out, layout)
        argv[argv.index('--out') + 1] = out
        if 'pictures|clips' in argv:
            raise UserError(f'{path}: are its files the pictures of one clip, or a clip each? Import '
                            'it with mmskelssl prepare pose, and give the store')
        parser = argparse.ArgumentParser(allow_abbrev=False)
        prepare.add_arguments(parser)
        with contextlib.redirect_stdout(sys.stderr):
            try:
                prepare.import_source(parser.parse_args(argv))
            except UserError as error:
                text = str(error).replace(f'{out}: ', f'{path}: ').replace(', so no store was written', '')
                if _OPTIONS.search(text):
                    text += '; mmskelssl prepare has this option: import the files with it, and give the store'
                raise UserError(text) from error
        store = SkeletonStore(out)
        for what in ('skipped', 'repaired', 'noted'):
            for entry in store.index['provenance'][what]:
                say(f'{path}: {what} {entry["id"]}: {entry["reason"]}')
        stores.append(store)
    return stores


def _with_layout(argv: list[str], path: str, model, out: str, layout: str | None) -> list[str]:
    """Return the suggested arguments with the layout that was given, or that of the model if it may be."""
    argv = list(argv)
    if '--layout' not in argv:
        return argv + (['--layout', layout] if layout and argv[0] in ('pose', 'arrays', 'pyskl') else [])
    place = argv.index('--layout') + 1
    guess = argv[place]
    if not layout and guess in _UNKNOWN and getattr(model, 'is_open', False):
        raise UserError(f'{path}: the layout of its joints is not known, and the encoder was trained on several: add '
                        '--layout')
    if layout:
        argv[place] = layout
    elif getattr(model, 'is_open', False):
        pass  # takes the layout that was recognised
    elif guess in _UNKNOWN or get_layout(guess).num_joints == model.layout.num_joints:
        say(f'{path}: its joints are read as those of layout {model.layout.name!r}, as in training (--layout)')
        argv[place] = _layout_name(model.layout, out)
    return argv


def _layout_name(layout: SkeletonLayout, out: str) -> str:
    """Return the name of a layout, or a file that describes it."""
    if LAYOUTS.get(layout.name) == layout:
        return layout.name
    file = f'{out}.layout.json'
    with open(file, 'w', encoding='utf-8') as stream:
        json.dump(layout.fields(), stream)
    return file


def json_lines(lines: Iterable[str], model, fps: float | None = None, layout: str | None = None) -> list[ClipSet]:
    """Read clips from JSON lines.

    A line is an object with ``keypoints``, (T, V, C) or (M, T, V, C), and optionally ``id``, ``fps`` and ``layout``;
    or the keypoints alone. ``fps`` and ``layout`` apply to lines without their own. By default, the joints are those
    of the model. For a model that was trained with
    ``data.scores``, each joint has its score as the last number.

    Raises:
        UserError: If a line is invalid. The message contains its number.
    """
    scored = any(network.scores for network in getattr(model, 'networks', [model]))
    usual = read_layout(layout) if layout else None if getattr(model, 'is_open', False) else model.layout
    made: list[tuple[tuple, str, object]] = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            kind, name, keypoints = _json_clip(line, number, fps, usual)
            made.append((kind, name, keypoints))
    if not made:
        raise UserError('standard input: no clips; expected a line of JSON for each')
    sets: list[ClipSet] = []
    start = 0
    for i in range(1, len(made) + 1):  # consecutive clips of one kind form a set
        if i == len(made) or made[i][0] != made[start][0]:
            joints, rate = made[start][0]
            part = made[start:i]
            sets.append(clips_in_memory([clip for *_, clip in part], joints, model.channels, rate,
                                        [name for _, name, _ in part], scored))
            start = i
    return sets


def _json_clip(line: str, number: int, fps: float | None,
               layout: SkeletonLayout | None) -> tuple[tuple, str, object]:
    where = f'standard input, line {number}'
    if len(line) > MAX_LINE:
        raise UserError(f'{where}: longer than {MAX_LINE >> 20} MiB')
    try:
        given = json.loads(line, object_pairs_hook=unique_keys)
    except (RecursionError, ValueError) as error:
        raise UserError(f'{where}: not JSON ({" ".join(str(error).split())[:100]})') from error
    given = given if isinstance(given, dict) else dict(keypoints=given)
    if unknown := set(given) - {'id', 'keypoints', 'fps', 'layout'}:
        raise UserError(f'{where}: unknown key {min(unknown)!r}; expected id, keypoints, fps and layout')
    if 'keypoints' not in given:
        raise UserError(f'{where}: no keypoints')
    name = given.get('id', f'line {number}')
    if not is_name(name) and type(name) is not int:
        raise UserError(f'{where}: its id is not text without control characters')
    if given.get('layout') is None and layout is None:
        raise UserError(f'{where}: no layout, and the encoder was trained on several: add --layout')
    if given.get('layout') is not None:
        if not isinstance(given['layout'], (str, dict)):
            raise UserError(f'{where}: its layout is neither a name nor an object')
        layout = get_layout(given['layout'])
    return (layout, check_fps(given.get('fps'), f'{where}: fps') or fps), str(name), given['keypoints']


