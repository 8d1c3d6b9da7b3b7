"""Pictures and pages for people: the page of a run, of several runs, moving skeletons, masks and predictions."""

METHOD_NAMES = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}
