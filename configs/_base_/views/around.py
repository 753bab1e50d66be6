# Like front.py, but for a camera anywhere around the person: full rotations about the vertical axis.
_base_ = 'front.py'
weak = [dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in _base_.weak]
strong = [dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in _base_.strong]
gentle = [dict(op, degrees=180) if op['type'] == 'YawRotate' else op for op in _base_.gentle]
