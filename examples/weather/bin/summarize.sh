#!/bin/sh
# summarize KIND OUT FILE...: writes `count,sum_f,min_f,mean_f,max_f` over all rows of the files, which
# are hours (`time,temp_f`) or summaries such as this writes.
#
# The mean is over hours, whatever the files hold. Temperatures have one decimal, so sums are kept in
# whole tenths and are exact; the mean is rounded once, at the end, as C's printf does it, which is
# what Python's round(statistics.mean(temperatures), 2) gives too.
set -eu
LC_ALL=C
export LC_ALL

kind=$1
out=$2
shift 2

tmp=$out.${BACKSTITCH_RUN_ID:-by-hand}.${BACKSTITCH_ATTEMPT:-0}.$$.tmp
trap 'rm -f "$tmp"' EXIT

awk -F, -v kind="$kind" '
    function tenths(text) { return int(text * 10 + (text < 0 ? -0.5 : 0.5)) }
    FNR == 1 { next }
    kind == "hours" { n = 1; sum = low = high = tenths($2) }
    kind == "summaries" { n = $1; sum = tenths($2); low = tenths($3); high = tenths($5) }
    {
        if (count == 0 || low < min) min = low
        if (count == 0 || high > max) max = high
        count += n
        total += sum
    }
    END {
        if (count == 0) exit 1
        print "count,sum_f,min_f,mean_f,max_f"
        printf "%d,%.1f,%.2f,%.2f,%.2f\n", count, total / 10, min / 10, total / (10 * count), max / 10
    }
' "$@" >"$tmp" || {
    echo "summarize: no rows in $*" >&2
    exit 1
}

# Renamed when complete: whoever reads the file sees all of it or none of it.
mv "$tmp" "$out"
awk -F, 'NR == 2 { print "min_f=" $3; print "mean_f=" $4; print "max_f=" $5 }' "$out" >>"${BACKSTITCH_METADATA:-/dev/stdout}"
