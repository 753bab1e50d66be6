"""Labels, subjects and splits of clips from folder names or a csv file."""
import csv
import io
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import PurePosixPath

import numpy as np

from mmskelssl.datasets.importers.source import Source, stem
from mmskelssl.datasets.importers.text import label_text
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError

LABELS = 'labels.csv'
_COLUMNS = ('label', 'subject', 'split')  # in addition to name
# Names of folders that are splits rather than classes.
_PARTS = dict(train='train', training='train', test='test', testing='test', val='val', valid='val', validation='val')


def label_table(source: Source | None, files: Sequence[str], labels: str) -> dict[str, dict]:
    """Return known facts about clips, keyed by clip name (from a csv file) or file (from folders).

    Args:
        source: Source of the files; None if they are paths, which excludes the labels ``auto``.
        files: Clips.
        labels: ``none``; ``folders``; a csv file with a header, a column ``name`` and any of label, subject, split; or
            ``auto``, which uses ``labels.csv`` among the files, or else folders if there are several.

    Raises:
        UserError: The table is missing or damaged.
    """
    listed = list(filter(is_table, source.files('.csv'))) if source else []
    if source and len(listed) > 1 and labels == 'auto':
        raise UserError(f'{source.path}: {listed[0]} and {listed[1]}: name one table of labels with --labels')
    if labels == 'none':
        return {}
    if labels == 'folders' or labels == 'auto' and not listed:
        return _from_folders(files, labels == 'folders')
    inside = source is not None and listed and labels in ('auto', LABELS)
    labels = listed[0] if inside else labels
    try:
        text = label_text(source.read(labels) if source and inside else Source(labels).read('.'), 'the table of labels')
    except ValueError as error:
        raise UserError(f'{labels}: {error}') from error
    try:
        first = text.partition('\n')[0]
        separator = next((sign for sign in '\t;' if sign in first and ',' not in first), ',')  # of spreadsheets
        reader = csv.DictReader(io.StringIO(text), skipinitialspace=True, delimiter=separator)
        columns = [name.strip().lower() for name in reader.fieldnames or []]
        reader.fieldnames = columns
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as error:
        raise UserError(f'{labels}: {error}') from error
    if 'name' not in columns:
        raise UserError(f'{labels}: its first line should name its columns: name, and any of label, subject, split')
    rest = [name for name in columns if name and name not in ('name', *_COLUMNS)]
    if rest and source:  # relabel checks its columns, of which it has more
        if not set(columns) & set(_COLUMNS):
            raise UserError(f'{labels}: its columns {", ".join(rest)[:100]} are not read: name them label, subject or '
                            'split')
        print(f'note: {labels}: its columns {", ".join(rest)[:100]} are not read, only {", ".join(_COLUMNS)}')
    if twice := next((name for name in columns if name and columns.count(name) > 1), None):
        raise UserError(f'{labels}: two columns are named {twice!r}: keep one of them')
    table = {}
    for number, row in rows:
        if any(cell.strip() for cell in row.get(None, ())):  # more cells than columns
            raise UserError(f'{labels}, line {number}: more cells than the {len(columns)} columns of the first line: '
                            'put quotes around a cell that contains the separator')
        name = (row['name'] or '').strip()
        if not name or name in table:
            raise UserError(f'{labels}, line {number}: {"the name appears twice" if name else "no name"}')
        table[name] = {key: (value or '').strip() for key, value in row.items() if key}
        subject = table[name].get('subject')
        if subject and not (subject.isdecimal() and len(subject) <= 10):
            raise UserError(f'{labels}, line {number}: subject {subject[:30]!r} is not a number of at most 10 digits: '
                            'number the subjects')
    return table


def is_table(name: str) -> bool:
    """Return whether a file is the table of labels among the clips."""
    return PurePosixPath(name).name.lower() == LABELS


def _from_folders(files: Sequence[str], asked: bool) -> dict[str, dict]:
    """Derive the class and the split of each clip from its folders.

    A level whose folders are all called train, val or test is the split. The class is the only other level at which
    clips differ. Levels with a single clip per folder do not count, nor do numbered folders (S01, S02) next to a level
    of names. If this does not leave exactly one level, there are no classes.

    Args:
        files: Clips.
        asked: Whether the user requested folders as classes. The innermost folder that is not a split is the class.
    """
    levels = dict(enumerate(zip(*(PurePosixPath(name).parts[:-1] for name in files), strict=False)))
    depths = {len(PurePosixPath(name).parts) for name in files}
    if len(depths) > 1 and not asked:
        print('note: clips lie in folders of different depth, so they are not used as classes; --labels folders '
              'uses the folder of each clip')
        return {}
    parts = [i for i, names in levels.items() if {name.lower() for name in names} <= _PARTS.keys()]
    splits = [_PARTS[name.lower()] for name in levels[parts[-1]]] if parts else []
    if 'test' not in splits:  # what measures the results is called test
        splits = ['test' if split == 'val' else split for split in splits]
    table = {name: dict(split=splits[n]) if parts else {} for n, name in enumerate(files)}
    if asked:
        for name in files:
            folders = PurePosixPath(name).parts[:-1]
            table[name]['label'] = next((folder for folder in folders[::-1] if folder.lower() not in _PARTS),
                                        folders[-1] if folders else '')
        return table
    level = _class_level({i: names for i, names in levels.items() if i not in parts and len(set(names)) > 1})
    if level is not None:
        for name, label in zip(files, levels[level], strict=True):
            table[name]['label'] = label
    return table if parts or level is not None else {}


