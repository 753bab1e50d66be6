# MSR Action3D, re-indexed to Kinect v1: 20 joints, one person, 20 classes; splits standard (cross-subject), as1, as2,
# as3. Aligned like NW-UCLA.
_base_ = 'nwucla.py'
data = dict(
    store='data/msr',
    prepare='python tools/prepare_data.py pyskl msr_action3d.pkl --layout kinect20 '
            '--joints 6,3,2,19,0,7,9,11,1,8,10,12,4,13,15,17,5,14,16,18 --out data/msr')
