"""One of two processes: ``two_ranks.py RANK FOLDER`` trains each method for two steps and writes the results.

As ``tools/train.py`` does on CPUs: gloo, mmengine's wrapper, no unused parameters, every rank with its own batch norm.
"""
import sys

import torch
from contract_methods import METHODS, QUEUED, batch, build
from mmengine.model import MMDistributedDataParallel
from mmengine.optim import OptimWrapper

from mmskelssl.models import Progress

rank, folder = int(sys.argv[1]), sys.argv[2]
torch.distributed.init_process_group('gloo', init_method=f'file://{folder}/meeting', rank=rank, world_size=2)
dump = {}
for method in METHODS:
    torch.manual_seed(rank)  # the ranks start with different weights; the wrapper synchronises them
    model = build(method, **dict(anchor='running') if method == 'ActCLR' else {})
    wrapped = MMDistributedDataParallel(model, device_ids=None, broadcast_buffers=False)
    optimizer = OptimWrapper(torch.optim.SGD(model.parameters(), .1))
    before, entered = {name: p.detach().clone() for name, p in model.named_parameters()}, []
    if method in QUEUED:
        enqueue = model.queue.enqueue
        model.queue.enqueue = lambda keys, own=entered, put=enqueue: (own.append(keys.clone()), put(keys))
    for i in range(2):
        model.set_progress(Progress(0, i, 2))
        wrapped.train_step(batch(3, seed=2 * i + rank), optimizer)
    dump[method] = dict(before=before, state=dict(model.state_dict()), entered=entered)
torch.save(dump, f'{folder}/rank{rank}.pt')
torch.distributed.barrier()
