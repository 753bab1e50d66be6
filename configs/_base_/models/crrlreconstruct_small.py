# The sequence reconstructor for a few thousand clips or fewer: a random viewpoint.
_base_ = 'crrlreconstruct.py'
model = dict(data_preprocessor=dict(views=dict(clip=[
    dict(type='YawRotate', degrees=45), dict(type='Scale', amplitude=0.2),
    dict(type='GaussianNoise', p=0.5, std=0.01, absent=False)])))
