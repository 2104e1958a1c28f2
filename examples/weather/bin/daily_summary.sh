#!/bin/sh
# daily_summary CITY DATE: one row about a day. Sum and count go along, so that a month can be
# averaged over its hours.
set -eu

city=$1
date=$2

out=output/daily_summary/$city/$date.csv
mkdir -p "output/daily_summary/$city"
sh bin/summarize.sh hours "$out" "output/readings/$city/$date.csv"
