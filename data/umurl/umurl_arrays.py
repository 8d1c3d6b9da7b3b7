"""UmURL's own arrays (train_data_joint.npy, train_num_frame.npy, train_label.pkl; the same of val): one npz of a folder."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from data.prepare import cli, umurl_arrays

HERE = Path(__file__).resolve().parent


def main():
    parser = cli.parser(__doc__, out=HERE)
    parser.add_argument("folder", type=Path, help="of one protocol, such as NTU-RGB-D-60-AGCN/xsub")
    parser.add_argument("--name", help="what the npz is called; default: as the data set, such as UMURL_NTU60_XSub")
    args = parser.parse_args()
    umurl_arrays.generate(args.folder, args.out, args.name, args.strict)


if __name__ == "__main__":
    cli.run(main)
