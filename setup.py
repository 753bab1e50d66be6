"""Packaging of mmskelssl; versions live in requirements/ so that each is written once."""
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent


def requirements(name: str) -> list[str]:
    return (ROOT / 'requirements' / f'{name}.txt').read_text().split()


setup(
    name='mmskelssl',
    version='0.1.0',
    description='Self-supervised learning on human skeletons, on OpenMMLab',
    packages=find_packages(include=['mmskelssl*']),
    package_data={'mmskelssl.layouts': ['*.json']},
    python_requires='>=3.10',
    install_requires=requirements('mminstall') + requirements('runtime'),
    extras_require=dict(tests=requirements('tests'), optional=requirements('optional')),
)
