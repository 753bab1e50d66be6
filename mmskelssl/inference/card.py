"""The model card, ``README.md``, of a saved model.

Names in a card come from data. They are escaped, so that they are neither Markdown nor HTML.
"""
import json
import re
from collections.abc import Iterable, Mapping, Sequence

from mmskelssl.datasets.skeleton_dataset import about_data
from mmskelssl.errors import printable
from mmskelssl.inference.pools import layouts_of
from mmskelssl.layouts import get_layout

_SPECIAL = re.compile(r'([\\`*_{}\[\]<>#|~$&])')
UNSTATED = 'not stated'

_HEAD = '''---
library_name: mmskelssl
license: other
license_name: {licence}
tags: [skeleton, {tag}, self-supervised-learning]
---
# {title}

{summary}

    {use}

## Input

- Layout `{layout}`: {joints} joints with {channels} coordinates; any number of frames and persons.
- Axes and units of the training data{units}. Other axes or units give wrong results without an error.
- Frame rate of the training data: {fps}.

## Training

{training}

## Results

{results}

## Intended use

{intended}

## Limits

{limits}

## Licence

Licence of the training data: {data_licence}. Check that it permits your use of the weights.
'''
_RESEARCH = ('Research and prototypes on skeletons from the same kind of sensor. Do not use it for decisions about '
             'people, to identify persons, or where an error can hurt someone.')
_LIMITS = ('The training data are small and were recorded by few people in few rooms: expect lower accuracy for other '
           'people, cameras and sensors, and measure it on your own data. The intervals cover the choice of test clips '
           'only, not other subjects, seeds or cameras.')


def escape(text) -> str:
    """Return text from a file on one line without Markdown."""
    return _SPECIAL.sub(r'\\\1', printable(text))


def encoder_card(info: Mapping, channels: int, fps: float | None, data_licence: str | None = None,
                 results: Iterable[Mapping] = (), half: bool = False) -> str:
    """Return the card of an encoder.

    Args:
        info: Description of the encoder, see :class:`~mmskelssl.inference.saved.Member`.
        channels: Number of coordinates of a joint.
        fps: Frames per second of the training data.
        data_licence: Licence of the training data.
        results: Rows of a results.json. Those of this encoder are shown.
        half: Whether the weights are float16.
    """
    name = about_data(info['dataset']).get('name') or 'unnamed data'
    own = [row for row in results if row.get('config_hash') == info.get('config_hash') and info.get('config_hash')
           and row.get('encoder') != 'untrained' and row.get('epoch') == info.get('epoch')]
    rows = [(row['data'], row['split'], f'{row["protocol"]} {row["recipe"]}', row) for row in own if row.get('ci95')]
    table = _table(('data', 'split', 'protocol', 'top-1, 95 % interval', 'clips'),
                   [(*map(escape, names), accuracy(row), row['num_test']) for *names, row in rows])
    layouts = [layout.name for layout in layouts_of(info)]
    chosen = f', layout={layouts[0]!r}' if len(layouts) > 1 else ''
    return _fill(info, channels, fps, data_licence, tag='feature-extraction',
                 title=f'{escape(info["method"])}, {info.get("stream", "joint")} stream, pre-trained on {escape(name)}',
                 summary='An encoder that maps a clip of skeletons to a feature vector. It was trained without labels '
                         'with mmskelssl.'
                         + (' The weights are stored as float16.' if half else ''),
                 use="from mmskelssl.apis import FeatureExtractor\n"
                     f"    features = FeatureExtractor.from_pretrained('FOLDER'{chosen})(clips)  # arrays (T, V, C) -> "
                     "(N, D)",
                 training=_training([info]), results=table or 'None were given.',
                 intended='Features for nearest neighbours, clustering, linear probes and fine-tuning. ' + _RESEARCH,
                 limits=_LIMITS)


def _chosen(report: Mapping) -> str:
    """Describe what the recipe chose on the training clips."""
    values = ', '.join(f'{value:.3g}' for value in report.get('C') or ())
    return f' (C = {values})' if values else ''


