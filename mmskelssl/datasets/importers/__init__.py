"""Importers, which convert source files to a store.

An importer is a function ``(path, writer, *, options)``. It sets the sample format with ``writer.describe``, adds
samples (usually through :func:`import_files`), records unusable ones with ``writer.skip``, and sets the splits. Its
docstring is the help of ``mmskelssl prepare NAME``. Its keyword-only arguments are the options, and their annotations
hold the help texts (:mod:`mmskelssl.datasets.importers.options`). A new importer needs a file here and a line below. A
plug-in registers its own with ``@IMPORTERS.register('name')``.
"""
from collections.abc import Callable

from mmskelssl.catalogue import Catalogue
from mmskelssl.datasets.importers.amass import import_amass
from mmskelssl.datasets.importers.arrays import import_arrays
from mmskelssl.datasets.importers.bandai import import_bandai
from mmskelssl.datasets.importers.cmu import import_cmu
from mmskelssl.datasets.importers.dhg import import_dhg
from mmskelssl.datasets.importers.florence import import_florence
from mmskelssl.datasets.importers.h36m import import_h36m
from mmskelssl.datasets.importers.markers import import_markers
from mmskelssl.datasets.importers.msr import import_msr
from mmskelssl.datasets.importers.ntu import import_ntu60, import_ntu120
from mmskelssl.datasets.importers.nwucla import import_nwucla
from mmskelssl.datasets.importers.official_npy import import_official_npy
from mmskelssl.datasets.importers.pkummd import import_pkummd
from mmskelssl.datasets.importers.pose.importer import import_pose
from mmskelssl.datasets.importers.pyskl import import_pyskl
from mmskelssl.datasets.importers.sbu import import_sbu
from mmskelssl.datasets.importers.uavhuman import import_uavhuman
from mmskelssl.datasets.importers.utd import import_utd
from mmskelssl.datasets.importers.utkinect import import_utkinect

IMPORTERS: Catalogue[Callable[..., None]] = Catalogue('importer', dict(
    ntu60=import_ntu60, ntu120=import_ntu120, pkummd=import_pkummd, nwucla=import_nwucla, msr=import_msr,
    sbu=import_sbu, utd=import_utd, utkinect=import_utkinect, florence=import_florence, dhg=import_dhg,
    cmu=import_cmu, bandai=import_bandai, amass=import_amass, h36m=import_h36m, uavhuman=import_uavhuman,
    markers=import_markers, pyskl=import_pyskl, official_npy=import_official_npy,
    arrays=import_arrays, pose=import_pose, pose_json=import_pose))
