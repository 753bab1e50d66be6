"""Self-supervised methods, one file each. Every file reads like the algorithm box of its paper."""
from mmskelssl.models.methods.actclr import ActCLR
from mmskelssl.models.methods.aimclr import AimCLR
from mmskelssl.models.methods.barlow_twins import BarlowTwins
from mmskelssl.models.methods.byol import BYOL
from mmskelssl.models.methods.crrl import CRRL, CRRLMotion, CRRLReconstruct
from mmskelssl.models.methods.decorrelation import FeatureDecorrelation
from mmskelssl.models.methods.mamp import MAMP
from mmskelssl.models.methods.nn_tuning import NNTuning
from mmskelssl.models.methods.simclr import SimCLR
from mmskelssl.models.methods.skeattnclr import SkeAttnCLR
from mmskelssl.models.methods.skeletonclr import SkeletonCLR
from mmskelssl.models.methods.slim import SLiM
from mmskelssl.models.methods.vicreg import VICReg

__all__ = [
    'ActCLR', 'AimCLR', 'BYOL', 'BarlowTwins', 'CRRL', 'CRRLMotion', 'CRRLReconstruct', 'FeatureDecorrelation',
    'MAMP', 'NNTuning', 'SLiM', 'SimCLR', 'SkeAttnCLR', 'SkeletonCLR', 'VICReg',
]
