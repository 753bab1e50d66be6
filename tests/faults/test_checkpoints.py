"""The run resumes from an intact checkpoint regardless of what happens while a checkpoint is written or afterwards."""
import os
import pickle
import shutil
import signal
import zipfile

import numpy as np
import pytest
import torch
from runs import ROOT, Run, assert_same, die_before, die_writing, disk_full_at, short_networks

from mmskelssl.atomic import file_hash
from mmskelssl.datasets.importers.restricted_pickle import load_pickle
from mmskelssl.engine.checkpoint import build_from_checkpoint, load_backbone, load_checkpoint
from mmskelssl.engine.work_dir import newest_sound
from mmskelssl.errors import UserError

pytestmark = pytest.mark.slow
KEEP_ONE = {'default_hooks.checkpoint.max_keep_ckpts': 1}


@pytest.fixture(scope='module')
def whole(tiny_store, tmp_path_factory):
    """The work_dir of an undisturbed run of three epochs, all kept."""
    folder = tmp_path_factory.mktemp('whole') / 'w'
    run = Run(tiny_store, folder)
    assert run.end() == 0, run.output[-3000:]
    return folder


def die_and_resume(store, work_dir, whole, inject, arguments, start):
    """Kill a run as specified. It resumes from ``start`` and ends like the undisturbed run."""
    died = Run(store, work_dir, inject=inject, inject_args=arguments, options=KEEP_ONE)
    assert died.end() == -signal.SIGKILL, died.output[-3000:]
    assert newest_sound(str(work_dir)) == (str(work_dir / start), [])
    resumed = Run(store, work_dir, '--resume', options=KEEP_ONE)
    assert resumed.end() == 0, resumed.output[-3000:]
    assert f'Load checkpoint from {work_dir / start}' in resumed.output
    assert_same(whole / 'epoch_3.pth', work_dir / 'epoch_3.pth')
    assert sorted(path.name for path in work_dir.glob('*.[pt][tm][hp]')) == ['epoch_3.pth']


@pytest.mark.fault('F1', 'SIGKILL while a checkpoint is written, with one kept')
@pytest.mark.parametrize('inject, arguments', [
    (die_writing, ('epoch_2.pth', 0.)), (die_writing, ('epoch_2.pth', .5)), (die_writing, ('epoch_2.pth', 1.)),
    (die_before, ('epoch_2.pth',))])
def test_killed_while_writing(tiny_store, tmp_path, whole, lost, inject, arguments):
    die_and_resume(tiny_store, tmp_path / 'w', whole, inject, arguments, 'epoch_1.pth')
    lost('the epoch since the last checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F2', 'SIGKILL after the file is in place but before manifest, pointer or pruning are updated')
@pytest.mark.parametrize('arguments', [('manifest.json',), ('last_checkpoint',), ('epoch_1.pth', 'remove')])
def test_killed_before_the_pointer(tiny_store, tmp_path, whole, lost, arguments):
    die_and_resume(tiny_store, tmp_path / 'w', whole, die_before, arguments, 'epoch_2.pth')
    lost('nothing')


