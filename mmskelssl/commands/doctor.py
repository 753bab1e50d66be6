"""Check this machine, a run or a store, and say in sentences what is wrong and what to do.

Without a path: versions, GPU, cores and threads, free disk and shared memory, OpenCV, and a training of two seconds.
A work_dir: whether loss, features and learning rate look like those of a run that learns, and whether its store leaks.
A store: everything that verify reports, near duplicates across the splits, and data that may have been understood
wrongly: scores taken for depth, pixels taken for metres, one person split into two, an unknown frame rate.

The exit status is 1 if there is a FAULT. A note may be intended.

Examples:
  mmskelssl doctor
  mmskelssl doctor work_dirs/actclr_toy
  mmskelssl doctor data/nwucla
"""
import argparse
import os.path as osp

from mmskelssl.commands.arguments import add_imports
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', nargs='?', metavar='PATH', help='work_dir of a run, or a store; default: this machine')
    parser.add_argument('--near', action=argparse.BooleanOptionalAction, default=None,
                        help='search for near duplicates; by default, in stores of up to 20,000 clips, and not in the '
                             'store of a run')
    add_imports(parser)


def run(args: argparse.Namespace) -> int:
    from mmskelssl.doctor.finding import print_findings
    from mmskelssl.engine.plugins import import_plugins
    import_plugins(args.imports)
    if args.path is None:
        if args.near is not None:
            raise UserError('--near is for a work_dir or a store: name one')
        from mmskelssl.doctor.machine import check_machine
        return print_findings(check_machine())
    if not osp.isdir(args.path):
        raise UserError(f'{args.path}: no such folder; name the work_dir of a run, or a store')
    if osp.isfile(osp.join(args.path, 'index.json')):
        from mmskelssl.doctor.store_health import check_store
        return print_findings(check_store(args.path, args.near))
    from mmskelssl.doctor.run_health import check_run
    return print_findings(check_run(args.path, args.near))
