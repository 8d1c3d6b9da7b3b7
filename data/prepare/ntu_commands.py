"""The commands of NTU RGB+D 60 and 120, three steps or UmURL's one; the scripts in data/ntu and data/ntu120 name the data set."""

from pathlib import Path

from data.prepare import cli, ntu, umurl
from feeder.metadata import SECOND_BODY


def read(dataset, script):
    """Step 1 of 3: read the raw .skeleton files."""
    args = _reader(dataset, script, f"{dataset.title}, step 1 of 3: read the raw .skeleton files.").parse_args()
    ntu.read_raw(args.raw, args.out, dataset, args.workers, args.strict)


def denoise(dataset, script):
    """Step 2 of 3: find the one or two actors among the bodies of every recording."""
    here = Path(script).resolve().parent
    args = cli.parser(f"{dataset.title}, step 2 of 3: find the one or two actors of every recording.", out=here).parse_args()
    ntu.denoise_raw(args.out, args.strict)


def transform(dataset, script):
    """Step 3 of 3: move the origin, split, write the npz of every protocol."""
    here, files = Path(script).resolve().parent, " and ".join(f"NAME_{protocol.name}.npz" for protocol in dataset.protocols)
    parser = cli.parser(f"{dataset.title}, step 3 of 3: move the origin, split, write {files}.", out=here, strict=False)
    parser.add_argument("--name", default=dataset.prefix, help="what the npz files are called")
    parser.add_argument(
        "--second_body",
        choices=SECOND_BODY,
        default=dataset.second_body,
        help="what stands for the second actor of one-actor recordings",
    )
    args = parser.parse_args()
    ntu.write_npz(args.out, dataset, args.name, args.second_body)


def prepare_umurl(dataset, script):
    """UmURL's normalisation, in one step."""
    files = " and ".join(f"NAME_{protocol.name}.npz" for protocol in dataset.protocols)
    parser = _reader(dataset, script, f"{dataset.title} as UmURL prepares it: from the raw .skeleton files to {files}.")
    parser.add_argument("--name", default=umurl.PREFIX + dataset.prefix, help="what the npz files are called")
    args = parser.parse_args()
    umurl.generate(args.raw, args.out, dataset, args.name, args.workers, args.strict)


def _reader(dataset, script, description):
    """The parser of a command that reads the raw files."""
    here = Path(script).resolve().parent
    parser = cli.parser(description, out=here)
    parser.add_argument(
        "--raw",
        type=Path,
        nargs="+",
        default=ntu.default_folders(dataset, here.parent / "nturgbd_raw"),
        help="folders of the .skeleton files",
    )
    parser.add_argument("--workers", type=int, help="processes; all cores if not given")
    return parser
