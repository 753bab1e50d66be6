"""Writes the files of an evaluation: results.json, scores by sample id, pictures and lists of the labels used."""
import itertools
import json
import os
import os.path as osp
import re
from collections.abc import Mapping, Sequence

from mmskelssl.atomic import write_atomically
from mmskelssl.evaluation.pictures import draw_errors
from mmskelssl.evaluation.protocols import Measured
from mmskelssl.evaluation.results import add_results, identity, print_table, read_results, row_title
from mmskelssl.evaluation.scores import Scores, save_scores
from mmskelssl.names import LONGEST, file_name

PARTIAL = 'results.partial.json'  # rows of evaluations that were not finished
MAX_DRAWN = 1000  # maximum number of classes in a picture, whose size grows quadratically


class Output:
    """Writes the files of each row as it is measured, and adds all rows to results.json at the end.

    Rows that are already in results.json are kept, including their files. A repeated measurement replaces its row and
    its files.

    Args:
        folder: Output folder.
        pictures: Whether to draw confusion matrices.
    """

    def __init__(self, folder: str, pictures: bool = True):
        self.folder, self.pictures = folder, pictures
        self.rows: list[dict] = []
        self.earlier = {identity(row): row for row in read_results(osp.join(folder, 'results.json'))}
        self.names: set[str] = set()  # of files written by this command
        self.config_hash: str | None = None
        self.data_hash: str | None = None

    def provenance(self, config_hash: str | None, data_hash: str) -> None:
        """Set the hashes in the header of results.json, which are those of the last encoder."""
        self.config_hash, self.data_hash = config_hash, data_hash

    def add(self, measured: Measured, classes: Sequence[str], num_classes: int) -> Scores | None:
        """Add a row and return its scores, if any."""
        row, test = measured.row, measured.test
        classes = list(classes) or [str(c) for c in range(num_classes)]
        row.update(data_hash=self.data_hash, per_class=_by_name(row['per_class'], classes))
        if measured.outcome.train_ids is not None:
            row['subset'] = self._subset(row, measured.outcome.train_ids)
        self.rows.append(row)
        precision = measured.outcome.precision and measured.outcome.precision[measured.name]
        self._picture(row, test.labels, measured.predictions, classes, precision)
        if measured.scores is None:
            return None
        return self._save(Scores(test.ids, measured.scores, test.labels, row, classes))

    def add_ensemble(self, scores: Scores) -> None:
        """Add the row and the scores of an ensemble."""
        scores.row['per_class'] = _by_name(scores.row['per_class'], scores.classes)
        self.rows.append(scores.row)
        self._picture(scores.row, scores.labels, scores.scores.argmax(1), scores.classes)
        self._save(scores)

    def finish(self) -> list[dict]:
        """Add the rows to results.json and print their table."""
        kept, replaced = add_results(self.folder, self.rows, self.config_hash, self.data_hash)
        print_table(self.rows)
        more = [f'{kept} earlier rows kept'] * bool(kept) + [f'{replaced} replaced'] * bool(replaced)
        print(osp.join(self.folder, 'results.json') + (f': {len(self.rows)} rows, {", ".join(more)}' if more else ''))
        return self.rows

    def rescue(self) -> None:
        """Save the rows of an unfinished evaluation under another name."""
        if self.rows:
            add_results(self.folder, self.rows, self.config_hash, self.data_hash, PARTIAL)
            print(f'not finished; what was measured is in {osp.join(self.folder, PARTIAL)}')

    def _save(self, scores: Scores) -> Scores:
        scores.row['scores'] = self._name('scores', scores.row, 'npz')
        save_scores(osp.join(self.folder, scores.row['scores']), scores)
        return scores

    def _picture(self, row: dict, labels, predictions, classes: Sequence[str], precision=None) -> None:
        if self.pictures and len(classes) > MAX_DRAWN:
            print(f'no confusion matrix is drawn for {len(classes)} classes; at most {MAX_DRAWN} fit into a picture')
        elif self.pictures:
            row['picture'] = self._name('pictures', row, 'png')
            title = f'{row["encoder"]}, {row["stream"]} stream, {row["data"]} {row["split"]}: {row_title(row)}'
            draw_errors(osp.join(self.folder, row['picture']), labels, predictions, classes, title,
                        precision)

    def _subset(self, row: dict, ids: Sequence[str]) -> str:
        """Write the list of ids to a file per data set, split, fraction and seed, shared by all encoders."""
        name = f'{row["data"]}_{row["train_split"]}_{row["label_fraction"]:g}_seed{row["seed"]}'
        name = f'subsets/{file_name(name)}.json'
        content = dict(data=row['data'], data_hash=row['data_hash'], split=row['train_split'], seed=row['seed'],
                       label_fraction=row['label_fraction'], ids=list(ids))
        write_atomically(osp.join(self.folder, name), (json.dumps(content, indent=1) + '\n').encode())
        return name

    def _name(self, kind: str, row: dict, suffix: str) -> str:
        """Return a name KIND/ENCODER_DATA_PROTOCOL_RECIPE_SPLIT.SUFFIX that is unused or from the same measurement.

        It includes the stream unless it is ``joint``, and a number if the name is already taken.
        """
        stream = '' if row['stream'] == 'joint' else f'-{row["stream"]}'
        share = '' if row['label_fraction'] in (1, None) else f'-{row["label_fraction"]:g}'
        parts = (row['encoder'] + stream, row['data'], row['protocol'], row['recipe'] + share, row['split'])
        base = re.sub(r'[^\w.+-]', '-', '_'.join(str(part) for part in parts if part))[:LONGEST]
        return free_name(self.folder, f'{kind}/{base}', suffix, self.names, self.earlier.get(identity(row), {}))


def free_name(folder: str, base: str, suffix: str, taken: set[str], earlier: Mapping) -> str:
    """A name below a folder, BASE.SUFFIX or BASE-2.SUFFIX and so on, that overwrites no other measurement's file.

    A new name is taken by an empty file, so that no other process that writes to the folder takes it as well.

    Args:
        taken: Names that this command has used; the new one is added.
        earlier: The row of the same measurement in results.json, if there is one: its files may be written again.
    """
    for i in itertools.count(1):
        name = f'{base}{"" if i == 1 else f"-{i}"}.{suffix}'
        if name not in taken and (name in earlier.values() or _reserve(osp.join(folder, name))):
            break
    taken.add(name)
    return name


def _reserve(path: str) -> bool:
    """Create an empty file. Return whether there was none, nor anything else of its name."""
    os.makedirs(osp.dirname(path), exist_ok=True)
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError:
        return False
    return True


def _by_name(per_class: Mapping[int, float], classes: Sequence[str]) -> dict[str, float]:
    return {classes[c]: value for c, value in per_class.items()}
