"""Assigns labels, subjects, recordings and splits to the samples of a store from a table."""
from collections.abc import Sequence

from mmskelssl.datasets.importers.labels import label_table, natural
from mmskelssl.datasets.store.edit import edited
from mmskelssl.datasets.store.reader import SkeletonStore
from mmskelssl.errors import UserError

COLUMNS = ('label', 'subject', 'recording', 'split')


def relabel(path: str, table: str | None = None, rename: Sequence[str] = (), overwrite: bool = False) -> None:
    """Change the index entries of samples in place.

    Args:
        path: Store to change.
        table: A csv file with a header, a column ``name`` (the samples' ids) and any of label, subject, recording and
            split. Samples missing from the table keep their values; an empty cell removes a value.
        rename: ``OLD=NEW`` class names. Classes with the same new name are merged.
        overwrite: Replace existing splits that the table names.

    Raises:
        UserError: The table names no sample of the store, or the change is not possible. The store stays unchanged.
    """
    if not table and not rename:
        raise UserError('relabel needs a table of labels, or --rename OLD=NEW')
    rows = label_table(None, (), table) if table else {}
    there = dict.fromkeys(key for row in rows.values() for key in row)
    columns = set(there) & set(COLUMNS)
    if rows and not columns:
        raise UserError(f'{table} has a column name, but none of {", ".join(COLUMNS)}')
    if rest := [key for key in there if key not in ('name', *COLUMNS)]:
        print(f'note: {table}: its columns {", ".join(rest)[:100]} are not read, only {", ".join(COLUMNS)}')
    names = dict(_pair(text) for text in rename)
    options: dict = dict(table=table, rename=list(rename))
    with edited(path, 'relabel', options) as store:
        known = [sample for sample in store.samples if sample['id'] in rows]
        lost = [name for name in rows if name not in store.positions]
        if rows and not known:
            raise UserError(f'{table} names no sample of {path}: its first name is {lost[0]!r}, a sample is called '
                            f'{store.ids[0]!r}')
        _set_labels(store, rows if 'label' in columns else {}, names)
        for sample in known:
            _set(sample, rows[sample['id']], columns)
        if table and 'split' in columns:
            _set_splits(store, known, overwrite, table)
        options.update(changed=len(known), not_found=lost)
    print(f'{path}: {len(known)} of {len(store.samples)} samples are named by the table' if rows else
          f'{path}: {len(names)} classes renamed')
    if lost:
        print(f'note: {len(lost)} names in the table are not samples of the store (first: {lost[0]!r})')
    print('classes: ' + (', '.join(f'{name} {sum(s.get("label") == i for s in store.samples)}'
                                   for i, name in enumerate(store.index['classes'])) or 'none'))


def _pair(text: str) -> tuple[str, str]:
    old, equals, new = text.partition('=')
    if not (old and equals and new):
        raise UserError(f'--rename {text!r}: expected OLD=NEW')
    return old, new


def _set_labels(store: SkeletonStore, rows: dict[str, dict], rename: dict[str, str]) -> None:
    """Set class names and label numbers. Classes in use keep their order, and new ones follow."""
    most = max(int(store.labels.max()) + 1, 0)
    classes = [*store.classes, *(str(i) for i in range(len(store.classes), most))]
    unknown = next((old for old in rename if old not in classes), None)
    if unknown is not None:
        raise UserError(f'{store.path} has no class {unknown!r}; it has {", ".join(classes) or "none"}')
    names = [None if label < 0 else rename.get(classes[label], classes[label]) for label in store.labels]
    for i, known in enumerate(store.ids):
        if known in rows:
            names[i] = rows[known].get('label') or None
    used = {name for name in names if name is not None}
    kept = [name for name in dict.fromkeys(rename.get(name, name) for name in classes) if name in used or not rows]
    kept += sorted(used - set(kept), key=natural)
    place = {name: i for i, name in enumerate(kept)}
    for sample, name in zip(store.samples, names, strict=True):
        sample['label'] = None if name is None else place[name]
    store.index['classes'] = kept


def _set(sample: dict, row: dict, columns: set[str]) -> None:
    """Set the subject, recording and split of a sample. Its label is already set."""
    if 'subject' in columns:
        subject = row.get('subject')
        sample['subject'] = int(subject) if subject else None
    for key in {'recording', 'split'} & columns:
        sample.pop(key, None)
        if row.get(key):
            sample[key] = row[key]


def _set_splits(store: SkeletonStore, known: list[dict], overwrite: bool, table: str) -> None:
    named: dict[str, list[str]] = {}
    for sample in known:
        if sample.get('split'):
            named.setdefault(sample['split'], []).append(sample['id'])
    taken = sorted(set(named) & set(store.splits))
    if taken and not overwrite:
        raise UserError(f'{store.path} has a split {taken[0]!r}, which {table} sets: replace it with --overwrite')
    if 'all' in named:
        raise UserError(f'{table}: "all" means every sample and cannot name a split')
    store.index['splits'].update(named)
