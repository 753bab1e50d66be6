"""B10: a pre-training epoch as ``tools/train.py`` runs it, against the bare step on the same model's clips.

Both arms run in turn inside one training: after each iteration of the loop (data path, hooks, logging, checkpoint) a
hook takes one bare step with a copy of the model.
"""
import copy
import os
import tempfile
import time

from mmengine.hooks import Hook

from benchmarks.cases.steps import progress, sgd, step
from benchmarks.measure import Benchmark, seconds, summary
from mmskelssl.datasets.toy.store import write_toy_store
from mmskelssl.registry import HOOKS

CONFIG = '''
_base_ = [f'{root}/configs/_base_/runtime.py', f'{root}/configs/_base_/datasets/toy.py',
          f'{root}/configs/_base_/models/actclr.py', f'{root}/configs/_base_/schedules/sgd_300e.py']
data = dict(store='{store}', pipeline=[dict(type='SelectPersons', max_persons=2), dict(type='AlignSequence'),
                                       dict(type='ResizeFrames', frames=50), dict(type='PackSkeleton')])
train_dataloader = dict(batch_size={batch})
train_cfg = dict(max_epochs=1)
default_hooks = dict(knn=None)
custom_hooks = [dict(type='BareStepHook')]
'''
TIMES: dict[str, list[float]] = {'loop': [], 'bare': []}


@HOOKS.register_module(force=True)
class BareStepHook(Hook):
    """Measure each whole iteration, and then a bare step, which does not count as part of the loop."""
    priority = 'LOWEST'

    def before_train_epoch(self, runner):
        TIMES['loop'].clear(), TIMES['bare'].clear()
        self.model, self.start = copy.deepcopy(runner.model), time.process_time()
        self.optimizer = sgd(self.model)

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        TIMES['loop'].append(time.process_time() - self.start)
        views = self.model.data_preprocessor(data_batch, True)['inputs']
        self.model.set_progress(progress(batch_idx))
        TIMES['bare'].append(seconds(lambda: step(self.model, self.optimizer, views)))
        self.start = time.process_time()

    def after_train_epoch(self, runner):  # the checkpoint is part of the last iteration
        TIMES['loop'][-1] += time.process_time() - self.start


def run(quick: bool = False, batch: int = 32, iterations: int = 9, **options) -> dict:
    """Train an epoch of ActCLR on toy clips. The first iteration is a warm-up and does not count."""
    from mmskelssl.engine.train import train
    iterations = 4 if quick else iterations
    with tempfile.TemporaryDirectory() as folder:
        write_toy_store(f'{folder}/store', 2 * batch * iterations + batch)
        root = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
        config = f'{folder}/config.py'
        with open(config, 'w', encoding='utf-8') as file:
            file.write(CONFIG.replace("f'{root}", f"'{root}").replace('{store}', f'{folder}/store')
                       .replace('{batch}', str(batch)))
        train(config, f'{folder}/work', cfg_options=options)
    return summary(TIMES['loop'][1:], TIMES['bare'][1:])


BENCHMARKS = {'B10': Benchmark('training loop / bare step', run, lambda: 0., 1.10)}
