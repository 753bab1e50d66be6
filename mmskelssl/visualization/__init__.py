from mmskelssl.visualization.skeleton import contact_sheet, draw_clip, strip

__all__ = ['contact_sheet', 'draw_clip', 'strip']
