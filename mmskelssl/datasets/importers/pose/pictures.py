"""Groups files into clips: one clip per file, or one clip from the numbered pictures of a video."""
import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import PurePosixPath

from mmskelssl.datasets.importers.labels import is_table, natural
from mmskelssl.datasets.importers.pose.contract import MAX_FRAMES
from mmskelssl.datasets.importers.pose.values import in_order, last_number
from mmskelssl.datasets.importers.source import Source

LOOKS = 50  # number of files of a group to search for a person
Group = tuple[str, str]  # folder, name before the number


@dataclass(frozen=True)
class Grouping:
    """Rule that groups files into clips. It is small: other processes receive it and list the files themselves.

    Args:
        path: Path of the source.
        endings: Endings of the files.
        pictures: Whether each group holds the pictures of one clip.
        others: Groups for which the opposite holds.
        folders: Whether files in a folder form one clip if no number groups them.
    """
    path: str
    endings: tuple[str, ...]
    pictures: bool
    others: frozenset[Group] = frozenset()
    folders: bool = False

    def clips(self) -> dict[str, tuple[str, list[str]]]:
        """Return {first file: (clip, its files)}. A clip of pictures is named after its folder or their prefix."""
        return _clips(self)


@lru_cache(maxsize=1)
def _clips(grouping: Grouping) -> dict[str, tuple[str, list[str]]]:
    groups = groups_of(pose_files(Source(grouping.path), grouping.endings), grouping.folders)
    prefixes: dict[str, int] = defaultdict(int)
    for folder, _ in groups:
        prefixes[folder] += 1
    clips: dict[str, tuple[str, list[str]]] = {}
    for (folder, prefix), files in groups.items():
        if ((folder, prefix) in grouping.others) == grouping.pictures:
            clips |= {file: (file, [file]) for file in files}
            continue
        alone = prefixes[folder] == 1 and PurePosixPath(folder).name
        name = folder if alone else (PurePosixPath(folder) / (prefix or 'clip')).as_posix()
        clips[files[0]] = f'{name}.json', files
    return clips


def pose_files(source: Source, endings: Sequence[str]) -> list[str]:
    """Return the files of a source, except tables of labels."""
    return [file for file in source.files(*endings) if not is_table(file)]


def groups_of(files: Sequence[str], folders: bool = False) -> dict[Group, list[str]]:
    """Return {(folder, name before the number): files in the order of their numbers}.

    The number is the last one of a name. Files that this leaves ungrouped are grouped by the last number in which their
    names differ (``0001_cam0.json``, ``0002_cam0.json``), and with ``folders`` by their folder.
    """
    groups = defaultdict(list)
    for file in files:
        path = PurePosixPath(file)
        groups[path.parent.as_posix(), last_number(path.name)[0]].append(file)
    alike = defaultdict(list)
    for key in [key for key, group in groups.items() if len(group) == 1]:
        alike[key[0], re.sub(r'\d+', '#', PurePosixPath(groups[key][0]).name)].append(key)
    for keys in [keys for (_, pattern), keys in alike.items() if len(keys) > 1 and '#' in pattern]:
        names = [PurePosixPath(groups[key][0]).name for key in keys]
        at = _changing(names)
        for key, name in zip(keys, names, strict=True):
            *_, number = (found for _, found in zip(range(at + 1), re.finditer(r'\d+', name), strict=False))
            prefix = f'{name[:number.start()]}#{name[number.end():]}'.rsplit('.', 1)[0]
            groups[key[0], prefix] += groups.pop(key)
    if folders:
        for folder in {folder for folder, _ in groups}:
            own = [key for key in groups if key[0] == folder]
            if len(own) > 1 and all(len(groups[key]) == 1 for key in own):
                groups[folder, ''] = [file for key in own for file in groups.pop(key)]
    return {key: sorted(group, key=natural) for key, group in sorted(groups.items())}


def _changing(names: Sequence[str]) -> int:
    """Return the index of the last number that differs between names that differ only in numbers."""
    numbers = [re.findall(r'\d+', name) for name in names]
    return max(i for i, column in enumerate(zip(*numbers, strict=True)) if len(set(column)) > 1)


def grouping_of(source: Source, endings: tuple[str, ...], files: str, frames_in: Callable) -> Grouping:
    """Classify each group by its first file with a person. A file with one frame is a picture.

    Args:
        source: Source of the files.
        endings: Endings of the files.
        files: ``clips`` or ``pictures`` for all, or ``auto``.
        frames_in: Function of (name, data) that returns the number of frames in a file, or 0 without persons. It may
            raise a ValueError.
    """
    _clips.cache_clear()  # the folder may have changed
    if files != 'auto':
        return Grouping(source.path, endings, files == 'pictures', folders=files == 'pictures')
    groups = groups_of(pose_files(source, endings))
    pictures = {key for key, group in groups.items() if len(group) > 1 and _are_pictures(source, group, frames_in)}
    most = 2 * len(pictures) > len(groups)
    return Grouping(source.path, endings, most, frozenset(set(groups) - pictures if most else pictures))


def _are_pictures(source: Source, group: list[str], frames_in: Callable) -> bool:
    empty = False
    for file in group[:LOOKS]:
        try:
            count = frames_in(file, source.read(file))
        except Exception:  # noqa: BLE001, S112  a damaged file can raise anything; its import says what it was
            continue
        if count:
            return count == 1
        empty = True
    return empty  # files without persons are typical of pictures


def numbered(files: Sequence[str], frames: Sequence[list]) -> list[list]:
    """Return frames of pictures in order, with empty frames for missing numbers if these can be frame numbers."""
    if len(frames) > MAX_FRAMES:
        raise ValueError(f'more than {MAX_FRAMES} pictures')
    numbers = [last_number(PurePosixPath(file).name)[1] for file in files]
    names = [PurePosixPath(file).name for file in files]
    if len(set(numbers)) < len(numbers) and len({re.sub(r'\d+', '#', name) for name in names}) == 1:
        at = _changing(names)
        numbers = [int(re.findall(r'\d+', name)[at]) for name in names]
    known = [number for number in numbers if number is not None]
    if len(set(known)) < len(numbers):
        return list(frames)
    try:
        return in_order(list(zip(known, frames, strict=True)))
    except ValueError:
        return list(frames)
