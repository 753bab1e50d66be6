"""Detect the format of a folder, an archive or a file, and print the command that imports it."""
import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument('path', help='file or folder')


def run(args: argparse.Namespace) -> None:
    from mmskelssl.datasets.importers.detect import detect
    for line in detect(args.path):
        print(line)
