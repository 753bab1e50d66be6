"""Self-supervised methods: a file each, readable as the paper's algorithm box."""
from mmskelssl.models.methods.actclr import ActCLR
from mmskelssl.models.methods.aimclr import AimCLR
from mmskelssl.models.methods.skeletonclr import SkeletonCLR

__all__ = ['ActCLR', 'AimCLR', 'SkeletonCLR']
