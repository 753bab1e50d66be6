"""Latency of live classification: from a raw frame to the answer, batch 1, on one and on two cores.

A stream of one person at 30 frames per second, windows of two seconds, an answer at every frame. Networks are those of
the configs, with random weights: weights do not change the time. Each figure has a process of its own, because OpenMP
reads the number of threads when it is loaded.

Examples:
  python benchmarks/latency.py --out results/performance/latency.json
  python benchmarks/latency.py --answers 20 --only "SimCLR, joint"
"""
import argparse
import json
import os
import os.path as osp
import statistics
import subprocess
import sys
import time

sys.path.insert(0, osp.dirname(osp.dirname(osp.abspath(__file__))))

from benchmarks import results_file
from mmskelssl.errors import one_line_errors

_ROOT = osp.dirname(osp.dirname(osp.abspath(__file__)))
FPS, WINDOW, CLASSES = 30, 2., 10
# Title -> config and streams. The encoders are TemporalConvNet, STGCN and BiGRU.
WAYS = {'SimCLR, joint': ('simclr_nwucla', ('joint',)), 'SimCLR, three streams': ('simclr_nwucla',
        ('joint', 'bone', 'motion')), 'AimCLR, joint': ('aimclr_nwucla', ('joint',)),
        'CRRL, joint': ('crrl_nwucla', ('joint',))}
CORES = (1, 2)


def classifier(config: str, streams, seed: int = 0):
    """Return the classifier that would be fitted on the encoders of a config, with random weights."""
    import torch

    from mmskelssl.datasets.skeleton_dataset import describe_data
    from mmskelssl.engine.config import load_config
    from mmskelssl.engine.rebuild import build_model
    from mmskelssl.inference.classifier import SkeletonClassifier
    from mmskelssl.inference.saved.member import Member, model_config
    from mmskelssl.models.preprocessor import SkeletonPreprocessor
    cfg, members = load_config(osp.join(_ROOT, f'configs/{config}.py'))[-1][1], []
    described = describe_data(dict(pipeline=cfg.data.to_dict()['pipeline']), layout='kinect20')
    for number, stream in enumerate(streams):
        given = cfg.model.to_dict()
        given['backbone'].setdefault('layout', 'kinect20')
        given['data_preprocessor'].update(layout='kinect20', stream=stream)
        made = model_config(given, 'SkeletonClassifier', num_classes=CLASSES)
        about = made['data_preprocessor']
        made['backbone']['in_channels'] = SkeletonPreprocessor.channels(
            3, about.get('alignment', 'none'), about.get('velocity', False), stream=stream)
        torch.manual_seed(seed + number)
        members.append(Member(build_model(made, config).eval(), dict(model=made, dataset=described)))
    head = dict(classes=[f'class {i}' for i in range(CLASSES)], weights=[1.] * len(streams), temperature=1.,
                 threshold=0., fps=FPS)
    return SkeletonClassifier(config, head, members, 'cpu')


def answer_times(way: str, answers: int) -> dict:
    """Milliseconds of each pushed frame that is answered, after a window and five answers of warm-up."""
    import numpy as np
    import torch

    from mmskelssl.inference.stream import SkeletonStream
    stream = SkeletonStream(classifier(*WAYS[way]), FPS, WINDOW, 1 / FPS)
    rng = np.random.default_rng(0)
    pose = rng.normal(0, .4, stream.shape)
    drift = rng.normal(0, .01, (stream.length + 5 + answers, *stream.shape)).cumsum(0)
    frames, spent = (pose + drift).astype(np.float32), []
    for frame in frames:
        start = time.perf_counter()
        events = stream.push(frame)
        if events:
            spent.append(1e3 * (time.perf_counter() - start))
    return dict(milliseconds=spent[-answers:], threads=torch.get_num_threads())


COLUMNS = ('classifier', 'cores', 'p50, ms', 'p99, ms')


def row(result: dict) -> list[str]:
    """Cells of the table."""
    return [result['way'], str(result['cores']), f'{result["p50"]:.1f}', f'{result["p99"]:.1f}']


def measure(way: str, cores: int, answers: int) -> dict:
    """Run :func:`answer_times` in a process of its own."""
    env = dict(os.environ, OMP_NUM_THREADS=str(cores),
               PYTHONPATH=osp.pathsep.join(filter(None, (_ROOT, os.environ.get('PYTHONPATH')))))
    code = ('import json; from mmskelssl.threads import limit_spinning; limit_spinning(); '
            f'from benchmarks.latency import answer_times; print(json.dumps(answer_times({way!r}, {answers})))')
    done = subprocess.run([sys.executable, '-c', code], env=env, stdout=subprocess.PIPE, text=True, check=True)
    made = json.loads(done.stdout.splitlines()[-1])
    spent = sorted(made['milliseconds'])
    return dict(id=f'{way}, {cores}', way=way, cores=cores, threads=made['threads'], answers=len(spent),
                p50=statistics.median(spent), p99=spent[int(.99 * (len(spent) - 1) + .5)], worst=spent[-1])


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--answers', type=int, default=500, help='frames that are timed, for each figure (default 500)')
    parser.add_argument('--only', nargs='+', choices=WAYS, default=list(WAYS), metavar='WAY', help='; '.join(WAYS))
    parser.add_argument('--out', metavar='FILE', help='write JSON')
    args = parser.parse_args()
    load, results = os.getloadavg()[0], []
    for way in args.only:
        for cores in CORES:
            results.append(measure(way, cores, args.answers))
            print(f'{results[-1]["id"]}: p50 {results[-1]["p50"]:.1f} ms, p99 {results[-1]["p99"]:.1f} ms', flush=True)
    print(results_file.markdown(COLUMNS, map(row, results)), end='')
    if args.out:
        from mmskelssl.provenance import machine, versions
        results_file.write(args.out, results, load_at_start=load, versions=versions(), machine=machine(),
                           date=time.strftime('%Y-%m-%d'))


if __name__ == '__main__':
    main()
