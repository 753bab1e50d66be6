"""Coverage-guided fuzzing of the parsers that take foreign text. It needs atheris (pip install atheris).

Examples:
  python tests/faults/fuzz_parsers.py ntu -max_total_time=600
  python tests/faults/fuzz_parsers.py bvh CORPUS_FOLDER
  python tests/faults/fuzz_parsers.py index -max_total_time=300

Anything but a result or a ValueError is a finding, as is an input that takes more than five seconds or 2 GiB; libFuzzer
(whose options follow the parser's name) leaves it as a file.
"""
import sys

import atheris

with atheris.instrument_imports(include=['mmskelssl.datasets.importers', 'mmskelssl.datasets.mocap',
                                         'mmskelssl.datasets.store', 'mmskelssl.layouts']):
    from mmskelssl.datasets.importers.ntu import by_energy, in_file_order, parse_skeleton
    from mmskelssl.datasets.mocap.asf_amc import read_amc, read_asf
    from mmskelssl.datasets.mocap.bvh import read_bvh
    from mmskelssl.datasets.store.columns import index_columns
    from mmskelssl.datasets.store.schema import parse_index


def ntu(text: str) -> None:
    """An NTU file and both selections of persons."""
    frames = parse_skeleton(text)
    in_file_order(frames)
    by_energy(frames)


def asf(text: str) -> None:
    """A skeleton file, a zero byte, and a motion file of it."""
    skeleton, _, motion = text.partition('\0')
    read_amc(motion, read_asf(skeleton))


def index(text: str) -> None:
    """The index of a store; its columns follow without a further check."""
    index_columns(parse_index(text.encode('utf-8', 'surrogatepass'), 'index.json'))


PARSERS = dict(ntu=ntu, asf=asf, bvh=read_bvh, index=index)


def main() -> None:
    name, *options = sys.argv[1:]

    def one(data: bytes) -> None:
        try:
            PARSERS[name](data.decode('utf-8', 'replace'))
        except ValueError:
            pass

    limits = ['-timeout=5', '-rss_limit_mb=2048', '-max_len=65536']
    atheris.Setup([sys.argv[0], *limits, *options], one)
    atheris.Fuzz()


if __name__ == '__main__':
    main()
