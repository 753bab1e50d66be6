"""The head of the report: what was trained on what, and how good it is."""
from mmskelssl.inference.card import command_of
from mmskelssl.inference.pools import pool_of
from mmskelssl.report.measures import Measured
from mmskelssl.report.sources import Source


def title(sources: list[Source]) -> str:
    """Return the title of the page: method and data, or the names of several runs."""
    if len(sources) > 1:
        return ' and '.join([', '.join(source.name for source in sources[:-1]), sources[-1].name])
    (source,) = sources
    what = source.method or 'run'
    data = source.store.path.rstrip('/').rpartition('/')[2] if source.store else ''
    return f'{what} on {data}' if data else what


def subtitle(source: Source) -> str:
    """Return encoder, stream and epochs in a line."""
    info = source.info
    if not info:
        return f'The run in {source.path} has no checkpoint yet'
    parts = [info['model'].get('backbone', {}).get('type', ''), f'{info.get("stream", "joint")} stream',
             f'{info["epoch"]} epochs' if info.get('epoch') else
             f'{info["iteration"]} iterations' if info.get('iteration') else '']
    return ', '.join(filter(None, parts))


def cards(measured: Measured) -> list[dict]:
    """Return the accuracies of the first encoder, next to what they are compared with."""
    made = []
    by_name = {row['name']: row for row in measured.rows}
    for key, heading in measured.columns.items():
        row = measured.rows[0].get(key)
        if row is None:
            continue
        others = [f'{name} {by_name[name][key]["top1"]:.1f}' for name in ('untrained encoder', 'raw coordinates')
                  if key in by_name.get(name, {})]
        low, high = row['ci95']
        made.append(dict(value=f'{row["top1"]:.1f} %', text=f'{heading}, 95 % interval {low:.1f} to {high:.1f}'
                         + (f'; {", ".join(others)}' if others else '')))
    return made


def accuracy_table(measured: Measured) -> dict | None:
    """Return the table of all encoders, or None if nothing was measured."""
    if not measured.rows:
        return None

    def text(cell: dict | None) -> str:
        return f'{cell["top1"]:.1f} ({cell["ci95"][0]:.1f}–{cell["ci95"][1]:.1f})' if cell else '–'

    return dict(head=['encoder', *measured.columns.values()], caption='Top-1 accuracy in per cent, with 95 % intervals',
                rows=[[row['name'], *(text(row.get(key)) for key in measured.columns)] for row in measured.rows])


def facts(source: Source) -> list[tuple[str, str]]:
    """Return what the encoder is and where it comes from, as terms and texts."""
    info, store = source.info, source.store
    weights = sum(p.numel() for p in source.extractor.model.parameters()) if source.extractor else 0
    found = [('Path', source.path), ('Method', source.method),
             ('Encoder', info.get('model', {}).get('backbone', {}).get('type', '')),
             ('Weights', f'{weights:,}' if weights else ''),
             ('Stream', info.get('stream', '')),
             ('Trained', f'{info["epoch"]} epochs, {info.get("iteration", "?")} iterations, seed {info.get("seed")}'
              if info.get('epoch') is not None else ''),
             ('Trained on', _trained_on(source)),
             ('Clips of the page', f'{store.path}: {len(store)} clips, layout {store.layout.name}, splits '
              f'{", ".join(f"{name} {len(ids)}" for name, ids in store.splits.items()) or "none"}' if store else ''),
             ('Command', command_of(info) if info else ''),
             ('Data hash', store.data_hash if store else ''), ('Config hash', info.get('config_hash', '')),
             ('Checkpoint', source.extractor.checkpoint if source.extractor else '')]
    return [(term, str(text)) for term, text in found if text]


def _trained_on(source: Source) -> str:
    if source.pooled:
        return f'{" + ".join(pool_of(source.pooled.info))}; --data chooses the clips of the page'
    dataset = source.info.get('dataset') or {}
    split = dataset.get('train_split')
    return ', '.join(filter(None, [dataset.get('store') or '', f'split {split}' if split else '']))
