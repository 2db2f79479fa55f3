"""Test an algorithm. The options are those of MMRazor's `tools/test.py`."""

from mmengine.runner import Runner
from train import build_parser, check_checkpoints, check_file, load_config

from amkd_mm.checkpoint_files import exists, read_checkpoint
from amkd_mm.checkpoint_fit import TEACHER, has_part, without_wrapper


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
        try:
            checkpoint = read_checkpoint('checkpoint', args.checkpoint)
        except ValueError as error:
            parser.error(str(error))
        if has_part(without_wrapper(checkpoint.get('state_dict', checkpoint)), TEACHER):
            cfg.model.teacher_ckpt = None
    check_checkpoints(parser, cfg)
    cfg.resume = False
    Runner.from_cfg(cfg).test()


if __name__ == '__main__':
    main()
