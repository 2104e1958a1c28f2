#!/bin/sh
# city_comparison: the months of all cities side by side, one row per month.
set -eu
LC_ALL=C
export LC_ALL

out=output/city_comparison.csv
tmp=$out.${BACKSTITCH_RUN_ID:-by-hand}.${BACKSTITCH_ATTEMPT:-0}.$$.tmp
trap 'rm -f "$tmp"' EXIT

awk -F, '
    FNR == 1 {
        # output/monthly_report/CITY/MONTH.csv
        parts = split(FILENAME, part, "/")
        city = part[parts - 1]
        month = substr(part[parts], 1, 7)
        if (!(city in seen_city)) { seen_city[city] = 1; cities[++city_count] = city }
        if (!(month in seen_month)) { seen_month[month] = 1; months[++month_count] = month }
        next
    }
    { mean[city, month] = $4 }
    END {
        if (month_count == 0) exit 1
        line = "month"
        for (c = 1; c <= city_count; c++) line = line "," cities[c] "_mean_f"
        print line
        for (m = 1; m <= month_count; m++) {
            line = months[m]
            for (c = 1; c <= city_count; c++) line = line "," mean[cities[c], months[m]]
            print line
        }
    }
' output/monthly_report/*/*.csv >"$tmp"

# Renamed when complete: whoever reads the file sees all of it or none of it.
mv "$tmp" "$out"
echo "row_count=$(($(wc -l <"$out") - 1))" >>"${BACKSTITCH_METADATA:-/dev/stdout}"
