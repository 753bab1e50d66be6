"""Fill the tables of Markdown pages from committed results.json files.

A table is enclosed by the lines `<!-- results FOLDER -->` and `<!-- end -->`. FOLDER is relative to the folder of the
page and is searched for results.json. Options after FOLDER select what is shown: `splits=test,all`,
`recipes=1nn,logreg`, `encoders=untrained,SimCLR`, `backbones=STGCN`, and `across=encoders` for a table with one line
per measure. Rows of tools/analysis/attention.py have their own kind of table.

Examples:
  python tools/analysis/collect_results.py README.md docs/results.md docs/methods/*.md
  python tools/analysis/collect_results.py docs/results.md --check
"""
import argparse
import glob
import os.path as osp
import re
import sys

from mmskelssl.commands.benchmark_rows import average_seeds, pool_folds
from mmskelssl.errors import UserError, one_line_errors, printable
from mmskelssl.evaluation.results import (
    column_of,
    data_name,
    encoder_name,
    number_text,
    read_results,
    row_title,
    shown,
)
from mmskelssl.evaluation.splits import is_fold

_BLOCK = re.compile(r'(<!-- results (\S+)((?: \w+=\S+)*) -->\n).*?(<!-- end -->)', re.S)
_OPTIONS = ('splits', 'recipes', 'encoders', 'backbones', 'across')


def rows_of(folder: str) -> list[dict]:
    """Return the rows of all results.json files below a folder."""
    files = sorted(glob.glob(osp.join(folder, '**', 'results.json'), recursive=True))
    if not files:
        raise UserError(f'{folder}: no results.json in it')
    rows = []
    for file in files:
        found = read_results(file)
        for i, row in enumerate(found):
            if problem := _problem(row):
                raise UserError(f'{file}: row {i + 1}: {problem}; correct it, or measure again')
        rows += found
    try:
        rows = _pooled(rows)
        return rows + _means(rows)
    except KeyError as error:  # needed only for rows over folds or seeds
        raise UserError(f'{folder}: a row of several folds or seeds has no {error.args[0]}; measure again') from error


def _problem(row: dict) -> str | None:
    """Return what a table lacks in a row, or None."""
    attention = row.get('protocol') == 'attention'
    for key in ('encoder', 'protocol', 'data', *(() if attention else ('recipe', 'split'))):
        if not isinstance(row.get(key), str):
            return f'{key} is {row.get(key)!r}, not a text'
    if attention:
        return None
    key, interval = ('map', 'map_ci95') if row['protocol'] == 'retrieval' else ('top1', 'ci95')
    for name, numbers, count in ((key, [row.get(key)], 1), (interval, row.get(interval) or [0, 0], 2), (
            'num_test', [row.get('num_test', 1)], 1), ('std', [row.get('std', 0)], 1),
            ('label_fraction', [row.get('label_fraction') or 1], 1)):
        if not (isinstance(numbers, list) and len(numbers) == count and all(map(_is_number, numbers))):
            return f'{name} is {repr(row.get(name))[:80]}, not {"a number" if count == 1 else "two numbers"}'
    return None


def _is_number(value) -> bool:
    return type(value) in (int, float) and abs(value) < 1e9  # NaN is not


def _pooled(rows: list[dict]) -> list[dict]:
    """Replace single folds by rows over all folds, unless ``evaluate`` has measured all and pooled them itself."""
    def key(row: dict) -> tuple:
        return tuple(row.get(name) for name in ('encoder', 'method', 'backbone', 'data', 'stream', 'pretrain_seed',
                                                'split', 'protocol', 'recipe', 'label_fraction'))
    others = [row for row in rows if not is_fold(row['split'])]
    there = {key(row) for row in others}
    return others + [row for row in pool_folds([row for row in rows if is_fold(row['split'])]) if key(row) not in there]


def _means(rows: list[dict]) -> list[dict]:
    """Return the mean over the seeds of each encoder that has a row for each of several seeds, but no mean yet."""
    groups: dict[tuple, list[dict]] = {}
    for row in rows:
        key = (row['encoder'], row.get('method'), data_name(row), row.get('stream'), row['split'], *column_of(row)) \
            if 'recipe' in row else ()
        groups.setdefault(key, []).append(row)
    means = []
    for some in groups.values():
        seeds = [row.get('pretrain_seed') for row in some]
        if len(seeds) > 1 and None not in seeds and len(set(seeds)) == len(seeds):
            means += average_seeds(some)
    return means


