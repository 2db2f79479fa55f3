"""Test an algorithm. The options are those of MMRazor's `tools/test.py`."""

import os
import sys

# Once, and not by each process of a distributed training.
if __name__ == '__main__' and not {'RANK', 'SLURM_PROCID'} & os.environ.keys():
    # The imports below take seconds, or half a minute when the disk is slow.
    print('Loading PyTorch, MMPretrain and MMRazor ...', file=sys.stderr, flush=True)

from train import build_parser, check_file, load_config

from amkd_mm.algorithms.teacher_checkpoint import exists
from amkd_mm.console_log import ConsoleRunner


def main():
    parser = build_parser('Test an algorithm')
    parser.add_argument('checkpoint', help='checkpoint file, or none for the initial weights')
    args = parser.parse_args()
    if args.checkpoint != 'none':
        check_file(parser, 'checkpoint', args.checkpoint)
    cfg = load_config(parser, args)
    cfg.load_from = None if args.checkpoint == 'none' else args.checkpoint
    path = cfg.model.get('teacher_ckpt')
    if cfg.load_from is not None and path and not exists(path):
        # The checkpoint of a distillation holds the teacher. Its own, where it is still there, says
        # how its images were normalised.
        cfg.model.teacher_ckpt = None
    cfg.resume = False
    ConsoleRunner.from_cfg(cfg).test()


if __name__ == '__main__':
    main()
