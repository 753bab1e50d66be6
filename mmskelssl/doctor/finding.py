"""What a check has found, in a sentence, and what to do about it."""
from collections.abc import Iterable
from dataclasses import dataclass

from mmskelssl.errors import printable

OK, NOTE, FAULT = 'ok', 'note', 'FAULT'


@dataclass(frozen=True)
class Finding:
    """The result of one check.

    Args:
        level: ``ok``; ``note``, which may be intended; or ``FAULT``, which makes results wrong or useless.
        what: The finding, in a sentence without a full stop.
        cure: What to do about it; empty for ``ok``.
    """
    level: str
    what: str
    cure: str = ''

    @property
    def advice(self) -> str:
        """The cure as a sentence, or as a command, which keeps its spelling."""
        return self.cure if self.cure.startswith(('mmskelssl ', 'pip ')) else self.cure[:1].upper() + self.cure[1:]


def judge(problem: str | None, cure: str, fine: str, level: str = FAULT) -> Finding:
    """Return a finding from a check that returns a problem, or None."""
    return Finding(level, problem, cure) if problem else Finding(OK, fine)


def print_findings(findings: Iterable[Finding]) -> int:
    """Print findings and a summary. Returns 1 if any is a fault, otherwise 0."""
    counts = dict.fromkeys((OK, NOTE, FAULT), 0)
    for finding in findings:
        counts[finding.level] += 1
        text = f'{finding.what}. {finding.advice}' if finding.cure else finding.what
        print(f'{finding.level:<5} {printable(text)}', flush=True)
    print(f'{counts[FAULT]} faults, {counts[NOTE]} notes' if counts[FAULT] + counts[NOTE] else 'no fault found')
    return int(counts[FAULT] > 0)
