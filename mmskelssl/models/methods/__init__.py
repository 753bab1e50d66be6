"""Self-supervised methods, one file each. Every file reads like the algorithm box of its paper."""
from mmskelssl.models.methods.actclr import ActCLR
from mmskelssl.models.methods.aimclr import AimCLR
from mmskelssl.models.methods.crrl import CRRL, CRRLMotion, CRRLReconstruct
from mmskelssl.models.methods.simclr import SimCLR
from mmskelssl.models.methods.skeattnclr import SkeAttnCLR
from mmskelssl.models.methods.skeletonclr import SkeletonCLR

__all__ = ['ActCLR', 'AimCLR', 'CRRL', 'CRRLMotion', 'CRRLReconstruct', 'SimCLR', 'SkeAttnCLR', 'SkeletonCLR']
