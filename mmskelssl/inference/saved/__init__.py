"""The folder of a saved model: ``config.json``, ``model.safetensors`` and ``README.md``.

``config.json`` contains plain data: the frame rate, the classes, and for each member the description of its model and
its preprocessing, with the same schema and the same allow-list as in a checkpoint. ``model.safetensors`` contains the
tensors of member ``i`` under ``i.``. Loading executes nothing.
"""
CONFIG, WEIGHTS, CARD = 'config.json', 'model.safetensors', 'README.md'
FORMAT, VERSION = 'mmskelssl', 1
