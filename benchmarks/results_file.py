"""The results files of the benchmarks: merged by id, written atomically, shown as Markdown tables."""
import json
import os
import shlex
import sys
from collections.abc import Iterable, Sequence

from mmskelssl.atomic import write_atomically
from mmskelssl.errors import UserError


def read(path: str) -> dict:
    """Return the content of a results file.

    Raises:
        UserError: If the file cannot be read, or has no results.
    """
    try:
        with open(path, encoding='utf-8') as file:
            content = json.load(file)
        content['results'][0]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise UserError(f'{path}: not a results file of the benchmarks ({error})') from error
    return content


def write(path: str, results: list[dict], **about) -> None:
    """Write results and what applies to all of them, such as the machine, together with the command."""
    content = dict(results=results, **about, command=shlex.join(['python', *sys.argv]))
    write_atomically(path, (json.dumps(content, indent=1) + '\n').encode())


def update(path: str, results: list[dict], order: Iterable[str], **about) -> None:
    """Replace the results of these ids in the file. The others keep the command that made them.

    Args:
        path: Results file. Need not exist.
        results: New results, each with its ``id``.
        order: All ids, in the order of the file. Other ids are dropped.
        about: What applies to the whole file.
    """
    old = read(path) if os.path.isfile(path) else dict(results=[])
    made = {result['id']: dict(result, command=result.get('command', old.get('command'))) for result in old['results']}
    made |= {result['id']: dict(result, command=shlex.join(['python', *sys.argv])) for result in results}
    write(path, [made[name] for name in order if name in made], **about)


def markdown(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table that ends in a newline."""
    return ''.join(f'| {" | ".join(cells)} |\n' for cells in (columns, ['---'] * len(columns), *rows))
