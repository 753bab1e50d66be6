from mmskelssl.visualization.panels import Panel, Row, draw_panels
from mmskelssl.visualization.skeleton import contact_sheet, draw_clip, grows_up, strip

__all__ = ['Panel', 'Row', 'contact_sheet', 'draw_clip', 'draw_panels', 'grows_up', 'strip']