def _class_level(levels: dict[int, tuple[str, ...]]) -> int | None:
    """Return the level that names the classes. If it is ambiguous, print a note and return None."""
    if not levels:
        return None
    several = dict(levels)
    while several and len(set(zip(*several.values(), strict=True))) == len(next(iter(several.values()))):
        several.popitem()
    if not several:
        print('note: each folder holds a single clip, so folders are not used as classes; --labels folders does so')
        return None
    named = [i for i, names in several.items() if len(several) == 1 or not _numbered_alike(set(names))]
    if len(named) == 1:
        return named[0]
    candidates = ' or '.join(', '.join(sorted(set(names), key=natural)[:3]) for names in several.values())
    print(f'note: the folders could be classes at several levels ({candidates}), so none are used as classes; '
          '--labels folders uses the innermost, --labels FILE.csv names the class of each clip')
    return None


def _numbered_alike(names: set[str]) -> bool:
    """Return whether names differ only in a number, like ``S01`` and ``S02``."""
    matches = [re.fullmatch(r'(\D*)\d+', name) for name in names]
    return len({match and match[1].lower() for match in matches}) == 1 and None not in matches


def classes_of(table: dict[str, dict]) -> list[str]:
    """Return the class names of a table in natural order, class2 before class10."""
    return sorted({row['label'] for row in table.values() if row.get('label')}, key=natural)


def natural(text: str) -> list:
    """Return a sort key that compares numbers in a text by value."""
    return [(0, int(part), '') if part.isdecimal() and len(part) < 19 else (1, 0, part)
            for part in re.split(r'(\d+)', text) if part]


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """Map each file to its name without ending, and without folders if that is unique."""
    count = Counter(map(stem, files))
    if max(count.values(), default=0) < 2:
        return {name: stem(name) for name in files}
    return {name: (PurePosixPath(name).parent / stem(name)).as_posix() for name in files}


def name_classes(writer: StoreWriter) -> None:
    """Number the classes that files name as ``action``, together with the classes of a table of labels."""
    named = [sample for sample in writer.samples if 'action' in sample]
    if named:
        if any(sample['label'] is not None and sample['label'] >= len(writer.classes)
               for sample in writer.samples):
            raise UserError('the labels of some clips are names, and those of others are numbers: import them '
                            'separately, or name all in a table (--labels FILE)')
        names = sorted({*writer.classes, *(sample['action'] for sample in named)}, key=natural)
        place = {name: i for i, name in enumerate(names)}
        for sample in writer.samples:
            if sample['label'] is not None:
                sample['label'] = place[writer.classes[sample['label']]]
        for sample in named:
            sample['label'] = place[sample.pop('action')]
        writer.index['classes'] = names


def check_share(test_share: float | None) -> None:
    """Raise a UserError for an invalid share, before anything is read."""
    if test_share is not None and not 0 <= test_share < 1:
        raise UserError(f'--test-share {test_share}: must be at least 0 and below 1')


def given_splits(writer: StoreWriter) -> bool:
    """Set the splits that samples name. Returns whether there are any."""
    given = sorted({s['split'] for s in writer.samples if s.get('split')})
    for split in given:
        writer.set_split(split, (s['id'] for s in writer.samples if s.get('split') == split))
    return bool(given)


def set_splits(writer: StoreWriter, test_share: float | None, seed: int) -> None:
    """Set the splits that samples name, or else draw ``test_share`` of each class for ``test``; the rest is ``train``.

    The default share is a fifth of each class, and no clips without a label, which cannot be tested.
    """
    if given_splits(writer):
        return
    rng, test = np.random.default_rng(seed), set()
    groups: dict = {}
    for sample in writer.samples:
        groups.setdefault(sample['label'], []).append(sample['id'])
    for label, ids in groups.items():
        share = test_share if test_share is not None else .2 if label is not None else 0
        test.update(rng.permutation(ids)[:round(share * len(ids))].tolist())
    writer.set_split('train', (s['id'] for s in writer.samples if s['id'] not in test))
    writer.set_split('test', (s['id'] for s in writer.samples if s['id'] in test))


class Labels:
    """Labels of clips, for files with one clip each or several.

    Args:
        source, files, labels: As for :func:`label_table`.
    """

    def __init__(self, source: Source | None, files: Sequence[str], labels: str):
        self.names, self.table = clip_names(files), label_table(source, files, labels)
        if source and list(files) == ['.']:
            self.names = {'.': stem(source.path)}  # a single file
        self.classes = classes_of(self.table)
        stems = Counter(map(stem, files))
        self.shared = {name for name, count in stems.items() if count > 1}  # a row of that name matches several clips

    def of(self, file: str, clip: str = '') -> dict:
        """Return known facts about a clip as arguments of :meth:`StoreWriter.add` (label, subject, split, note).

        Args:
            file: File of the clip.
            clip: Name of the clip within a file with several clips.
        """
        keys = (f'{self.names[file]}/{clip}', clip, *self._keys(file)) if clip else self._keys(file)
        row = next((self.table[key] for key in keys if key in self.table), None)
        if row is None:
            return dict(note='the table of labels does not name it') if self.table else {}
        label = dict(label=self.classes.index(row['label'])) if row.get('label') else {}
        subject = dict(subject=int(row['subject'])) if row.get('subject') else {}
        return label | subject | (dict(split=row['split']) if row.get('split') else {})

    def report_lost(self, writer: StoreWriter) -> None:
        """Record the names in the table that match no clip."""
        known = {key for file in self.names for key in self._keys(file)} | {s['id'] for s in writer.samples}
        known |= {PurePosixPath(s['id']).name for s in writer.samples}
        for row in [row for row in self.table if row not in known]:
            writer.skip(row, 'the table of labels names it, but there is no such clip')

    def _keys(self, file: str) -> tuple[str, ...]:
        path = PurePosixPath(file)
        alone = () if stem(file) in self.shared else (stem(file), path.name)
        return self.names[file], (path.parent / stem(file)).as_posix(), *alone, file
