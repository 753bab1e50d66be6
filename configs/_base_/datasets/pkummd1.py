# PKU-MMD part I: 25 joints, two persons, 51 classes; splits xsub (also xview).
_base_ = 'ntu60.py'
data = dict(
    store='data/pkummd1',
    prepare='python tools/prepare_data.py pyskl pkummd1.pkl --layout ntu25 --out data/pkummd1')
