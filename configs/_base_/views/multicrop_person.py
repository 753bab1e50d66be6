# Like multicrop.py, for one of the persons of a clip.
_base_ = 'multicrop.py'
multicrop = dict(_person=[dict(type='PickPerson')], _first=['_person', *_base_.multicrop['_first']],
                 _second=['_person', *_base_.multicrop['_second']])
