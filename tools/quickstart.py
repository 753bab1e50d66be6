"""The steps of quickstart.sh, in one process: to import torch takes seconds each time.

Arguments are passed to tools/train.py. The variables WORK_DIR, DATA_DIR, TOY_OPTIONS (for the data set) and OPTIONS
(of the config) change what it does. Run it again to continue where it stopped.
"""
import os
import os.path as osp
import shlex
import sys

from mmskelssl.cli import main as mmskelssl
from mmskelssl.threads import limit_spinning

SPINS = 10_000  # more than by default: faster on a quiet machine, and on a busy one --threads auto chooses one thread


def steps(out: str, data: str) -> list[tuple[str, list[str]]]:
    """Return what each step does, and the command of mmskelssl that does it."""
    def variable(name: str) -> list[str]:
        return shlex.split(os.environ.get(name, ''))
    made = [] if osp.isfile(f'{data}/index.json') else [
        (f'making the embedded data set: {data}', ['prepare', 'toy', '--out', data, *variable('TOY_OPTIONS')])]
    return [
        *made,
        (f'pre-training without labels: configs/aimclr_toy.py -> {out}',
         ['train', 'aimclr_toy', '--threads', 'auto', '--amp', 'auto', '--work-dir', out, '--resume', *sys.argv[1:],
          '--cfg-options', f'data.store={data}', 'default_hooks.knn.interval=8', *variable('OPTIONS')]),
        ('measuring: the untrained encoder against the pre-trained one',
         ['evaluate', 'all', out, '--untrained', '--recipe', '1nn', 'logreg', '--split-pairs', 'train:test',
          '--out', out]),
        ('drawing', ['curves', out, '--out', f'{out}/curves.png']),
        ('drawing the clips', ['browse', data, '--contact-sheet', '--format', 'png', '--out', out]),
        ('writing the page', ['report', out, '--out', f'{out}/report.html'])]


def main() -> None:
    limit_spinning(SPINS)
    out, data = os.environ.get('WORK_DIR') or 'work_dirs/quickstart', os.environ.get('DATA_DIR') or 'data/toy'
    for what, command in steps(out, data):
        print(f'== {what}', flush=True)
        mmskelssl(command)
    print(f'== done: {out}/results.json, {out}/curves.png, {out}/contact_sheet.png\n'
          f'== open {out}/report.html in a browser')


if __name__ == '__main__':
    main()
