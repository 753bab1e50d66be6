"""Fill the tables of docs/performance.md from the results files of the benchmarks.

A table is enclosed by the lines `<!-- benchmark FILE -->` and `<!-- end -->`. FILE is a name in results/performance.

Examples:
  python benchmarks/tables.py
  python benchmarks/tables.py --check
"""
import argparse
import os
import re
import sys
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')  # before torch is imported
sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

from benchmarks import encoders, gpu_step, latency, method_cost, ops, reading, run, store_size, thread_choice, threads
from benchmarks.results_file import markdown, read
from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError, one_line_errors

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'results/performance'
# File -> the script that writes it, which has the titles of the columns and a function from a result to its cells.
SCRIPTS = {'cpu.json': run, 'cpu_amx.json': run, 'importing.json': run, 'transformer.json': run, 'ops.json': ops,
           'steps_cpu.json': gpu_step, 'threads.json': threads, 'thread_choice.json': thread_choice,
           'method_cost.json': method_cost, 'latency.json': latency, 'encoders.json': encoders,
           'store_size.json': store_size, 'reading.json': reading}
_BLOCK = re.compile(r'(<!-- benchmark (\S+) -->\n).*?(<!-- end -->)', re.S)


def table(name: str, folder: Path = RESULTS) -> str:
    """Return the table of a results file, or a line that says how to make the file if it does not exist."""
    if name not in SCRIPTS:
        raise UserError(f'<!-- benchmark {name} -->: unknown file; there are {", ".join(SCRIPTS)}')
    script = SCRIPTS[name]
    if not (folder / name).is_file():
        return f'Not measured yet. `python benchmarks/{Path(script.__file__).name} --out results/performance/{name}`\n'
    return markdown(script.COLUMNS, map(script.row, read(str(folder / name))['results']))


def fill(page: str, folder: Path = RESULTS) -> str:
    """Return the page with updated tables."""
    return _BLOCK.sub(lambda match: match[1] + table(match[2], folder) + match[3], page)


@one_line_errors
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--check', action='store_true', help='change nothing; exit 1 if a table is out of date')
    check, page = parser.parse_args().check, ROOT / 'docs/performance.md'
    old = page.read_text(encoding='utf-8')
    new = fill(old)
    if check:
        sys.exit(f'{page}: tables differ from the results files' if new != old else 0)
    write_atomically(str(page), new.encode())


if __name__ == '__main__':
    main()
