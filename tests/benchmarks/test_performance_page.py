"""The tables of docs/performance.md, and figures in its text, come from the results files."""
import json
import sys

import pytest

from benchmarks import tables, thread_choice, threads
from mmskelssl.errors import UserError

PAGE = tables.ROOT / 'docs/performance.md'


def test_the_page_holds_the_tables_of_the_committed_results():
    page = PAGE.read_text()
    assert tables.fill(page) == page
    assert all(f'<!-- benchmark {name} -->' in page for name in tables.SCRIPTS)


def test_the_page_names_the_commands_of_its_figures():
    """This applies to files whose figures all come from one command."""
    page = PAGE.read_text().replace('OMP_NUM_THREADS=1 ', '')
    assert f'    {json.loads((tables.RESULTS / "steps_cpu.json").read_text())["command"]}\n' in page


def test_the_text_quotes_the_scaling_results():
    series = json.loads((tables.RESULTS / 'scaling/scaling.json').read_text())['series']
    one, two = series['processes']['seconds_a_sample']
    assert f'two processes take {two / one:.2f} of the wall time per clip' in PAGE.read_text().replace('\n', ' ')


def test_a_changed_file_changes_the_table(tmp_path):
    page = '<!-- benchmark threads.json -->\nold\n<!-- end -->\ntext\n'
    missing = tables.fill(page, tmp_path)
    assert 'Not measured yet. `python benchmarks/threads.py --out results/performance/threads.json`' in missing
    row = dict(way='default', quiet=.6, busy=20., quiet_at_least=False, busy_at_least=True)
    (tmp_path / 'threads.json').write_text(json.dumps(dict(results=[row])))
    assert tables.fill(missing, tmp_path) == (
        '<!-- benchmark threads.json -->\n'
        '| threads wait | quiet, s | next to a busy process, s |\n| --- | --- | --- |\n'
        '| default | 0.60 | over 20.00 |\n<!-- end -->\ntext\n')
    (tmp_path / 'threads.json').write_text('[]')
    with pytest.raises(UserError, match='threads.json: not a results file of the benchmarks'):
        tables.fill(missing, tmp_path)
    with pytest.raises(UserError, match='<!-- benchmark cpus.json -->: unknown file; there are cpu.json'):
        tables.fill('<!-- benchmark cpus.json -->\n<!-- end -->')


def test_the_thread_benchmark_writes_what_it_prints(tmp_path, monkeypatch, capsys):
    """Fixed times replace the two processes of each figure. One of them reaches the limit."""
    def measure(way, busy, steps, limit):
        if way == 'default' and busy:
            return dict(seconds=[limit / (steps + 1)], at_least=True)
        return dict(seconds=[1., 3., 2.], threads=2, digest='ab')
    monkeypatch.setattr(threads, 'measure', measure)
    out = tmp_path / 'threads.json'
    monkeypatch.setattr(sys, 'argv', ['threads.py', '--steps', '3', '--rounds', '2', '--limit', '80', '--only',
                                      'default', 'passive', '--out', str(out)])
    threads.main()
    content = json.loads(out.read_text())
    assert [(row['way'], row['quiet'], row['busy'], row['busy_at_least']) for row in content['results']] == [
        ('default', 2, 20, True), ('passive', 2, 2, False)]
    assert content['results'][1]['environment'] == {'OMP_WAIT_POLICY': 'PASSIVE'} and '--rounds 2' in content['command']
    assert '| default | 2.00 | over 20.00 |' in capsys.readouterr().out


@pytest.mark.slow
def test_the_thread_benchmark_trains():
    made = threads.measure('one thread', False, 1, 200)
    assert made['threads'] == 1 and len(made['seconds']) == 1 and made['seconds'][0] > 0


def test_the_choice_of_threads_is_measured(tmp_path, monkeypatch, capsys):
    made = iter([dict(numbers=[2, 1], times=[.2, .1], chosen=1), dict(numbers=[2, 1], times=[.1, .3], chosen=1),
                 dict(numbers=[2, 1], times=[.1, .12], chosen=1)] * 2)
    monkeypatch.setattr(thread_choice, 'measure', lambda *_: next(made))
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    out = tmp_path / 'thread_choice.json'
    monkeypatch.setattr(sys, 'argv', ['thread_choice.py', '--configs', 'simclr_toy', '--out', str(out)])
    thread_choice.main()
    rows = [thread_choice.row(result) for result in json.loads(out.read_text())['results']]
    assert rows == [['simclr_toy', state, '2: 100, 1: 120', '1, 1, 1', '1.20'] for state in ('quiet', 'busy')]
    monkeypatch.setenv('OMP_NUM_THREADS', '1')
    with pytest.raises(SystemExit):
        thread_choice.main()
    assert 'OMP_NUM_THREADS is set, so there is nothing to choose' in capsys.readouterr().err


@pytest.mark.slow
def test_a_process_chooses_and_measures(tiny_store, monkeypatch):
    monkeypatch.delenv('OMP_NUM_THREADS', raising=False)
    made = thread_choice.measure('simclr_toy', tiny_store, False, .1)
    assert made['chosen'] in made['numbers'] and len(made['times']) == len(made['numbers']) and min(made['times']) > 0
