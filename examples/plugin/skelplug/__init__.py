"""A plug-in: importing it registers what its modules define."""
from skelplug import barlow_twins, long_clips, part_drop, smooth_frames, weight_norm_hook

__all__ = ['barlow_twins', 'long_clips', 'part_drop', 'smooth_frames', 'weight_norm_hook']
