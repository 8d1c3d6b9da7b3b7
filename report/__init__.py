"""Pictures and pages for people: the page of a run, moving skeletons, masks and predictions."""

METHOD_NAMES = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}
