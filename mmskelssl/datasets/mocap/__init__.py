"""Reads joint positions from motion capture files: Acclaim's asf/amc and Biovision's bvh."""
from mmskelssl.datasets.mocap.asf_amc import Acclaim, read_amc, read_asf
from mmskelssl.datasets.mocap.bvh import read_bvh
from mmskelssl.datasets.mocap.motion import Motion, resample

__all__ = ['Acclaim', 'Motion', 'read_amc', 'read_asf', 'read_bvh', 'resample']
