# PKU-MMD part II: 25 joints, two persons, 51 classes; splits xsub (also xview).
_base_ = 'ntu60.py'
data = dict(
    store='data/pkummd2',
    prepare='python tools/prepare_data.py pyskl pkummd2.pkl --layout ntu25 --out data/pkummd2')
