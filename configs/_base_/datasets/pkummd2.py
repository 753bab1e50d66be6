# PKU-MMD part II: 25 joints, two persons, 51 classes; splits xsub (also xview).
_base_ = 'ntu60.py'
data = dict(
    store='data/pkummd2',
    prepare='python tools/prepare_data.py pkummd FOLDER_OF_PART_2 --out data/pkummd2')
