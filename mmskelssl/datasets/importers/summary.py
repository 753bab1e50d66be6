"""Prints the summary of an import."""
import re
from collections import Counter, defaultdict
from collections.abc import Iterable

from mmskelssl.datasets.store.reader import SkeletonStore

MOST_REASONS, MOST_CLASSES = 30, 20


def report(path: str, strict: bool = False) -> int:
    """Print what was imported, repaired, noted and skipped, and the classes. Returns the exit status.

    The status is 1 if more than half of the clips were skipped, which is printed first. With ``strict`` it is 1 if any
    clip was skipped.
    """
    store = SkeletonStore(path)
    parts = {what: store.index['provenance'].get(what, []) for what in ('repaired', 'noted', 'skipped')}
    lost = sum('names it, but' not in entry['reason'] for entry in parts['skipped'])  # but for what is only named
    if failed := lost > len(store):
        print(f'MOST OF IT WAS SKIPPED: {lost} of {lost + len(store)}; the store holds the rest')
    counts = ', '.join(f'{what} {len(entries)}' for what, entries in parts.items())
    print(f'{path}: imported {len(store)}, {counts}; '
          + ', '.join(f'{name} {len(ids)}' for name, ids in store.splits.items()))
    print(f'  layout {store.layout.name}, {store.channels} coordinates, units {store.head.get("units", "unknown")}')
    for line in classes_with_counts(store):
        print(f'  {line}')
    for what, entries in parts.items():
        for reason, count, first in reasons(entries):
            print(f'  {what} {count}: {reason} (first: {first})')
    return int(failed or bool(parts['skipped']) and strict)


def classes_with_counts(store: SkeletonStore) -> list[str]:
    """Return lines with the number of clips per class, at most for the first classes."""
    counts = Counter(store.labels.tolist())
    unlabelled = counts.pop(-1, 0)
    named = [f'{store.classes[label] if label < len(store.classes) else label} {counts[label]}'
             for label in sorted(counts)]
    lines = [f'{len(named)} classes: ' + ', '.join(named[:MOST_CLASSES])
             + (f', and {len(named) - MOST_CLASSES} more' if len(named) > MOST_CLASSES else '')] if named else []
    if empty := [name for label, name in enumerate(store.classes) if label not in counts]:
        lines.append(f'{len(empty)} classes without a clip: ' + ', '.join(empty[:MOST_CLASSES])
                     + (', ...' if len(empty) > MOST_CLASSES else ''))
    return lines + [f'{unlabelled} clips without a label'] * bool(unlabelled)


def reasons(entries: Iterable[dict]) -> list[tuple[str, int, str]]:
    """Return (reason, count, first sample), the most frequent first. Reasons that differ only in numbers are merged."""
    groups = defaultdict(list)
    for entry in entries:
        groups[re.sub(r'\d+(\.\d+)?', '#', entry['reason'])].append(entry)
    ordered = sorted(groups.items(), key=lambda group: -len(group[1]))[:MOST_REASONS]
    return [(key if len({entry['reason'] for entry in group}) > 1 else group[0]['reason'], len(group), group[0]['id'])
            for key, group in ordered]
