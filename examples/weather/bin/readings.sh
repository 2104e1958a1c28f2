#!/bin/sh
# readings CITY DATE: the day's rows of the city's raw file, as `time,temp_f`.
set -eu
LC_ALL=C
export LC_ALL

city=$1
date=$2

case $city in
seattle) raw=data/seattle-temps.csv ;;
san_francisco) raw=data/sf-temps.csv ;;
*)
    echo "readings: no raw file for city $city" >&2
    exit 1
    ;;
esac

out=output/readings/$city/$date.csv
mkdir -p "output/readings/$city"
tmp=$out.${BACKSTITCH_RUN_ID:-by-hand}.${BACKSTITCH_ATTEMPT:-0}.$$.tmp
trap 'rm -f "$tmp"' EXIT

# The files name their columns in different orders, and one has seconds in its times.
awk -F, -v date="$date" '
    BEGIN { OFS = ","; print "time", "temp_f" }
    NR == 1 {
        for (i = 1; i <= NF; i++) column[$i] = i
        if (!("date" in column) || !("temp" in column)) {
            print "readings: no columns date and temp in " FILENAME > "/dev/stderr"
            exit 1
        }
        next
    }
    {
        split($(column["date"]), at, " ")
        gsub("/", "-", at[1])
        if (at[1] == date) print at[1] "T" substr(at[2], 1, 5), $(column["temp"])
    }
' "$raw" >"$tmp"

rows=$(($(wc -l <"$tmp") - 1))
if [ "$rows" -eq 0 ]; then
    echo "readings: no rows for $date in $raw" >&2
    exit 1
fi

# Renamed when complete: whoever reads the file sees all of it or none of it.
mv "$tmp" "$out"
echo "row_count=$rows" >>"${BACKSTITCH_METADATA:-/dev/stdout}"
