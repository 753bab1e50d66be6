"""What a user says of clips: labels from folder names or a csv file."""
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
# Folders that are parts of a data set, and no classes.
_PARTS = dict(train='train', training='train', test='test', testing='test', val='test', valid='test',
              validation='test')


def label_table(source: Source | None, files: Sequence[str], labels: str) -> dict[str, dict]:
    """What is known of clips, by their names (from a csv file) or their files (from folders).

    Args:
        source: Of the files; None where they are paths, and labels not ``auto``.
        files: Clips.
        labels: ``none``; ``folders``; a csv file with a header, a column ``name`` and any of label, subject, split; or
            ``auto``: ``labels.csv`` among the files, else folders where there are several.
    """
    listed = [name for name in source.files(LABELS) if PurePosixPath(name).name == LABELS] if source else []
    if len(listed) > 1 and labels == 'auto':
        raise UserError(f'{source.path}: {listed[0]} and {listed[1]}: name one table of labels with --labels')
    folders = {name: PurePosixPath(name).parent.name for name in files}
    if labels == 'auto' and not listed and {folder.lower() for folder in folders.values()} <= _PARTS.keys():
        return {name: dict(split=_PARTS[folder.lower()]) for name, folder in folders.items()}
    if labels == 'auto':
        labels = LABELS if listed else _folders_or_none(folders)
    if labels == 'none':
        return {}
    if labels == 'folders':
        return {name: dict(label=folder) for name, folder in folders.items()}
    inside = labels == LABELS and listed
    try:
        text = label_text(source.read(listed[0]) if inside else Source(labels).read('.'), 'the table of labels')
    except ValueError as error:
        raise UserError(f'{listed[0] if inside else labels}: {error}') from error
    try:
        reader = csv.DictReader(io.StringIO(text), skipinitialspace=True)
        rows, columns = list(reader), reader.fieldnames or []
    except csv.Error as error:
        raise UserError(f'{labels}: {error}') from error
    if 'name' not in columns:
        raise UserError(f'{labels}: its first line should name its columns: name, and any of label, subject, split')
    table = {}
    for number, row in enumerate(rows, 2):
        name = (row['name'] or '').strip()
        if not name or name in table:
            raise UserError(f'{labels}, line {number}: {"the name stands twice" if name else "no name"}')
        table[name] = {key: (value or '').strip() for key, value in row.items() if key}
        if table[name].get('subject') and not table[name]['subject'].isdecimal():
            raise UserError(f'{labels}, line {number}: subject {table[name]["subject"]!r} is no number')
    return table


def _folders_or_none(folders: dict[str, str]) -> str:
    """Whether folders are classes: several, each at the same depth, and every clip in one."""
    several = len(set(folders.values())) > 1
    alike = len({len(PurePosixPath(name).parts) for name in folders}) == 1
    if several and not alike:
        print('note: clips lie in folders of different depth, so these are not taken for classes; --labels folders '
              'takes the folder of each clip')
    return 'folders' if several and alike else 'none'


def classes_of(table: dict[str, dict]) -> list[str]:
    """Class names of a table, class2 before class10."""
    return sorted({row['label'] for row in table.values() if row.get('label')}, key=natural)


def natural(text: str) -> list:
    """Sort key that takes the numbers in a text as numbers."""
    return [(0, int(part), '') if part.isdecimal() and len(part) < 19 else (1, 0, part)
            for part in re.split(r'(\d+)', text) if part]


def clip_names(files: Sequence[str]) -> dict[str, str]:
    """File -> its name without folders and ending, or with its folders where that alone is not unique."""
    count = Counter(map(stem, files))
    if max(count.values(), default=0) < 2:
        return {name: stem(name) for name in files}
    return {name: (PurePosixPath(name).parent / stem(name)).as_posix() for name in files}


def name_classes(writer: StoreWriter) -> None:
    """Number the classes that the files themselves name, as ``action``; not where a table of labels has named some."""
    named = [sample for sample in writer.samples if 'action' in sample]
    if named:
        names = sorted({*writer.index['classes'], *(sample['action'] for sample in named)}, key=natural)
        place = {name: i for i, name in enumerate(names)}
        for sample in writer.samples:
            if sample['label'] is not None:
                sample['label'] = place[writer.index['classes'][sample['label']]]
        for sample in named:
            sample['label'] = place[sample.pop('action')]
        writer.index['classes'] = names


def check_share(test_share: float | None) -> None:
    """Refuse what is no share, before anything is read."""
    if test_share is not None and not 0 <= test_share < 1:
        raise UserError(f'--test-share {test_share}: a share, at least 0 and below 1')


def given_splits(writer: StoreWriter) -> bool:
    """Set the splits that samples name; whether there are any."""
    given = sorted({s['split'] for s in writer.samples if s.get('split')})
    for split in given:
        writer.set_split(split, (s['id'] for s in writer.samples if s.get('split') == split))
    return bool(given)


def set_splits(writer: StoreWriter, test_share: float | None, seed: int) -> None:
    """Set the splits that samples name, else draw ``test_share`` of each class for ``test``; the rest is ``train``.

    Without a share a fifth of each class is drawn, and none of the clips without a label: there is nothing to test.
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
    """Labels of clips that are files, one a file.

    Args:
        source, files, labels: As for :func:`label_table`.
    """

    def __init__(self, source: Source | None, files: Sequence[str], labels: str):
        self.names, self.table = clip_names(files), label_table(source, files, labels)
        if source and list(files) == ['.']:
            self.names = {'.': stem(source.path)}  # a single file
        self.classes = classes_of(self.table)

    def of(self, file: str, clip: str = '') -> dict:
        """What is known of a file's clip, as arguments of :meth:`StoreWriter.add` (label, split, note).

        Args:
            file: Of the clip.
            clip: Its name within a file that holds several.
        """
        keys = (f'{self.names[file]}/{clip}', clip, *self._keys(file)) if clip else self._keys(file)
        row = next((self.table[key] for key in keys if key in self.table), None)
        if row is None:
            return dict(note='the table of labels does not name it') if self.table else {}
        label = dict(label=self.classes.index(row['label'])) if row.get('label') else {}
        subject = dict(subject=int(row['subject'])) if row.get('subject') else {}
        return label | subject | (dict(split=row['split']) if row.get('split') else {})

    def report_lost(self, writer: StoreWriter) -> None:
        """Note the names in the table that are no clips."""
        known = {key for file in self.names for key in self._keys(file)} | {s['id'] for s in writer.samples}
        known |= {PurePosixPath(s['id']).name for s in writer.samples}
        for row in [row for row in self.table if row not in known]:
            writer.skip(row, 'the table of labels names it, but there is no clip of it')

    def _keys(self, file: str) -> tuple[str, ...]:
        path = PurePosixPath(file)
        return self.names[file], (path.parent / stem(file)).as_posix(), stem(file), path.name, file
