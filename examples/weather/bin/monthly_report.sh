#!/bin/sh
# monthly_report CITY FIRST_DAY: one row about a month, from its days.
set -eu

city=$1
month=$(printf %.7s "$2") # 2010-03-01 -> 2010-03

out=output/monthly_report/$city/$month.csv
mkdir -p "output/monthly_report/$city"
sh bin/summarize.sh summaries "$out" "output/daily_summary/$city/$month"-*.csv
