"""Importers: a source's files -> a store.

An importer is a function ``(path, writer, **options)`` that adds samples to a :class:`StoreWriter`, notes with
``writer.skip(id, reason)`` what it cannot use, and sets the splits. A new one is a file here and a line below.
"""
from mmskelssl.datasets.importers.nwucla import import_nwucla
from mmskelssl.datasets.importers.pyskl import import_pyskl

IMPORTERS = dict(nwucla=import_nwucla, pyskl=import_pyskl)
