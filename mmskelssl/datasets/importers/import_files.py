"""What most importers share: one file after the other, on all cores, resumable, each fault with its file."""
import hashlib
import os.path as osp
from collections.abc import Callable, Iterable
from functools import partial

from mmskelssl.datasets.importers.source import Source, changed
from mmskelssl.datasets.store.journal import LISTING, Reads, note_read, noting_reads
from mmskelssl.datasets.store.writer import StoreWriter
from mmskelssl.errors import UserError
from mmskelssl.parallel import run_parallel


def import_files(source: Source, names: Iterable[str], read: Callable, writer: StoreWriter,
                 jobs: int | None = None) -> None:
    """Add the samples of many files to a store, in the files' order.

    Args:
        source: Where the files are.
        names: Files; those that an interrupted import had finished are left out.
        read: ``read(name, data)``: a file's name and bytes -> list of dicts of :meth:`StoreWriter.add`'s arguments,
            of which ``name`` is the sample's id; ``name`` and ``reason`` alone for a sample to skip, and ``note`` for
            what a user should know of one. A ValueError's text is the reason to skip the file. It runs in other
            processes, so it is a function of a module, or a ``partial`` of one.
        jobs: Processes; default one per core where there are many files.
    """
    from rich.progress import track  # only here: help texts do without it
    names = list(names)
    beside = sorted(set(source.files('')) - set(names))  # an annotation that comes or goes changes what clips are
    listing = '\n'.join(beside).encode('utf-8', 'surrogateescape')
    note_read(source.path, LISTING, len(beside), 0, hashlib.sha256(listing).hexdigest())
    names = writer.unfinished(names, changed)
    work = partial(_read, source, read)
    done = run_parallel(work, names, jobs, what='importing')
    try:
        for name, (samples, reason, reads) in track(zip(names, done, strict=True), 'importing', total=len(names),
                                             disable=len(names) < 100):
            if reason:
                writer.skip(osp.basename(source.path) if name == '.' else name, reason)
            for sample in samples:
                add_or_skip(writer, **sample)
            writer.finish(name, reads)
    finally:
        done.close()


def add_or_skip(writer: StoreWriter, name: str, reason: str = '', note: str = '', **sample) -> None:
    """Add a sample; one with a reason not to, or that the writer refuses, is skipped."""
    try:
        if reason:
            raise UserError(reason)
        writer.add(name, **sample)
        if note:
            writer.note(name, note)
    except UserError as error:
        writer.skip(name, str(error).removeprefix(f'sample {name}: '))


def _read(source: Source, read: Callable, name: str) -> tuple[list[dict], str, Reads]:
    with noting_reads() as reads:
        try:
            return read(name, source.read(name)), '', reads
        except Exception as error:  # a damaged file can raise anything
            known = type(error) is ValueError or isinstance(error, UserError)
            text = ' '.join(str(error).split())
            return [], text if known and text else f'{type(error).__name__}: {text}', reads
