#!/usr/bin/env bash
# All experiments of the paper on a data set, and the table: DATA=ntu60_xsub bash scripts/reproduce.sh [options of all mains]
#   every data set    pretrain, linprobe           PKU-MMD II    pretrain on its SOURCES, transfer
#   NTU               retrieval, finetune, scratch; NTU-60 also semi
#   UmURL's arrays    retrieval
#   other data sets   retrieval, finetune, semi with RATIOS="0.1", for mamp, skeletonmae, random_masking and none; each seed uses
#                     its own pre-training
#   ABLATION=all      (7, 8, 9, 10 or fig5) adds the ablations
# as the scripts of these names do, and finally
#   python -m scripts.tables $OUT --markdown $OUT/tables.md --csv $OUT/tables.csv
# Variables: scripts/launch.sh.
set -euo pipefail
source "$(dirname "$0")/launch.sh"
plan reproduce "$@"
