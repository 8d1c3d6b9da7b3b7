"""The commands of NTU RGB+D 60 and 120, three steps or UmURL's one; the scripts in data/ntu and data/ntu120 name the data set."""

from pathlib import Path

from data.prepare import arguments, ntu, umurl


def _parser(dataset, script, what, reads=False, **how):
    """The parser of a command whose results stand beside its script; reads: it takes the raw files."""
    here = Path(script).resolve().parent
    parser = arguments.parser(f"{dataset.title}{what}", out=here, **how)
    if reads:
        top = here.parent / "nturgbd_raw"  # of each folder the first name that is there, or the first of all
        default = [next((top / name for name in names if (top / name).is_dir()), top / names[0]) for names in dataset.folders]
        arguments.add_raw(parser, "folders of the .skeleton files", default, many=True)
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
    parser.add_argument("--name", default=dataset.prefix, help="what the npz files are called")
    arguments.add_second_body(parser, dataset.second_body)
    args = parser.parse_args()
    ntu.write_npz(args.out, dataset, args.name, args.second_body)


def prepare_umurl(dataset, script):
    """UmURL's normalisation, in one step."""
    what = f" as UmURL prepares it: from the raw .skeleton files to {_files(dataset)}."
    parser = _parser(dataset, script, what, reads=True)
    parser.add_argument("--name", default=umurl.PREFIX + dataset.prefix, help="what the npz files are called")
    args = parser.parse_args()
    umurl.generate(args.raw, args.out, dataset, args.name, args.workers, args.strict)
