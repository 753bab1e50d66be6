"""Curves of several runs, over iterations and over CPU minutes."""
import json
import time

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.runner import LogProcessor

from mmskelssl.cli import main
from mmskelssl.engine.hooks import TimerHook
from mmskelssl.errors import UserError
from mmskelssl.visualization.curves import cpu_minutes, distinct_names, plot_curves


def write(folder, points, start='20260101_000000'):
    vis = folder / start / 'vis_data'
    vis.mkdir(parents=True)
    (vis / 'scalars.json').write_text('\n'.join(map(json.dumps, points)))
    return str(folder)


def drawn(monkeypatch, *args, **options):
    """Return the lines of a picture: label -> (x, y)."""
    from matplotlib.axes import Axes
    lines, plot = {}, Axes.plot
    monkeypatch.setattr(Axes, 'plot', lambda self, x, y, **style: (
        lines.update({style['label']: (list(x), list(y))}), plot(self, x, y, **style))[1])
    plot_curves(*args, **options)
    return lines


@pytest.fixture
def runs(tmp_path):
    first = [{'step': 0, 'val/knn_top1': 50}, {'step': 10, 'cpu_time': 6.}, {'step': 20, 'cpu_time': 12., 'loss': 1},
             {'step': 20, 'val/knn_top1': 70}]
    for stage, start in (('a', '20260101_000000'), ('b', '20260102_000000')):
        write(tmp_path / 'staged' / stage, first, start)
    return [write(tmp_path / 'plain', first), str(tmp_path / 'staged')]


def test_minutes_are_the_sum_of_the_steps():
    series = {'cpu_time': {10: 6., 20: 12.}}  # 60 s, and then 120 s
    assert cpu_minutes(series, [0, 5, 10, 15, 20, 25]) == [0, 0.5, 1, 2, 3, 3]


def test_several_runs_in_one_picture(runs, tmp_path, monkeypatch):
    out = str(tmp_path / 'knn.png')
    lines = drawn(monkeypatch, runs, out, 'minutes', ['val/knn_top1'])
    assert lines == {'plain': ([0, 3], [50, 70]), 'staged a': ([0, 3], [50, 70]), 'staged b': ([3, 6], [50, 70])}
    lines = drawn(monkeypatch, runs, out, 'iterations', ['val/knn_top1'])
    assert lines['staged b'] == ([0, 20], [50, 70])


def test_what_the_logs_lack_is_an_error(runs, tmp_path):
    old = write(tmp_path / 'old', [{'step': 5, 'loss': 1}])
    with pytest.raises(UserError, match='old.*no cpu_time'):
        plot_curves(old, str(tmp_path / 'x.png'), 'minutes')
    with pytest.raises(UserError, match='do not contain val/knn_top2; they contain.*val/knn_top1'):
        plot_curves(runs, str(tmp_path / 'x.png'), scalars=['val/knn_top1', 'val/knn_top2'])
    with pytest.raises(UserError, match='given twice'):
        plot_curves([old, old + '/'], str(tmp_path / 'x.png'))
    with pytest.raises(SystemExit):
        main(['curves', *runs])
    assert not (tmp_path / 'x.png').exists()


def test_names_of_runs_are_as_short_as_they_can_be():
    assert distinct_names(['x/a', 'x/b/']) == ['a', 'b']
    assert distinct_names(['x/a/run', 'x/b/run']) == ['a/run', 'b/run']


def test_the_timer_counts_the_work_of_the_processor_between_evaluations():
    class Runner:
        message_hub, iter, max_iters = MessageHub.get_instance('test_timer'), 0, 3

    def work():
        end = time.process_time() + 0.02
        while time.process_time() < end:
            torch.zeros(1000).sum()
    hook = TimerHook()
    hook.before_train(Runner)
    for epoch in range(2):
        work()  # between epochs
        hook.before_train_epoch(Runner)
        hook.before_train_iter(Runner, 0)
        time.sleep(0.2)
        if epoch:
            work()
        hook.after_train_iter(Runner, 0)
    first, second = Runner.message_hub.get_scalar('train/cpu_time').data[0]
    assert first < 0.02 <= second < 0.2
    tag = LogProcessor()._collect_scalars([], Runner, 'train')
    assert tag['cpu_time'] == pytest.approx((first + second) / 2)  # like `time`, a mean over recent steps
