"""Imports many files in order: on all cores, resumable, with each fault reported for its file."""
import hashlib
from collections.abc import Callable, Iterable
from functools import partial

from mmskelssl.datasets.importers.source import Source, changed
from mmskelssl.datasets.importers.third import check_metres
from mmskelssl.datasets.store.journal import LISTING, Reads, note_read, noting_reads
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.parallel import run_parallel


def import_files(source: Source, names: Iterable[str], read: Callable, writer: StoreWriter,
                 jobs: int | None = None) -> None:
    """Add the samples of many files to a store, in the files' order.

    Args:
        source: Source of the files.
        names: Files. Those that an interrupted import had finished are skipped.
        read: ``read(name, data)`` converts a file's name and bytes to a list of dicts with the arguments of
            :meth:`StoreWriter.add`. ``name`` is the sample's id. A dict with only ``name`` and ``reason`` skips the
            sample, and ``note`` adds a remark about a sample. A ValueError skips the file with its text as the reason.
            The function runs in other processes, so it must be a module-level function or a ``partial`` of one.
        jobs: Number of processes. Default: one per core if there are many files.
    """
    from rich.progress import track  # imported here: help texts do not need it
    names = list(names)
    for link in source.links():
        writer.skip(link, 'it is a link to a folder, which is not followed: import its target, or copy it here')
    beside = sorted(set(source.files('')) - set(names))  # adding or removing an annotation changes the clips
    listing = '\n'.join(beside).encode('utf-8', 'surrogateescape')
    note_read(source.path, LISTING, len(beside), 0, hashlib.sha256(listing).hexdigest())
    names = writer.unfinished(names, changed)
    work = partial(_read, source, read)
    done = run_parallel(work, names, jobs, what='importing')
    try:
        for name, (samples, reason, reads) in track(zip(names, done, strict=True), 'importing', total=len(names),
                                             disable=len(names) < 100):
            if reason:
                writer.skip(source.called(name), reason)
            for sample in samples:
                add_or_skip(writer, **sample)
            writer.finish(name, reads)
    finally:
        done.close()


def add_or_skip(writer: StoreWriter, name: str, reason: str = '', note: str = '', **sample) -> None:
    """Add a sample, or skip it if it has a ``reason``, its unit is wrong, or the writer refuses it."""
    try:
        if reason:
            raise UserError(reason)
        if writer.index.get('units') == 'm':
            check_metres(sample['keypoints'])
        writer.add(name, **sample)
        if note:
            writer.note(name, note)
    except ValueError as error:
        writer.skip(name, str(error).removeprefix(f'sample {name}: '))


def _read(source: Source, read: Callable, name: str) -> tuple[list[dict], str, Reads]:
    with noting_reads() as reads:
        try:
            return read(name, source.read(name)), '', reads
        except Exception as error:  # a damaged file can raise anything
            known = type(error) is ValueError or isinstance(error, UserError)
            text = ' '.join(str(error).split())
            return [], text if known and text else f'{type(error).__name__}: {text}', reads
