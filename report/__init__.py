"""Reports: the page of a run or of several runs, moving skeletons, pictures of masks and predictions."""

METHOD_NAMES = {"mamp": "MAMP", "skeletonmae": "SkeletonMAE*", "umurl": "UmURL"}
