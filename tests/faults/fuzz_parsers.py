"""Coverage-guided fuzzing of the parsers that take foreign files. It needs atheris (pip install atheris).

Examples:
  python tests/faults/fuzz_parsers.py ntu -max_total_time=600
  python tests/faults/fuzz_parsers.py bvh CORPUS_FOLDER
  python tests/faults/fuzz_parsers.py index -max_total_time=300
  python tests/faults/fuzz_parsers.py checkpoint -max_total_time=600

``pickle`` reads the bytes as an annotation pickle, ``checkpoint`` as a checkpoint, ``zipped`` as the pickle inside one,
``description`` as the JSON that says how to build a model.

Anything but a result or a ValueError is a finding, as is an input that takes more than five seconds or 2 GiB; libFuzzer
(whose options follow the parser's name) leaves it as a file.
"""
import json
import os
import sys
import tempfile
import zipfile

import atheris

with atheris.instrument_imports(include=[
        'pickle', 'mmskelssl.datasets.importers', 'mmskelssl.datasets.mocap', 'mmskelssl.datasets.store',
        'mmskelssl.layouts', 'mmskelssl.plain_pickle', 'mmskelssl.engine.checkpoint',
        'mmskelssl.engine.checkpoint_file', 'mmskelssl.engine.checkpoint_schema', 'mmskelssl.engine.unpickle',
        'mmskelssl.engine.allow_list', 'mmskelssl.engine.rebuild']):
    from mmskelssl.datasets.importers.ntu import by_energy, in_file_order, parse_skeleton
    from mmskelssl.datasets.importers.restricted_pickle import load_pickle
    from mmskelssl.datasets.mocap.asf_amc import read_amc, read_asf
    from mmskelssl.datasets.mocap.bvh import read_bvh
    from mmskelssl.datasets.store.columns import index_columns
    from mmskelssl.datasets.store.schema import parse_index
    from mmskelssl.engine.checkpoint import load_checkpoint
    from mmskelssl.engine.rebuild import build_model


def ntu(text: str) -> None:
    """Parse an NTU file with both selections of persons."""
    frames = parse_skeleton(text)
    in_file_order(frames)
    by_energy(frames)


def asf(text: str) -> None:
    """Parse a skeleton file and its motion file, separated by a zero byte."""
    skeleton, _, motion = text.partition('\0')
    read_amc(motion, read_asf(skeleton))


def index(text: str) -> None:
    """The index of a store; its columns follow without a further check."""
    index_columns(parse_index(text.encode('utf-8', 'surrogatepass'), 'index.json'))


_FILE = os.path.join(tempfile.mkdtemp(dir='/dev/shm' if os.path.isdir('/dev/shm') else None), 'fuzzed')


def pickled(data: bytes) -> None:
    """Parse an annotation pickle."""
    with open(_FILE, 'wb') as file:
        file.write(data)
    load_pickle(_FILE)


def checkpoint(data: bytes) -> None:
    """Parse a checkpoint in either format."""
    with open(_FILE, 'wb') as file:
        file.write(data)
    load_checkpoint(_FILE)


def zipped(data: bytes) -> None:
    """Parse the pickle of a checkpoint in a valid zip, so that mutations do not have to guess its checksum."""
    with zipfile.ZipFile(_FILE, 'w') as archive:
        archive.writestr('a/data.pkl', data)
        for i in range(4):
            archive.writestr(f'a/data/{i}', bytes(64))
    load_checkpoint(_FILE)


def description(data: bytes) -> None:
    """Build a model from JSON."""
    try:
        config = json.loads(data)
    except (RecursionError, UnicodeDecodeError) as error:
        raise ValueError('no JSON') from error
    build_model(config, 'fuzzed')


TEXTS = dict(ntu=ntu, asf=asf, bvh=read_bvh, index=index)
BYTES = dict(pickle=pickled, checkpoint=checkpoint, zipped=zipped, description=description)


def main() -> None:
    name, *options = sys.argv[1:]

    def one(data: bytes) -> None:
        try:
            TEXTS[name](data.decode('utf-8', 'replace')) if name in TEXTS else BYTES[name](data)
        except ValueError:
            pass

    limits = ['-timeout=5', '-rss_limit_mb=2048', '-max_len=65536']
    atheris.Setup([sys.argv[0], *limits, *options], one)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
