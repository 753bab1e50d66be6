"""Runs a plan of :mod:`mmskelssl.commands.reproduce_plan`: trains, measures, and writes a table or a figure."""
import json
import os
import os.path as osp
from collections.abc import Mapping, Sequence

from mmskelssl.atomic import write_atomically
from mmskelssl.commands.benchmark_runs import benchmark
from mmskelssl.commands.papers import PAPERS, Column, Row
from mmskelssl.commands.reproduce_plan import Plan
from mmskelssl.engine.config import split_pair
from mmskelssl.engine.train import train
from mmskelssl.errors import UserError
from mmskelssl.evaluation.ensemble import stream_of_members
from mmskelssl.evaluation.results import number_text
from mmskelssl.names import file_name
from mmskelssl.provenance import command_line, machine, versions

HOW = ('Here: the last epoch, with the 95 % interval over the test clips, or mean and standard deviation over seeds. '
       "The authors' code reports the best of many evaluations on the test set (docs/evaluate.md).")


def reproduce(paper: str, plan: Plan) -> str:
    """Train what is missing, measure it, and write the result. Everything that is finished is kept.

    The table is written after each of its cells, so an interrupted command keeps those that are done.

    Returns:
        Path of the table, or of the folder of a figure.
    """
    if plan.entry.figure:
        return draw(paper, plan)
    cells: dict[tuple[str, str], dict] = {}
    path = ''
    for row, column in plan.cells():
        cells[row.name, column.name] = measure(plan, row, column)
        path = write_table(paper, plan, cells)
    return path


def measure(plan: Plan, row: Row, column: Column) -> dict:
    """Train and measure one cell. Returns its row of results.json."""
    shared = plan.shared(row, column)
    for run, checkpoint in shared.values():
        if not osp.isfile(checkpoint):
            train(run.config, run.folder, resume='auto', seed=run.seed, cfg_options=dict(run.options))
    starts = {name: checkpoint for name, (_, checkpoint) in shared.items()}
    rows = benchmark(
        plan.config(row, column), plan.folder(row, column), [column.split], row.streams, plan.seeds, [column.protocol],
        {stream: [column.recipe_of(stream)] for stream in row.streams}, column.weights if len(row.streams) > 1 else
        'equal', plan.changes(row, column), data=plan.stores[column.on] if column.on else None, stage=row.stage,
        init_from=starts.get, show=False)
    stream = stream_of_members(row.streams)
    found = [row for row in rows if row['stream'] == stream and (row.get('label_fraction') or 1.) == column.share and
             (len(plan.seeds) == 1 or row.get('seeds'))]
    assert len(found) == 1, [(row['stream'], row.get('label_fraction'), row.get('seeds')) for row in rows]
    return found[0]


def write_table(paper: str, plan: Plan, cells: Mapping[tuple[str, str], Mapping]) -> str:
    """Write the cells that are measured as Markdown, and with all details as JSON. Returns the path of the former."""
    entry, base = plan.entry, osp.join(plan.out, f'{paper}_{plan.entry.name}')
    content = dict(
        paper=PAPERS[paper], entry=entry.name, title=entry.title,
        notes=[note for note in (entry.note, *plan.notes) if note],
        cells=[dict(row=row, column=column, published=entry.published.get((row, column), (None,))[0],
                    source=entry.published.get((row, column), (None, None))[1], result=dict(made))
               for (row, column), made in cells.items()],
        versions=versions(), machine=machine(), command=command_line())
    write_atomically(f'{base}.json', (json.dumps(content, indent=1, default=str) + '\n').encode())
    write_atomically(f'{base}.md', table_text(paper, plan, cells).encode())
    return f'{base}.md'


def table_text(paper: str, plan: Plan, cells: Mapping[tuple[str, str], Mapping]) -> str:
    """Return the table as Markdown: two columns for each measurement, ours and the published one."""
    entry = plan.entry
    columns = [column.name for column in entry.columns]
    lines = [f'# {PAPERS[paper]}, {entry.name}: {entry.title}', '',
             '| |' + ''.join(f' {name} | published |' for name in columns), '|---|' + '---|---|' * len(columns)]
    names = [row.name for row in entry.rows]
    for row in names:
        values = [(_number(cells.get((row, column))), entry.published.get((row, column), ('',))[0])
                  for column in columns]
        lines.append(f'| {row} |' + ''.join(f' {ours} | {theirs} |' for ours, theirs in values))
    recipes = dict.fromkeys(f'{made["protocol"]} {made["recipe"]}' for made in cells.values())
    sources: dict[str, list[str]] = {}
    for (row, column), (_, source) in entry.published.items():
        if column in columns and row in names:
            sources.setdefault(source, []).append(f'{row} on {column}')
    lines += ['', HOW, '', 'Recipes: ' + '; '.join(recipes) + '.']
    which = '; '.join(f'{source}: {", ".join(where)}' for source, where in sources.items())
    lines += ['', f'Published numbers: {which}.' if which else 'No published number of this table could be verified.']
    lines += [text for note in (entry.note, *plan.notes) if note for text in ('', note)]
    return '\n'.join(lines) + '\n'


def _number(row: Mapping | None) -> str:
    seeds = f' ({len(row["seeds"])} seeds)' if row and row.get('seeds') else ''
    return (number_text(row) or '-') + seeds


def draw(paper: str, plan: Plan) -> str:
    """Draw a figure: the masks of the methods on a clip, or the features of test clips in two dimensions."""
    from mmskelssl.commands.embedding import draw_tsne
    from mmskelssl.commands.masks import attention
    folder = osp.join(plan.out, f'{paper}_{plan.entry.name}')
    os.makedirs(folder, exist_ok=True)
    for row, column in plan.cells():
        for seed in plan.seeds:
            path = _checkpoint(plan, row, column, seed)
            split = split_pair(column.split)[1]
            if plan.entry.figure == 'masks':
                attention([path], folder, split=split)
            else:
                name = file_name(f'{row.name}_{column.name}_seed{seed}'.replace(' ', '_'))
                draw_tsne(path, osp.join(folder, f'{name}.png'), split=split,
                          title=f'{row.name}, {column.name}')
    return folder


def _checkpoint(plan: Plan, row: Row, column: Column, seed: int) -> str:
    """Train a run if it is not finished, and return the last checkpoint of the stage of a row."""
    if len(row.streams) > 1 or row.options:
        raise UserError(f'{plan.entry.name}: a figure shows one stream of a recipe without changes')
    run = plan.run(row, column, row.streams[0], seed)
    last = train(run.config, run.folder, resume='auto', seed=seed, cfg_options=dict(run.options))
    if row.stage == 'last':
        return last
    stage = next(stage for stage in run.stages() if stage.name == row.stage)
    return osp.join(stage.folder, f'epoch_{stage.epochs}.pth')


def listing(papers: Sequence[str]) -> str:
    """Return a line for each entry of some papers."""
    from mmskelssl.commands.papers import entries
    lines = []
    for paper in papers:
        lines.append(PAPERS[paper])
        for entry in entries(paper):
            where = ', '.join(dict.fromkeys(column.name for column in entry.columns))
            lines.append(f'  {paper} {entry.name:<8} {entry.title}: {where}')
    return '\n'.join([*lines, "", "The numbers count the entries here. They are not those of the papers' own tables."])