def flip(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


DAMAGES = dict(flipped=flip, truncated=lambda path: os.truncate(path, path.stat().st_size // 2),
               emptied=lambda path: os.truncate(path, 0), replaced=lambda path: path.write_bytes(b'\0' * 4096))


@pytest.mark.fault('F3', 'a last checkpoint with a flipped byte, or one that is cut, emptied or overwritten')
@pytest.mark.parametrize('damage', DAMAGES)
def test_damaged_afterwards(tiny_store, tmp_path, whole, lost, damage):
    shutil.copytree(whole, tmp_path / 'w')
    DAMAGES[damage](tmp_path / 'w' / 'epoch_3.pth')
    path, broken = newest_sound(str(tmp_path / 'w'))
    assert path.endswith('epoch_2.pth') and len(broken) == 1
    assert 'epoch_3.pth: its content has changed since it was written (sha256' in broken[0]
    if damage == 'flipped':
        run = Run(tiny_store, tmp_path / 'w', '--resume')
        assert run.end() == 0 and f'skipped {broken[0]}; continuing from {path}' in run.output, run.output[-3000:]
        assert_same(whole / 'epoch_3.pth', tmp_path / 'w' / 'epoch_3.pth')
        flip(tmp_path / 'w' / 'epoch_2.pth')
        (tmp_path / 'w' / 'manifest.json').unlink()  # a file that opens is accepted
        DAMAGES['truncated'](tmp_path / 'w' / 'epoch_3.pth')
        assert newest_sound(str(tmp_path / 'w'))[0].endswith('epoch_2.pth')
    lost('the epoch since the previous checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F4', 'a full disk (RLIMIT_FSIZE, and a small tmpfs) when a checkpoint is written')
def test_full_disk(tiny_store, tmp_path, whole, lost):
    run = Run(tiny_store, tmp_path / 'w', inject=disk_full_at, inject_args=(8, 100_000), options=KEEP_ONE)
    assert run.end() == 2, run.output[-3000:]
    assert 'epoch_2.pth cannot be written: File too large' in run.error and '--resume' in run.error
    assert {path.name for path in (tmp_path / 'w').iterdir() if path.is_file()} - {'skeletonclr_toy.py'} == {
        '.lock', 'epoch_1.pth', 'last_checkpoint', 'manifest.json'}
    assert newest_sound(str(tmp_path / 'w'))[0].endswith('epoch_1.pth')
    resumed = Run(tiny_store, tmp_path / 'w', '--resume', options=KEEP_ONE)
    assert resumed.end() == 0, resumed.output[-3000:]
    assert_same(whole / 'epoch_3.pth', tmp_path / 'w' / 'epoch_3.pth')
    lost('the epoch since the last checkpoint; the final state is identical bit for bit')


@pytest.mark.fault('F4', 'a full disk (RLIMIT_FSIZE, and a small tmpfs) when a checkpoint is written')
def test_full_file_system(tiny_store, tmp_path, whole, small_disk, lost):
    checkpoint = (whole / 'epoch_1.pth').stat().st_size
    disk = small_disk(checkpoint * 5 // 2)  # two checkpoints and logs fit, a third one does not
    run = Run(tiny_store, disk / 'w')
    assert run.end() == 2, run.output[-3000:]
    assert 'epoch_3.pth cannot be written: No space left on device' in run.error and '--resume' in run.error
    assert newest_sound(str(disk / 'w'))[0].endswith('epoch_2.pth') and not list((disk / 'w').glob('*.tmp'))
    shutil.copytree(disk / 'w', tmp_path / 'w')  # in a folder with space
    resumed = Run(tiny_store, tmp_path / 'w', '--resume')
    assert resumed.end() == 0, resumed.output[-3000:]
    assert_same(whole / 'epoch_3.pth', tmp_path / 'w' / 'epoch_3.pth')
    lost('the epoch since the last checkpoint; the final state is identical bit for bit')


def test_the_manifest_says_what_was_written(whole, manifest):
    entries = manifest(whole)
    assert list(entries) == ['epoch_1.pth', 'epoch_2.pth', 'epoch_3.pth']
    for name, entry in entries.items():
        assert entry['sha256'] == file_hash(whole / name) and entry['bytes'] == (whole / name).stat().st_size
        assert entry['iter'] == 4 * entry['epoch'] and entry['versions']['torch'] == torch.__version__
        assert entry['config_hash'] and entry['data_hash'] and entry['world_size'] == 1
        assert torch.serialization.get_unsafe_globals_in_checkpoint(str(whole / name)) == []
    assert (whole / 'last_checkpoint').read_text() == 'epoch_3.pth'


class Calls:
    """An object that pickles as a call."""

    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call[0], self.call[1:]


@pytest.mark.fault('F9', 'code in a checkpoint, in a pyskl pickle, in a config inside a checkpoint; files that expand '
                   'to gigabytes')
def test_nothing_is_executed(tmp_path, record_property, lost):
    made = tmp_path / 'made'
    gadgets = [Calls(os.system, f'touch {made}'), Calls(eval, f'open({str(made)!r}, "w")'),
               Calls(Calls, os.mkdir, str(made)), Calls(np.load, str(made))]
    for i, gadget in enumerate(gadgets):
        for zipped in (True, False):
            torch.save(dict(state_dict={}, x=gadget), tmp_path / 'a.pth', _use_new_zipfile_serialization=zipped)
            with pytest.raises(UserError, match='a.pth: refused, since it holds'):
                load_checkpoint(tmp_path / 'a.pth')
        (tmp_path / 'a.pkl').write_bytes(pickle.dumps(dict(annotations=[gadget], split={})))
        with pytest.raises(UserError, match='a.pkl is refused: .* it refers to'):
            load_pickle(str(tmp_path / 'a.pkl'))
        assert not made.exists(), i
    (tmp_path / 'a.pkl').write_bytes(b'cbuiltins\ngetattr\n(cnumpy\nndarray\nVtofile\ntR.')
    with pytest.raises(UserError, match="it refers to 'builtins' 'getattr'"):
        load_pickle(str(tmp_path / 'a.pkl'))
    torch.save(dict(meta=dict(config=f'open({str(made)!r}, "w")'), state_dict={}), tmp_path / 'a.pth')
    assert 'config' not in load_checkpoint(tmp_path / 'a.pth')['meta'] and not made.exists()
    (tmp_path / 'long.pkl').write_bytes(b'\x80\x04\x8e' + (10 << 30).to_bytes(8, 'little') + b'short')
    with pytest.raises(UserError, match='long.pkl is refused'):
        load_pickle(str(tmp_path / 'long.pkl'))
    torch.save(dict(state_dict=dict(a=torch.zeros(1000, 1000))), tmp_path / 'a.pth')
    with zipfile.ZipFile(tmp_path / 'a.pth') as flat, zipfile.ZipFile(tmp_path / 'bomb.pth', 'w',
                                                                      zipfile.ZIP_DEFLATED) as packed:
        for name in flat.namelist():
            packed.writestr(name, flat.read(name))
    with pytest.raises(UserError, match='bomb.pth: refused, since it is compressed'):
        load_checkpoint(tmp_path / 'bomb.pth')
    record_property('tried', 3 * len(gadgets) + 4)
    lost('nothing')


@pytest.mark.fault('F17', 'an encoder with 0, 60, 99 % matching keys')
@pytest.mark.parametrize('share', [0, .6, .99])
def test_part_of_an_encoder_is_refused(tmp_path, whole, lost, share, monkeypatch):
    short_networks(monkeypatch.setattr)  # as in the run
    checkpoint = load_checkpoint(whole / 'epoch_3.pth')
    names = [name for name in checkpoint['state_dict'] if name.startswith('backbone.')]
    for name in names[int(share * len(names)):]:
        checkpoint['state_dict'][name.replace('backbone.', 'encoder.')] = checkpoint['state_dict'].pop(name)
    torch.save(dict(state_dict=checkpoint['state_dict']), tmp_path / 'a.pth')
    model, _ = build_from_checkpoint(whole / 'epoch_3.pth')
    load_backbone(model, whole / 'epoch_3.pth')
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UserError, match=rf'{int(share * len(names))} of the {len(names)} keys.*is missing'):
        load_backbone(model, tmp_path / 'a.pth')
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    lost('nothing')


@pytest.mark.fault('F22', 'a work_dir that is not writable; spaces, brackets and accents in every path')
def test_paths(own_store, tmp_path, lost, record_property):
    folder = tmp_path / 'Läufe [1] und *'
    folder.mkdir()
    store = shutil.move(own_store, folder / 'daten é')
    config = folder / 'größe 1.py'
    config.write_text(f"_base_ = '{ROOT}/configs/skeletonclr_toy.py'\ndata = dict(store={str(store)!r})\n")
    for arguments in ([], ['--resume']):
        run = Run(None, folder / 'w', *arguments, config=config, options={'train_cfg.max_epochs': 1})
        assert run.end() == 0, run.output[-3000:]
    assert (folder / 'w' / 'epoch_1.pth').is_file()
    run = Run(store, folder / 'w' / 'epoch_1.pth' / 'below')
    assert run.end() == 2 and 'cannot be written to: Not a directory; choose another --work-dir' in run.error
    record_property('tried', 2)
    lost('nothing')