def table(rows: list[dict], splits: str = '', recipes: str = '', encoders: str = '', backbones: str = '',
          across: str = 'measures') -> str:
    """Return a table with a row per encoder and a column per (split, recipe), with untrained encoders first.

    Columns of ``test_clean`` come first. A cell is the top-1 accuracy in percent, followed by its 95 % interval.
    Retrieval shows the mAP, and several seeds are shown as mean and standard deviation.

    Args:
        splits, recipes, encoders, backbones: Comma-separated names to show. Default: all.
        across: ``encoders`` for a column per encoder and a row per measure.

    Raises:
        UserError: If there are no results for one of the names, or two different ones for a cell.
    """
    for name, wanted in (('split', splits), ('recipe', recipes), ('encoder', encoders), ('backbone', backbones)):
        if missing := {value for value in wanted.split(',') if value} - {row.get(name) for row in rows}:
            raise UserError(f'no results of the {name} {", ".join(sorted(missing))}')
        rows = [row for row in rows if not wanted or row.get(name) in wanted.split(',')]
    order = list(dict.fromkeys((data_name(row), row['split']) for row in rows))
    order.sort(key=lambda pair: pair[1] != 'test_clean')  # without the clips that leak from the training set
    rows = sorted(rows, key=lambda row: order.index((data_name(row), row['split'])))
    rows = sorted(shown(rows), key=lambda row: row['encoder'] != 'untrained')
    several = len({row.get('backbone') for row in rows}) > 1
    streams, data = (len({of(row) for row in rows}) > 1 for of in (lambda row: row.get('stream'), data_name))

    def encoder(row: dict) -> str:
        return encoder_name(row, several) + (f', {row["stream"]}' if streams else '')

    def column(row: dict) -> tuple:
        return (data_name(row) if data else '', row['split'], *column_of(row))

    columns = {column(row): row for row in rows}
    cells: dict[tuple, dict] = {}
    for row in rows:
        other = cells.setdefault((encoder(row), column(row)), row)
        if number_text(other) != number_text(row):
            raise UserError(f'{encoder(row)} has two results of {_title(row, True)}, {number_text(other)} and '
                            f'{number_text(row)}, which differ in {_differences(other, row)}; select one of them, or '
                            'move one to another folder')
    grid = [['encoder', *(_title(row, data) for row in columns.values())]]
    for name in dict.fromkeys(encoder(row) for row in rows):
        grid.append([name, *(number_text(cells.get((name, key))) for key in columns)])
    if across == 'encoders':
        grid = [list(line) for line in zip(*grid, strict=True)]
        grid[0][0] = ''
    lines = ['| ' + ' | '.join(map(_cell, line)) + ' |' for line in grid]
    return '\n'.join([lines[0], '|---' * len(grid[0]) + '|', *lines[1:]]) + '\n'


def _cell(text: str) -> str:
    """Return text for a cell of a Markdown table. Names come from files, and are neither markup nor further cells."""
    return printable(text).replace('<', '&lt;').replace('|', r'\|')


def _differences(one: dict, other: dict) -> str:
    """Return which of the fields that say what was measured differ between two rows."""
    fields = ('backbone', 'method', 'pretrain_seed', 'seed', 'settings', 'checkpoint', 'config_hash', 'data_hash',
              'train_split', 'fusion')
    return ', '.join(name for name in fields if one.get(name) != other.get(name)) or 'nothing that is recorded'


def _title(row: dict, data: bool) -> str:
    """Return the title of a column: knn, logreg, logreg-cv and paper are named by their recipe alone."""
    plain = row['protocol'] == 'knn' or (row['protocol'] == 'linear' and
                                         row['recipe'] in ('logreg', 'logreg-cv', 'paper'))
    recipe = row['recipe'] if plain else row_title(row) + (' mAP' if row['protocol'] == 'retrieval' else '')
    return f'{data_name(row)} ' * data + f'{row["split"]}, {recipe}'


def masks_table(rows: list[dict]) -> str:
    """Return a table of the share of the mask on each quarter of the joints, from least to most moving, in percent."""
    lines = ['| mask | data | least moving | second | third | most moving quarter |', '|---' * 6 + '|']
    for row in rows:
        shares, (low, high) = ' | '.join(f'{share:.1f}' for share in row['quarters']), row['ci95']
        lines.append(f'| {_cell(row["encoder"])} | {_cell(row["data"])} | {shares} ({low:.1f}–{high:.1f}) |')
    for data, uniform in dict.fromkeys((row['data'], tuple(row['uniform'])) for row in rows):
        lines.append(f'| uniform | {data} | ' + ' | '.join(f'{share:.1f}' for share in uniform) + ' |')
    return '\n'.join(lines) + '\n'


def fill(page: str, root: str) -> str:
    """Return the page with updated tables. Folders are relative to ``root``, the folder of the page."""
    def make(match) -> str:
        rows, options = rows_of(osp.join(root, match[2])), dict(option.split('=') for option in match[3].split())
        if unknown := [*options.keys() - set(_OPTIONS)]:
            raise UserError(f'results {match[2]}: no option {unknown[0]!r}; there are {", ".join(_OPTIONS)}')
        masks = all(row['protocol'] == 'attention' for row in rows)
        return match[1] + (masks_table(rows) if masks else table(rows, **options)) + match[4]
    return _BLOCK.sub(make, page)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('pages', nargs='+', metavar='PAGE')
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if a table is out of date')
    args = parser.parse_args()
    outdated = []
    for page in args.pages:
        with open(page, encoding='utf-8') as file:
            old = file.read()
        new = fill(old, osp.dirname(osp.abspath(page)))
        if new != old:
            outdated.append(page)
            if not args.check:
                with open(page, 'w', encoding='utf-8') as file:
                    file.write(new)
    if args.check:
        sys.exit(f'{", ".join(outdated)}: tables differ from the results files' if outdated else 0)


if __name__ == '__main__':
    main()
