"""Reproduce a table or a figure of a paper: train what is missing, measure it, and write it next to the published one.

Trainings are shared between entries and continue where they stopped. The table is written to --out as PAPER_ENTRY.md,
with all details in PAPER_ENTRY.json.

Examples:
  mmskelssl reproduce --list
  mmskelssl reproduce actclr table2 --data data/ntu60 --dry-run
  mmskelssl reproduce actclr table2 --data data/ntu60 --rows joint --columns "NTU60 x-sub"
  mmskelssl reproduce actclr table6 --data ntu60=/data/ntu60 pkummd2=/data/pku --seeds 0 1 2
"""
import argparse

from mmskelssl.commands.arguments import add_config_options, add_imports
from mmskelssl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    from mmskelssl.commands.papers import PAPERS
    parser.add_argument('paper', nargs='?', metavar='PAPER', help=f'one of {", ".join(PAPERS)}')
    parser.add_argument('entry', nargs='?', metavar='ENTRY', help='such as table2; --list shows all')
    parser.add_argument('--list', action='store_true', help='list the entries of one or all papers')
    parser.add_argument('--data', nargs='+', default=[], metavar='[NAME=]STORE',
                        help='stores; default: data/NAME. A path whose last part is the name of a data set needs no '
                             'NAME. Columns whose store does not exist are left out')
    parser.add_argument('--dry-run', action='store_true',
                        help='print the trainings and measurements with their cost, estimated from a few steps')
    parser.add_argument('--no-cost', action='store_true', help='with --dry-run: do not measure any step')
    parser.add_argument('--rows', nargs='+', default=[], metavar='ROW',
                        help='rows of the table; default: all. The recipe that a row starts from is always trained')
    parser.add_argument('--columns', nargs='+', default=[], metavar='COLUMN',
                        help='columns of the table; default: all')
    parser.add_argument('--seeds', nargs='+', type=int, default=[0], help='seeds of pre-training (default 0)')
    parser.add_argument('--out', default='work_dirs/reproduce', metavar='DIR',
                        help='folder of the trainings and tables (default work_dirs/reproduce)')
    add_config_options(parser, 'change the configs of all trainings, as for train; the result is not a reproduction')
    add_imports(parser)


def run(args: argparse.Namespace) -> None:
    from mmskelssl.commands.papers import PAPERS, entries
    from mmskelssl.engine.plugins import import_plugins
    papers = _find('paper', args.paper, PAPERS) if args.paper else list(PAPERS)
    if args.list:
        from mmskelssl.commands.reproduce_runs import listing
        print(listing(papers))
        return
    if not args.entry:
        raise UserError('say which paper and which table, as in reproduce actclr table2; --list shows all')
    found = {entry.name: entry for entry in entries(papers[0])}
    entry = found[_find(f'table or figure of {papers[0]}', args.entry, found)[0]]
    import_plugins(args.imports)
    from mmskelssl.commands.reproduce_cost import check, describe
    from mmskelssl.commands.reproduce_plan import make_plan
    plan = make_plan(entry, args.data, args.out, args.seeds, args.cfg_options, args.rows, args.columns)
    if args.cfg_options:
        changed = ', '.join(f'{key}={value}' for key, value in args.cfg_options.items())
        plan.notes.append(f'The configs are changed ({changed}): this is not a reproduction.')
    print(f'{PAPERS[papers[0]]}, {entry.name}: {entry.title}')
    if args.dry_run:
        print(describe(plan, not args.no_cost))
        return
    from mmskelssl.commands.reproduce_runs import reproduce
    check(plan)  # before hours of training
    path = reproduce(papers[0], plan)
    if not entry.figure:
        with open(path, encoding='utf-8') as file:
            print(file.read())
    print(path)


def _find(what: str, name: str, known) -> list[str]:
    from mmskelssl.catalogue import Catalogue
    Catalogue(what, dict.fromkeys(known))[name]  # raises with the closest names
    return [name]
