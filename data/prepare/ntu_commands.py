"""The command lines of the scripts in data/ntu and data/ntu120, which only choose the data set."""

from pathlib import Path

from data.prepare import arguments, ntu, umurl


def _parser(dataset, script, what, reads=False, **how):
    """The parser of a script, which writes to its own folder by default; reads: it reads the raw files."""
    here = Path(script).resolve().parent
    parser = arguments.parser(f"{dataset.title}{what}", out=here, **how)
    if reads:
        top = here.parent / "nturgbd_raw"  # for each folder, the first of its names that exists, else the first
        default = [next((top / name for name in names if (top / name).is_dir()), top / names[0]) for names in dataset.folders]
        arguments.add_raw(parser, "folders with the .skeleton files", default, many=True)
        arguments.add_workers(parser)
    return parser


def _files(dataset):
    return " and ".join(f"NAME_{protocol.name}.npz" for protocol in dataset.protocols)


def read(dataset, script):
    """Step 1 of 3: read the raw .skeleton files."""
    args = _parser(dataset, script, ", step 1 of 3: read the raw .skeleton files.", reads=True).parse_args()
    ntu.read_raw(args.raw, args.out, dataset, args.workers, args.strict)


def denoise(dataset, script):
    """Step 2 of 3: find the one or two actors among the bodies of every recording."""
    args = _parser(dataset, script, ", step 2 of 3: find the one or two actors of every recording.").parse_args()
    ntu.denoise_raw(args.out, args.strict)


def transform(dataset, script):
    """Step 3 of 3: move the origin, split, write the npz of every protocol."""
    parser = _parser(dataset, script, f", step 3 of 3: move the origin, split, write {_files(dataset)}.", strict=False)
    parser.add_argument("--name", default=dataset.prefix, help="first part of the npz names")
    arguments.add_second_body(parser, dataset.second_body)
    args = parser.parse_args()
    ntu.write_npz(args.out, dataset, args.name, args.second_body)


def prepare_umurl(dataset, script):
    """UmURL's preparation, in one step."""
    what = f" as UmURL prepares it: read the raw .skeleton files, write {_files(dataset)}."
    parser = _parser(dataset, script, what, reads=True)
    parser.add_argument("--name", default=umurl.PREFIX + dataset.prefix, help="first part of the npz names")
    args = parser.parse_args()
    umurl.generate(args.raw, args.out, dataset, args.name, args.workers, args.strict)
