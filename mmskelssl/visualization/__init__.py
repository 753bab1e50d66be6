from mmskelssl.visualization.clips import contact_sheet, draw_clip, strip
from mmskelssl.visualization.panels import Panel, Row, draw_panels
from mmskelssl.visualization.skeleton import grows_up

__all__ = ['Panel', 'Row', 'contact_sheet', 'draw_clip', 'draw_panels', 'grows_up', 'strip']
