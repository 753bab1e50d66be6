"""A plug-in: importing it registers what its modules define."""
from skelplug import align_uniform, long_clips, part_drop, smooth_frames, weight_norm_hook

__all__ = ['align_uniform', 'long_clips', 'part_drop', 'smooth_frames', 'weight_norm_hook']
