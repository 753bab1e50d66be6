# PKU-MMD part I: 25 joints, two persons, 51 classes; splits xsub (also xview).
_base_ = 'ntu60.py'
data = dict(
    store='data/pkummd1',
    prepare='python tools/prepare_data.py pkummd FOLDER_OF_PART_1 --out data/pkummd1')
