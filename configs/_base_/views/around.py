# As front.py, but the camera may stand anywhere: full turns about the vertical.
_base_ = 'front.py'
weak = [dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in _base_.weak]
strong = [dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in _base_.strong]