def classifier_card(members: Sequence[Mapping], channels: int, fps: float | None, data_licence: str | None,
                    report: Mapping) -> str:
    """Return the card of a classifier.

    Args:
        members: Descriptions of its encoders.
        channels, fps, data_licence: As for :func:`encoder_card`.
        report: The measurements of :func:`mmskelssl.inference.fit.fit_classifier`.
    """
    classes, held, unknown = report['classes'], report['held_out'], report['unknown']
    lines = [f'Data: {escape(report["data"])}, data hash {escape(report["data_hash"])}, split '
             f'{escape(report["train_split"])}, {report["num_train"]} clips, {len(classes)} classes. Recipe: '
             f'{escape(report["recipe"])}{_chosen(report)}, seed {report["seed"]}.',
             f'Classes: {", ".join(map(escape, classes))}.', _training(members)]
    if report['left_out']:
        lines.append(f'Classes without training clips, which are never predicted: '
                     f'{", ".join(map(escape, report["left_out"]))}.')
    rows = [(escape(row['split']), accuracy(row), f'{row["mean_class"]:.1f}',
             f'{row["ece_before"]:.1f} → {row["ece"]:.1f}', f'{row["rejected"]:.1f}', row['num_test'])
            for row in (*report['tests'], held)]
    table = _table(('split', 'top-1, 95 % interval', 'mean of classes', 'calibration error', 'refused, %', 'clips'),
                   rows)
    notes = [f'The last row is measured on training clips that were held out ({held["folds"]} of 5 parts in turn, '
             f'divided by {held["by"][:-1]}); '
             'the temperature and the threshold were chosen on the same clips.',
             'The calibration error is the expected calibration error in percent (15 bins), before → after '
             f'temperature scaling (temperature {report["temperature"]:.3g}).',
             'The accuracies count a refused clip by its most probable class.' if report['threshold'] else
             'No clip is refused: fit with `--reject SHARE` to get the answer "unknown".']
    if report['threshold']:
        notes.append(f'A clip is "unknown" if its highest probability is below {report["threshold"]:.3f}. The '
                     f'threshold refuses at most {100 * report["reject"]:g} % of the held-out clips.')
    if unknown['auroc'] is None:
        notes.append(f'Unknown movements: not measured ({unknown["reason"]}).')
    else:
        notes.append(f'Unknown movements: with each of {unknown["classes"]} classes left out of the training in turn, '
                     'the highest probability separates held-out clips of the known classes from those of the unknown '
                     f'one with a mean AUROC of {unknown["auroc"]:.3f} (lowest {unknown["worst"]:.3f}, '
                     f'{escape(unknown["worst_class"])}). 0.5 is chance.')
    first = members[0]
    return _fill(first, channels, fps, data_licence, tag='action-recognition',
                 title=f'Classifier of {len(classes)} movements of {escape(report["data"])}',
                 summary='It classifies clips of skeletons with '
                         + (f'{len(members)} encoders' if len(members) > 1 else 'an encoder')
                         + ' trained without labels and '
                         + ('fine-tuned' if report['recipe'].startswith('finetune') else 'linear layers') + '.',
                 use="from mmskelssl.apis import SkeletonClassifier\n"
                     "    predictions = SkeletonClassifier.from_pretrained('FOLDER')(clips)  # .names, .probabilities",
                 training='\n\n'.join(lines),
                 results=table + '\n\n' + '\n'.join(f'- {note}' for note in notes),
                 intended=f'Classification into the {len(classes)} classes above. ' + _RESEARCH,
                 limits=_LIMITS + ' Movements of other kinds are often given one of the classes with confidence.')


def accuracy(row: Mapping) -> str:
    """Return top-1 in percent with its interval."""
    low, high = row['ci95']
    return f'{row["top1"]:.1f} ({low:.1f}–{high:.1f})'


def command_of(info: Mapping) -> str:
    """Return the command that trained an encoder and its processes, or ``not recorded`` for older checkpoints."""
    if not info.get('command'):
        return 'not recorded'
    count, launcher = info.get('world_size', 1), info.get('launcher', 'none')
    return info['command'] + (f' ({count} processes, launcher {launcher})' if launcher != 'none' else '')


def _training(members: Sequence[Mapping]) -> str:
    lines = []
    for info in members:
        about = about_data(info['dataset'])
        facts = [f'{escape(info["method"])}, {info.get("stream", "joint")} stream',
                 f'data {escape(about.get("name") or UNSTATED)}, split {escape(about.get("split") or UNSTATED)}',
                 'data hash '
                 f'{escape(info.get("data_hash") or about.get("data_hash") or UNSTATED)}',
                 *(f'{key.replace("_", " ")} {escape(info[key])}' for key in ('config_hash', 'epoch', 'seed')
                   if key in info)]
        lines.append('- Pre-training without labels: ' + ', '.join(facts) + '.'
                     + (f' Command: {escape(command_of(info))}.' if info.get('command') else ''))
    return '\n'.join(lines)


def _fill(info: Mapping, channels: int, fps: float | None, data_licence: str | None, **texts) -> str:
    about = about_data(info['dataset'])
    layout = get_layout(about['layout'])
    units = f' (units: {escape(about["units"])})' if about.get('units') else ''
    licence = printable(data_licence or 'see below')
    return _HEAD.format(layout=escape(layout.name), joints=layout.num_joints, channels=channels, units=units,
                        fps=f'{fps:g} frames per second' if fps else 'unknown',
                        licence=json.dumps(licence), data_licence=escape(data_licence or UNSTATED), **texts)


def _table(head: Sequence[str], rows: Sequence[Sequence]) -> str:
    if not rows:
        return ''
    lines = [head, ['---'] * len(head), *rows]
    return '\n'.join('| ' + ' | '.join(map(str, line)) + ' |' for line in lines)
