"""Fill the tables of a Markdown page from committed results.json files.

A table stands between the lines `<!-- results FOLDER -->` and `<!-- end -->`; FOLDER is searched for results.json.
Rows of tools/analysis/attention.py make a table of their own kind.

Examples:
  python tools/analysis/collect_results.py README.md
  python tools/analysis/collect_results.py README.md --check
"""
import argparse
import glob
import json
import os.path as osp
import re
import sys

from mmskelssl.errors import UserError, one_line_errors
from mmskelssl.evaluation.results import encoder_name

_BLOCK = re.compile(r'(<!-- results (\S+) -->\n).*?(<!-- end -->)', re.S)


def rows_of(folder: str) -> list[dict]:
    """Rows of all results.json below a folder."""
    files = sorted(glob.glob(osp.join(folder, '**', 'results.json'), recursive=True))
    if not files:
        raise UserError(f'{folder}: no results.json in it')
    rows = []
    for file in files:
        with open(file, encoding='utf-8') as stream:
            rows += json.load(stream)['results']
    return rows


def table(rows: list[dict]) -> str:
    """Encoders down, (split, recipe) across; top-1 in percent, the 95 % interval behind it. Untrained ones first."""
    rows = sorted(rows, key=lambda row: row['encoder'] != 'untrained')
    columns = list(dict.fromkeys((row['split'], row['recipe']) for row in rows))
    several = len({row.get('backbone') for row in rows}) > 1
    encoders = list(dict.fromkeys(encoder_name(row, several) for row in rows))
    cells = {(encoder_name(row, several), row['split'], row['recipe']): row for row in rows}
    lines = ['| encoder | ' + ' | '.join(f'{split}, {recipe}' for split, recipe in columns) + ' |',
             '|---' * (len(columns) + 1) + '|']
    for encoder in encoders:
        found = [cells.get((encoder, *column)) for column in columns]
        lines.append(f'| {encoder} | ' + ' | '.join(
            f'{row["top1"]:.1f} ({row["ci95"][0]:.1f}–{row["ci95"][1]:.1f})' if row else '' for row in found) + ' |')
    return '\n'.join(lines) + '\n'


def masks_table(rows: list[dict]) -> str:
    """Share of the mask on each quarter of the joints, from the least to the most moving, in percent."""
    lines = ['| mask | data | least moving | second | third | most moving quarter |', '|---' * 6 + '|']
    for row in rows:
        shares, (low, high) = ' | '.join(f'{share:.1f}' for share in row['quarters']), row['ci95']
        lines.append(f'| {row["encoder"]} | {row["data"]} | {shares} ({low:.1f}–{high:.1f}) |')
    for data, uniform in dict.fromkeys((row['data'], tuple(row['uniform'])) for row in rows):
        lines.append(f'| uniform | {data} | ' + ' | '.join(f'{share:.1f}' for share in uniform) + ' |')
    return '\n'.join(lines) + '\n'


def fill(page: str, root: str) -> str:
    """The page with its tables made anew; folders are relative to ``root``."""
    def make(match) -> str:
        rows = rows_of(osp.join(root, match[2]))
        masks = all(row['protocol'] == 'attention' for row in rows)
        return match[1] + (masks_table if masks else table)(rows) + match[3]
    return _BLOCK.sub(make, page)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('page')
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if a table is out of date')
    args = parser.parse_args()
    with open(args.page, encoding='utf-8') as file:
        old = file.read()
    new = fill(old, osp.dirname(osp.abspath(args.page)))
    if args.check:
        sys.exit(f'{args.page}: tables differ from the results files' if new != old else 0)
    with open(args.page, 'w', encoding='utf-8') as file:
        file.write(new)


if __name__ == '__main__':
    main()
